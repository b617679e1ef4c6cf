"""Which encoder serves a codec, and which one comes next when it fails."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import cache

import av

from gpuview.errors import MediaError
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.encoder import Encoder, Library
from gpuview.protocol.media_messages import EncoderSetting

__all__ = [
    "Line",
    "find_encoders",
    "line_for",
    "usable_codecs",
    "why_no_h264",
    "why_no_nvenc",
    "why_vp8",
]

logger = logging.getLogger("gpuview.media")

_PROBE_WIDTH, _PROBE_HEIGHT = 320, 240
_probing = threading.Lock()
_NAMES = {"x264": "x264", "nvenc": "NVENC", "vp8": "libvpx", "jpeg": "libavcodec"}


@dataclass(slots=True)
class Line:
    """The encoders that may serve, the best one first. One thread at a time."""

    libraries: tuple[Library, ...]
    reason: str = ""
    """Why a better one does not serve; empty if the best one does."""

    @property
    def first(self) -> Library:
        return self.libraries[0]

    def pass_on(self, problem: str) -> bool:
        """Let the next one serve for good, if there is one, after the first one has failed."""
        if len(self.libraries) == 1:
            return False
        failed, *rest = self.libraries
        self.reason = f"{_NAMES[failed]} failed: {problem}"
        self.libraries = tuple(rest)
        logger.warning("%s; %s encodes now", self.reason, _NAMES[self.first])
        return True


def find_encoders(setting: EncoderSetting) -> None:
    """Find out which encoders work, so that the first viewer does not wait for it. Any thread.

    Once for each media process, as it writes to the log why NVENC does not serve.
    """
    if why_no_h264() or setting not in ("auto", "nvenc"):
        return
    if why := why_no_nvenc():
        # Most machines have none, which alarms nobody who has not asked for it.
        level = logging.WARNING if setting == "nvenc" else logging.INFO
        logger.log(level, "%s; x264 encodes", why)


def line_for(codec: Codec, setting: EncoderSetting) -> Line:
    """Return the encoders for a codec: NVENC where it works and may be used, then x264.

    Asks the GPU the first time, which takes 20 ms without one, and up to a second with one.
    """
    if codec.name == "JPEG":
        return Line(("jpeg",))
    if codec.name != "H264":
        return Line(("vp8",), why_vp8(setting))
    if setting in ("x264", "vp8"):
        return Line(("x264",), f"the setting encoder is {setting}")
    if why := why_no_nvenc():
        return Line(("x264",), why)
    return Line(("nvenc", "x264"))


def usable_codecs(setting: EncoderSetting = "auto") -> tuple[str, ...]:
    """Return the names of the codecs that viewers may be sent, the better one first.

    Raises:
        MediaError: This PyAV encodes none of them.
    """
    if setting == "vp8" or why_no_h264():
        _probe(Codec("VP8"))
        return ("VP8",)
    return ("H264", "VP8")


def why_no_h264() -> str:
    """Return why this PyAV does not encode H.264; empty if it does. Takes milliseconds, once."""
    with _probing:
        return _why_no_h264()


def why_no_nvenc() -> str:
    """Return why NVENC does not encode a frame here; empty if it does."""
    with _probing:
        return _why_no_nvenc()


@cache
def _why_no_h264() -> str:
    try:
        _probe(Codec("H264", "Main"))
    except MediaError as exc:
        logger.warning("viewers get VP8: %s", exc.problem)
        return exc.problem
    return ""


@cache
def _why_no_nvenc() -> str:
    try:
        _probe(Codec("H264", "Main"), "nvenc")
    except MediaError as exc:
        return f"no NVENC: {exc.problem}"
    return ""


def why_vp8(setting: EncoderSetting) -> str:
    """Return why a viewer gets VP8."""
    if setting == "vp8":
        return "the setting encoder is vp8"
    return why_no_h264() or "the browser does not offer it"


def _probe(codec: Codec, library: Library | None = None) -> None:
    encoder = Encoder(
        codec, _PROBE_WIDTH, _PROBE_HEIGHT, fps=30, max_bitrate_bps=1_000_000, library=library
    )
    frame = av.VideoFrame(_PROBE_WIDTH, _PROBE_HEIGHT, "yuv420p")
    encoder.encode(frame, 0, 0, is_keyframe=True)
