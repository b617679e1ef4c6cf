"""Codec names, bitrates and threads."""

from __future__ import annotations

import pytest
from aiortc import RTCRtpCodecParameters

from gpuview.media.encode.codec import Codec, codec_of, threads


@pytest.mark.parametrize(
    ("mime_type", "profile_level_id", "codec"),
    [
        ("video/H264", "4d001f", Codec("H264", "Main")),
        ("video/H264", "42e01f", Codec("H264", "Constrained Baseline")),
        ("video/H264", "42001f", Codec("H264", "Constrained Baseline")),
        ("video/VP8", None, Codec("VP8")),
    ],
)
def test_negotiated_codec_is_named(
    mime_type: str, profile_level_id: str | None, codec: Codec
) -> None:
    fmtp = {"profile-level-id": profile_level_id} if profile_level_id else {}
    parameters = RTCRtpCodecParameters(mimeType=mime_type, clockRate=90_000, parameters=fmtp)
    assert codec_of(parameters) == codec


def test_one_core_encodes_on_one_thread() -> None:
    assert threads(3840, 2160, cores=1) == 1


def test_server_with_128_cores_does_not_use_them_all() -> None:
    assert threads(3840, 2160, cores=128) == 4
