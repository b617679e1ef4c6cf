"""One open encoder: H.264, VP8 or JPEG."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import av
from av.codec.codec import UnknownCodecError

from gpuview.errors import MediaError
from gpuview.media.aiortc_compat import packetizer
from gpuview.media.encode.codec import CLOCK_HZ, TIME_BASE, Codec, Packet
from gpuview.media.encode.fixed_rate import FixedRate
from gpuview.media.encode.frame_bits import MAX_FRAME_S, FrameTime, ceiling_bps, checked_target
from gpuview.media.encode.h264 import X264, open_nvenc
from gpuview.media.encode.jpeg import BEST_QUANTISER, Jpeg
from gpuview.media.encode.vp8 import open_vp8

__all__ = ["Encoder", "Library"]

Library = Literal["x264", "nvenc", "vp8", "jpeg"]

_USUAL: dict[str, Library] = {"H264": "x264", "VP8": "vp8", "JPEG": "jpeg"}

_LAMBDA_PER_QUANTISER = 118  # FFmpeg's FF_QP2LAMBDA


class Encoder:
    """Encodes ``yuv420p`` frames of one size without delay. One thread at a time.

    Args:
        codec: The codec that the viewers negotiated.
        width: Pixels, even.
        height: Pixels, even.
        fps: The expected frame rate.
        max_bitrate_bps: No target is higher.
        target_bps: The first target.
        library: What encodes: ``"x264"``, ``"nvenc"``, ``"vp8"`` or ``"jpeg"``. None: the usual one
            of the codec.

    Raises:
        MediaError: The encoder cannot be opened at this size.
    """

    def __init__(
        self,
        codec: Codec,
        width: int,
        height: int,
        *,
        fps: float,
        max_bitrate_bps: int,
        target_bps: float = math.inf,
        library: Library | None = None,
    ) -> None:
        self.codec = codec
        self.width = width
        self.height = height
        self.library: Library = library or _USUAL[codec.name]
        self.ceiling_bps = ceiling_bps(width, height, fps, max_bitrate_bps)
        self._packetizer = packetizer(codec.name) if codec.name != "JPEG" else None
        self._capture_ns = 0  # of the last picture
        self._frame_time = FrameTime(min(1 / fps, MAX_FRAME_S))
        try:
            self._session = self._open(fps, checked_target(target_bps, self.ceiling_bps))
        except UnknownCodecError as exc:
            raise MediaError(
                f"this PyAV cannot encode {codec}: it was built without {exc}",
                expected="PyAV with libx264 and libvpx, as on PyPI",
                fix="pip install --force-reinstall av",
            ) from exc
        except (av.FFmpegError, ValueError) as exc:
            raise MediaError(
                f"cannot open {_with_article(codec)} encoder for {width} x {height} pixels: "
                f"{_reason(exc)}",
                expected="sides of 16 to 8192 pixels",
                fix="show a smaller picture, for example frame[..., ::2, ::2]",
            ) from exc

    def _open(self, fps: float, target_bps: int) -> X264 | FixedRate | Jpeg:
        codec, width, height = self.codec, self.width, self.height
        if self.library == "jpeg":
            return Jpeg(width, height)
        if self.library == "x264":
            return X264(codec, width, height, self.ceiling_bps)
        open_context = open_nvenc if self.library == "nvenc" else open_vp8
        return FixedRate(partial(open_context, codec, width, height, fps), target_bps)

    def encode(
        self,
        frame: av.VideoFrame,
        timestamp: int,
        capture_ns: int,
        *,
        is_keyframe: bool,
        target_bps: float = math.inf,
    ) -> Packet | None:
        """Encode one frame.

        Args:
            frame: ``yuv420p``, limited-range BT.601, of the encoder's size. Its pts and picture
                type are overwritten; its pixels are read before this returns.
            timestamp: 90 kHz, greater than the last frame's.
            capture_ns: When the picture was pushed; it goes into the packet.
            is_keyframe: Whether to make the packet decodable by itself.
            target_bps: The bitrate from now on. libvpx follows it in steps, with a keyframe.

        Returns:
            The packet, or None if the encoder skipped the frame: to keep its bitrate, or because it
            would be no better than the last one.

        Raises:
            MediaError: The encoder failed; open another one.
        """
        is_repeat, self._capture_ns = capture_ns == self._capture_ns, capture_ns
        if is_repeat and not is_keyframe and self._is_at_best:
            return None
        frame.pts = timestamp
        frame.time_base = TIME_BASE
        try:
            encoded = self._session.encode(
                frame,
                target_bps=checked_target(target_bps, self.ceiling_bps),
                frame_s=self._frame_time.next(timestamp / CLOCK_HZ),
                is_keyframe=is_keyframe,
            )
        except (av.FFmpegError, ValueError) as exc:
            raise MediaError(
                f"the {self.codec} encoder failed at {self.width} x {self.height}: {_reason(exc)}",
                expected="a packet for each frame",
                fix="please report it; this should never happen",
            ) from exc
        if not encoded:
            return None
        packet = encoded[0]
        payloads, rtp_timestamp = (
            self._packetizer.pack(packet) if self._packetizer is not None else ([], timestamp)
        )
        return Packet(
            data=bytes(packet),
            payloads=payloads,
            timestamp=rtp_timestamp,
            capture_ns=capture_ns,
            is_keyframe=bool(packet.is_keyframe),
            width=self.width,
            height=self.height,
            quantiser=self._session.quantiser
            if isinstance(self._session, Jpeg)
            else _quantiser(packet),
        )

    @property
    def _is_at_best(self) -> bool:
        """Whether to repeat no picture that stands still: a JPEG costs as much each time."""
        return isinstance(self._session, Jpeg) and self._session.quantiser == BEST_QUANTISER

    def __repr__(self) -> str:
        return f"<Encoder {self.codec} {self.library} {self.width}x{self.height}>"


def _with_article(codec: Codec) -> str:
    return f"{'an' if codec.name == 'H264' else 'a'} {codec}"


def _reason(exc: av.FFmpegError | ValueError) -> str:
    """Return what FFmpeg says, without PyAV's call of it and all of the arguments."""
    if isinstance(exc, av.FFmpegError) and exc.strerror:
        return exc.strerror
    return str(exc)


def _quantiser(packet: av.Packet[av.VideoStream]) -> int | None:
    """Return the mean quantiser that the encoder reports with a packet."""
    if not packet.has_sidedata("quality_stats"):
        return None
    quality = int.from_bytes(bytes(packet.get_sidedata("quality_stats"))[:4], "little")
    return round(quality / _LAMBDA_PER_QUANTISER)
