"""The encoders of this machine."""

from __future__ import annotations

import pytest

from gpuview.doctor import encoders
from gpuview.doctor.encoders import check_encoders
from gpuview.errors import MediaError
from gpuview.media.encode.codec import Codec


def test_every_codec_that_viewers_negotiate_encodes_here() -> None:
    marks = {check.name: check.mark for check in check_encoders()}
    names = ["H264 Main", "H264 Constrained Baseline", "VP8"]
    assert [marks[f"encoder {name}"] for name in names] == ["ok"] * 3
    assert marks["encoder NVENC"] in ("ok", "skipped")


def test_missing_encoder_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(codec: Codec) -> int:
        raise MediaError(f"cannot open {codec}", expected="an encoder", fix="show less")

    monkeypatch.setattr(encoders, "encode_one_frame", fail)
    check = check_encoders()[0]
    assert (check.mark, check.found) == ("fail", "cannot open H264 Main")
    assert check.fix == "reinstall PyAV: pip install --force-reinstall av"
