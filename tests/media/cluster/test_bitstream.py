"""What packets say of themselves, against the encoders that make them."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.cluster.bitstream import look_at
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.encoder import Encoder

CODECS = [
    Codec("H264", "Main"),
    Codec("H264", "Constrained Baseline"),
    Codec("VP8"),
    Codec("JPEG"),
]


def packets(codec: Codec, width: int, height: int) -> list[tuple[bool, bytes]]:
    """Return whether each of three packets is a keyframe, and its bitstream."""
    encoder = Encoder(codec, width, height, fps=30, max_bitrate_bps=10**7)
    found = []
    for n in range(3):
        pixels = np.full((height * 3 // 2, width), 40 * (n + 1), np.uint8)
        pixels[: height // 2, : width // 2] += 60
        frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
        packet = encoder.encode(frame, 3000 * (n + 1), n + 1, is_keyframe=n == 0)
        assert packet is not None
        found.append((packet.is_keyframe, packet.data))
    return found


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize(
    ("width", "height"), [(16, 16), (64, 48), (322, 242), (1920, 1080), (1278, 718)]
)
def test_size_and_keyframes_are_those_of_the_encoder(codec: Codec, width: int, height: int) -> None:
    for is_keyframe, data in packets(codec, width, height):
        shown = look_at(codec.name, data)
        assert shown.is_keyframe == is_keyframe
        if is_keyframe:
            assert (shown.width, shown.height) == (width, height)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_packet_of_another_codec_is_none(codec: Codec) -> None:
    others = {"H264": "JPEG", "VP8": "H264", "JPEG": "H264"}
    with pytest.raises(ValueError, match="no"):
        look_at(others[codec.name], packets(codec, 64, 48)[0][1])


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_packet_that_is_cut_short_in_its_headers_is_refused(codec: Codec) -> None:
    _, data = packets(codec, 64, 48)[0]
    for nbytes in (1, 2, 5, 8):
        with pytest.raises(ValueError, match=codec.name if nbytes > 6 else "no |ends"):
            look_at(codec.name, data[:nbytes])


@given(st.sampled_from(["H264", "VP8", "JPEG"]), st.binary(min_size=1, max_size=200))
def test_garbage_is_read_or_refused_and_nothing_else(codec_name: str, data: bytes) -> None:
    for start in (b"", b"\0\0\0\1\x67\x42", b"\xff\xd8\xff"):
        try:
            look_at(codec_name, start + data)
        except ValueError:
            continue


def test_ten_million_start_codes_take_no_time_to_speak_of() -> None:
    with pytest.raises(ValueError, match="one picture"):
        look_at("H264", b"\0\0\1\x06" * 2_000_000)
