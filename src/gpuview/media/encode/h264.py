"""H.264 by x264 and by NVENC: the best measured settings for a live picture, and why."""

from __future__ import annotations

from typing import Any

import av
from av.video.frame import PictureType

from gpuview.media.encode.codec import Codec, new_context
from gpuview.media.encode.frame_bits import KEYFRAME_S

__all__ = ["X264", "open_nvenc"]

# At this floor, all that people look at is sharper than JPEG of quality 80 of the same frames, at
# half of its bits or fewer: `make bench-quality`.
_MIN_QUANTISER = 22

# x264 quantises finer detail to zero than its preset's 21 and 11 would: 1.5 to 3 dB for the same
# bits, as the preset searches for no better coefficients.
_DEADZONE = 6

# In bits for each frame, see Note [bits for each frame]. Not 30: x264's level grows with the rate.
_CLOCK_FPS = 10
_SPARE = 1.1  # x264 uses some nine tenths of what it may
_SAME = 0.05

# The VUI. Without it, browsers show other colours: see Note [one colour matrix].
_BT601_MATRIX = 6
_BT709_PRIMARIES = 1  # as screens have; the transfer function has the same number
_LIMITED_RANGE = 1

_NVENC_BUFFER_S = 0.15


class X264:
    """x264: ultrafast with deblocking (and CABAC in Main), no delay, the bitrate set by frame.

    Compared with aiortc's medium preset, it takes a fifth of the CPU at a higher PSNR.
    """

    def __init__(self, codec: Codec, width: int, height: int, ceiling_bps: int) -> None:
        self._settings = codec, width, height, ceiling_bps
        self._most_bps = round(ceiling_bps * max(KEYFRAME_S * _CLOCK_FPS, 1) * _SPARE)
        self._bps = 0
        self._is_fresh = False
        self._context: av.VideoCodecContext
        self._open()

    def encode(
        self, frame: av.VideoFrame, *, target_bps: int, frame_s: float, is_keyframe: bool
    ) -> list[av.Packet[Any]]:
        """Encode a frame in the bits that ``target_bps`` gives in ``frame_s``."""
        if is_keyframe and not self._is_fresh:
            # Its buffer is full then. In the old one, a keyframe would get one frame's bits; to
            # open it takes a millisecond.
            self._open()
        self._set_bits(target_bps * (KEYFRAME_S if self._is_fresh else frame_s))
        self._is_fresh = False
        frame.pict_type = PictureType.NONE  # another encoder may have asked for a keyframe
        return self._context.encode(frame)

    def _set_bits(self, bits: float) -> None:
        bps = min(round(bits * _CLOCK_FPS * _SPARE), self._most_bps)
        if self._is_fresh or abs(bps - self._bps) > _SAME * self._bps:
            self._context.bit_rate = self._bps = bps

    def _open(self) -> None:
        codec, width, height, _ = self._settings
        context = _new_h264("libx264", codec, width, height, _CLOCK_FPS, self._most_bps)
        context.thread_type = "SLICE"  # each frame thread would delay the video by one frame
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            # CBR: the only mode in which x264 changes its bitrate while it runs.
            "maxrate": str(self._most_bps),
            "bufsize": "1000",  # x264 raises it to one frame
            "qmin": str(_MIN_QUANTISER),
            "x264-params": f"cabac={int(codec.profile == 'Main')}:no-deblock=0"
            f":repeat-headers=1:scenecut=0:deadzone-inter={_DEADZONE}:deadzone-intra={_DEADZONE}",
        }
        context.open()
        self._context, self._is_fresh = context, True


def open_nvenc(
    codec: Codec, width: int, height: int, fps: float, bitrate_bps: int
) -> av.VideoCodecContext:
    """Open NVENC for frames in host memory: constant bitrate, no delay."""
    context = _new_h264("h264_nvenc", codec, width, height, fps, bitrate_bps)
    context.options = {
        "preset": "p3",
        "tune": "ull",
        "rc": "cbr",
        "zerolatency": "1",
        "delay": "0",
        "forced-idr": "1",
        "bf": "0",
        "qmin": str(_MIN_QUANTISER),
        "maxrate": str(bitrate_bps),
        "bufsize": str(round(bitrate_bps * _NVENC_BUFFER_S)),
    }
    context.open()
    return context


def _new_h264(
    library: str, codec: Codec, width: int, height: int, fps: float, bitrate_bps: int
) -> av.VideoCodecContext:
    context = new_context(library, width, height, fps, bitrate_bps)
    context.profile = "Main" if codec.profile == "Main" else "Baseline"
    context.colorspace = _BT601_MATRIX
    context.color_primaries = _BT709_PRIMARIES
    context.color_trc = _BT709_PRIMARIES
    context.color_range = _LIMITED_RANGE
    return context
