"""H.264 by x264: the best measured settings for a live picture, and why."""

from __future__ import annotations

import av

from gpuview.media.encode.codec import Codec, new_context

__all__ = ["open_h264"]

_VBV_S = (
    0.15  # the most that a keyframe may take: this many seconds of stream, or 3 to 5 other frames
)

# The VUI. Without it, browsers show other colours: see Note [one colour matrix].
_BT601_MATRIX = 6
_BT709_PRIMARIES = 1  # as screens have; the transfer function has the same number
_LIMITED_RANGE = 1


def open_h264(
    codec: Codec, width: int, height: int, fps: float, bitrate_bps: int
) -> av.VideoCodecContext:
    """Open x264: ultrafast with deblocking (and CABAC in Main), constant bitrate, no delay.

    Compared with aiortc's medium preset, it takes a fifth of the CPU at a higher PSNR.
    """
    context = new_context("libx264", width, height, fps, bitrate_bps)
    context.thread_type = "SLICE"  # each frame thread would delay the video by one frame
    context.profile = "Main" if codec.profile == "Main" else "Baseline"
    context.colorspace = _BT601_MATRIX
    context.color_primaries = _BT709_PRIMARIES
    context.color_trc = _BT709_PRIMARIES
    context.color_range = _LIMITED_RANGE
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        # CBR: the only mode in which x264 changes its bitrate while it runs.
        "maxrate": str(bitrate_bps),
        "bufsize": str(round(bitrate_bps * _VBV_S)),
        "forced-idr": "1",
        "x264-params": f"cabac={int(codec.profile == 'Main')}:no-deblock=0"
        ":repeat-headers=1:scenecut=0",
    }
    context.open()
    return context
