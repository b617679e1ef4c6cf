"""The check "encoder": does each codec encode a picture on this machine?"""

from __future__ import annotations

import av

from gpuview.doctor.report import Check
from gpuview.errors import MediaError
from gpuview.media.encode.codec import Codec, new_context
from gpuview.media.encode.encoder import Encoder

__all__ = ["check_encoders", "encode_one_frame"]

_CODECS = (Codec("H264", "Main"), Codec("H264", "Constrained Baseline"), Codec("VP8"))
_WIDTH, _HEIGHT = 640, 360
_FPS = 30.0
_BITRATE_BPS = 1_000_000
_REINSTALL = "reinstall PyAV: pip install --force-reinstall av"


def check_encoders() -> list[Check]:
    """Encode a picture with each codec; takes some 50 ms."""
    return [*map(_check_encoder, _CODECS), _check_nvenc()]


def _check_encoder(codec: Codec) -> Check:
    name = f"encoder {codec}"
    try:
        nbytes = encode_one_frame(codec)
    except MediaError as exc:
        return Check(name, "fail", exc.problem, _REINSTALL)
    return Check(name, "ok", f"encodes; a black 640x360 picture takes {nbytes} bytes")


def encode_one_frame(codec: Codec) -> int:
    """Encode a black picture, and return its size in bytes.

    Raises:
        MediaError: The encoder is missing from this build of FFmpeg, or fails.
    """
    frame = av.VideoFrame(_WIDTH, _HEIGHT, "yuv420p")
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    encoder = Encoder(codec, _WIDTH, _HEIGHT, fps=_FPS, max_bitrate_bps=_BITRATE_BPS)
    packet = encoder.encode(frame, 0, 0, is_keyframe=True)
    if packet is None or not packet.is_keyframe:
        raise MediaError(
            f"the {codec} encoder made no keyframe of its first picture",
            expected="a packet that can be decoded by itself",
            fix=_REINSTALL,
        )
    return packet.nbytes


def _check_nvenc() -> Check:
    """Check whether GPU, driver and this build of FFmpeg can encode H.264 on the GPU."""
    try:
        new_context("h264_nvenc", _WIDTH, _HEIGHT, _FPS, _BITRATE_BPS).open()
    except (av.FFmpegError, ValueError):
        return Check("encoder NVENC", "skipped", "not on this machine; gpuview encodes on the CPU")
    return Check("encoder NVENC", "ok", "works; gpuview uses it unless GPUVIEW_ENCODER is x264")
