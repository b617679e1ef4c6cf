"""Which encoder serves, and what happens when it fails in the middle of a stream."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import av
import pytest

from gpuview.errors import MediaError
from gpuview.media.encode import choice
from gpuview.media.encode.choice import (
    Line,
    find_encoders,
    line_for,
    usable_codecs,
    why_no_nvenc,
)
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.output import Output
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.stats import EncoderStats

MAIN, VP8 = Codec("H264", "Main"), Codec("VP8")


@pytest.fixture
def nvenc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that NVENC works here; x264 stands in for it."""
    init = Encoder.__init__

    def open_x264(self: Encoder, *args: object, **options: object) -> None:
        wanted = options.pop("library", None)
        init(self, *args, **options)  # type: ignore[arg-type]
        self.library = wanted or self.library  # type: ignore[assignment]

    monkeypatch.setattr(Encoder, "__init__", open_x264)
    monkeypatch.setattr(choice, "why_no_nvenc", lambda: "")


@pytest.fixture
def no_nvenc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "why_no_nvenc", lambda: "no NVENC: a reason")


def test_probe_says_why_there_is_no_nvenc_or_encodes_a_frame() -> None:
    why = why_no_nvenc()
    assert not why or why.startswith("no NVENC: ")
    assert "avcodec_open2" not in why  # PyAV's call, with all of its arguments
    assert line_for(MAIN, "auto").libraries == (("x264",) if why else ("nvenc", "x264"))


@pytest.mark.usefixtures("nvenc")
@pytest.mark.parametrize(
    ("setting", "libraries"),
    [
        ("auto", ("nvenc", "x264")),
        ("nvenc", ("nvenc", "x264")),
        ("x264", ("x264",)),
        ("vp8", ("x264",)),
    ],
)
def test_order_of_the_encoders(setting: EncoderSetting, libraries: tuple[str, ...]) -> None:
    assert line_for(MAIN, setting).libraries == libraries
    assert line_for(VP8, setting).libraries == ("vp8",)


@pytest.mark.usefixtures("no_nvenc")
@pytest.mark.parametrize("setting", ["auto", "nvenc"])
def test_reason_is_told_where_nvenc_does_not_work(setting: EncoderSetting) -> None:
    line = line_for(MAIN, setting)
    assert (line.first, line.reason) == ("x264", "no NVENC: a reason")


@pytest.mark.usefixtures("no_nvenc")
@pytest.mark.parametrize(
    ("setting", "levels"),
    [("auto", [logging.INFO]), ("nvenc", [logging.WARNING]), ("x264", []), ("vp8", [])],
)
def test_log_says_once_why_nvenc_does_not_serve_and_warns_whoever_has_asked_for_it(
    setting: EncoderSetting, levels: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gpuview.media")
    find_encoders(setting)
    for _ in range(3):
        line_for(MAIN, setting)
    assert [record.levelno for record in caplog.records] == levels
    assert caplog.messages == ["no NVENC: a reason; x264 encodes"] * len(levels)


@pytest.mark.usefixtures("nvenc")
def test_nvenc_that_serves_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="gpuview.media")
    find_encoders("nvenc")
    assert not caplog.records


def test_vp8_alone_is_negotiated_if_that_is_the_setting() -> None:
    assert usable_codecs("vp8") == ("VP8",)
    assert usable_codecs("x264") == ("H264", "VP8")
    assert line_for(VP8, "vp8").reason == "the setting encoder is vp8"


def test_last_in_line_has_nobody_to_pass_on_to() -> None:
    line = Line(("x264",))
    assert not line.pass_on("a problem")
    assert line.first == "x264"


def frames() -> Iterator[tuple[Packet | None, EncoderStats]]:
    """Encode a grey picture again and again."""
    output = Output(MAIN, fps=30, max_bitrate_bps=10**6)
    number = 0
    while True:
        number += 1
        frame = av.VideoFrame(64, 48, "yuv420p")
        yield output.encode(frame, number * 10**9, number * 10**9, number), output.stats()


@pytest.mark.usefixtures("nvenc")
def test_encoder_that_fails_in_the_stream_is_replaced_within_the_frame(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encode = Encoder.encode

    def fail_once_broken(self: Encoder, *args: object, **options: object) -> Packet | None:
        if self.library == "nvenc" and is_broken:
            raise MediaError("out of sessions", expected="one", fix="none")
        return encode(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "encode", fail_once_broken)
    is_broken = False
    stream = frames()
    for _ in range(3):
        packet, stats = next(stream)
    assert (stats.encoder, stats.encoder_reason, stats.keyframes) == ("nvenc", "", 1)

    is_broken = True
    packet, stats = next(stream)
    assert packet is not None
    assert packet.is_keyframe
    assert (stats.encoder, stats.encoder_reason) == ("x264", "NVENC failed: out of sessions")
    assert "NVENC failed: out of sessions; x264 encodes now" in caplog.text

    is_broken = False
    packet, stats = next(stream)
    assert stats.encoder == "x264"
    assert stats.keyframes == 2


@pytest.mark.usefixtures("no_nvenc")
def test_failure_of_the_last_encoder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Encoder, *args: object, **options: object) -> None:
        raise MediaError("broken", expected="not", fix="none")

    monkeypatch.setattr(Encoder, "encode", fail)
    with pytest.raises(MediaError, match="broken"):
        next(frames())
