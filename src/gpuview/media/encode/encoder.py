"""One open encoder, H.264 or VP8."""

from __future__ import annotations

import logging
from functools import cache

import av
from av.codec.codec import UnknownCodecError
from av.video.frame import PictureType

from gpuview.errors import MediaError
from gpuview.media.encode.codec import TIME_BASE, Codec, Packet
from gpuview.media.encode.h264 import open_h264
from gpuview.media.encode.vp8 import open_vp8
from gpuview.media.rtp_sender import packetizer

__all__ = ["Encoder", "usable_codecs", "why_no_h264"]

logger = logging.getLogger("gpuview.media")

_LAMBDA_PER_QUANTISER = 118  # FFmpeg's FF_QP2LAMBDA
_PROBE_WIDTH, _PROBE_HEIGHT = 320, 240


class Encoder:
    """Encodes ``yuv420p`` frames of one size without delay. One thread at a time.

    Args:
        codec: The codec that the viewers negotiated.
        width: Pixels, even.
        height: Pixels, even.
        fps: The expected frame rate, for rate control.
        bitrate_bps: The target bitrate.

    Raises:
        MediaError: The encoder cannot be opened at this size.
    """

    def __init__(
        self, codec: Codec, width: int, height: int, *, fps: float, bitrate_bps: int
    ) -> None:
        self.codec = codec
        self.width = width
        self.height = height
        self.bitrate_bps = bitrate_bps
        is_h264 = codec.name == "H264"
        self._packetizer = packetizer(codec.name)
        open_context = open_h264 if is_h264 else open_vp8
        try:
            self._context = open_context(codec, width, height, fps, bitrate_bps)
        except UnknownCodecError as exc:
            raise MediaError(
                f"this PyAV cannot encode {codec}: it was built without {exc}",
                expected="PyAV with libx264 and libvpx, as on PyPI",
                fix="pip install --force-reinstall av",
            ) from exc
        except (av.FFmpegError, ValueError) as exc:
            raise MediaError(
                f"cannot open a {codec} encoder for {width} x {height} pixels: {exc}",
                expected="sides of 16 to 8192 pixels",
                fix="show a smaller picture, for example frame[..., ::2, ::2]",
            ) from exc

    def encode(
        self, frame: av.VideoFrame, timestamp: int, capture_ns: int, *, is_keyframe: bool
    ) -> Packet | None:
        """Encode one frame.

        Args:
            frame: ``yuv420p``, limited-range BT.601, of the encoder's size. Its pts and picture
                type are overwritten; its pixels are read before this returns.
            timestamp: 90 kHz, greater than the last frame's.
            capture_ns: When the picture was pushed; it goes into the packet.
            is_keyframe: Whether to make the packet decodable by itself.

        Returns:
            The packet, or None if the encoder skipped the frame to keep its bitrate.

        Raises:
            MediaError: The encoder failed; open another one.
        """
        frame.pts = timestamp
        frame.time_base = TIME_BASE
        frame.pict_type = PictureType.I if is_keyframe else PictureType.NONE
        try:
            encoded = self._context.encode(frame)
        except av.FFmpegError as exc:
            raise MediaError(
                f"the {self.codec} encoder failed at {self.width} x {self.height}: {exc}",
                expected="a packet for each frame",
                fix="please report it; this should never happen",
            ) from exc
        if not encoded:
            return None
        packet = encoded[0]
        payloads, rtp_timestamp = self._packetizer.pack(packet)
        return Packet(
            data=bytes(packet),
            payloads=payloads,
            timestamp=rtp_timestamp,
            capture_ns=capture_ns,
            is_keyframe=bool(packet.is_keyframe),
            width=self.width,
            height=self.height,
            quantiser=_quantiser(packet),
        )

    def __repr__(self) -> str:
        return f"<Encoder {self.codec} {self.width}x{self.height} {self.bitrate_bps} bit/s>"


def _quantiser(packet: av.Packet[av.VideoStream]) -> int | None:
    """Return the mean quantiser that the encoder reports with a packet."""
    if not packet.has_sidedata("quality_stats"):
        return None
    quality = int.from_bytes(bytes(packet.get_sidedata("quality_stats"))[:4], "little")
    return round(quality / _LAMBDA_PER_QUANTISER)


def usable_codecs() -> tuple[str, ...]:
    """Return the names of the codecs that this PyAV encodes, the better one first.

    Raises:
        MediaError: It encodes neither.
    """
    if why_no_h264():
        _probe(Codec("VP8"))
        return ("VP8",)
    return ("H264", "VP8")


@cache
def why_no_h264() -> str:
    """Return why this PyAV does not encode H.264; empty if it does. Takes milliseconds, once."""
    try:
        _probe(Codec("H264", "Main"))
    except MediaError as exc:
        logger.warning("viewers get VP8: %s", exc.problem)
        return exc.problem
    return ""


def _probe(codec: Codec) -> None:
    encoder = Encoder(codec, _PROBE_WIDTH, _PROBE_HEIGHT, fps=30, bitrate_bps=1_000_000)
    frame = av.VideoFrame(_PROBE_WIDTH, _PROBE_HEIGHT, "yuv420p")
    encoder.encode(frame, 0, 0, is_keyframe=True)
