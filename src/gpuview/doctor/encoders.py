"""Does this machine encode? For the doctor."""

from __future__ import annotations

import av

from gpuview.errors import MediaError
from gpuview.media.encode.codec import Codec, new_context
from gpuview.media.encode.encoder import Encoder

__all__ = ["can_use_nvenc", "encode_one_frame"]

_WIDTH, _HEIGHT = 640, 360
_FPS = 30.0
_BITRATE_BPS = 1_000_000


def encode_one_frame(codec: Codec) -> int:
    """Encode a black picture, and return how many bytes it took.

    Raises:
        MediaError: The encoder is missing from this build of FFmpeg, or fails.
    """
    frame = av.VideoFrame(_WIDTH, _HEIGHT, "yuv420p")
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    encoder = Encoder(codec, _WIDTH, _HEIGHT, fps=_FPS, bitrate_bps=_BITRATE_BPS)
    packet = encoder.encode(frame, 0, is_keyframe=True)
    if packet is None or not packet.is_keyframe:
        raise MediaError(
            f"the {codec} encoder made no keyframe of its first picture",
            expected="a packet that can be decoded by itself",
            fix="reinstall PyAV: pip install --force-reinstall av",
        )
    return packet.nbytes


def can_use_nvenc() -> bool:
    """Tell whether this GPU, its driver and this build of FFmpeg encode H.264 on the GPU."""
    try:
        new_context("h264_nvenc", _WIDTH, _HEIGHT, _FPS, _BITRATE_BPS).open()
    except (av.FFmpegError, ValueError):
        return False
    return True
