"""Decodes pictures that are kept, one at a time, to JPEG."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import av

from gpuview.errors import MediaError
from gpuview.media.encode.history import Group, Picture
from gpuview.media.encode.jpeg import Jpeg

__all__ = ["MAX_JPEG_NBYTES", "PictureDecoder"]

MAX_JPEG_NBYTES = 256 * 1024
"""About the most that one picture takes; a larger one is made coarser, for poor links."""

_MAX_DECODED_NBYTES = 32 * 1024 * 1024
_DECODERS = {"H264": "h264", "VP8": "vp8"}


class PictureDecoder:
    """Decodes from a group's keyframe on, and goes on where it is. One thread at a time.

    It keeps the newest of what it has decoded, or each step back would begin at the keyframe.

    Args:
        is_stopped: Whether nothing is wanted any more; asked before each packet.
    """

    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        self._is_stopped = is_stopped
        self._context: av.VideoCodecContext | None = None
        self._group: Group | None = None
        self._next = 0  # the index of the next packet
        self._frames: dict[int, av.VideoFrame] = {}  # by index, in order

    def jpeg(self, picture: Picture) -> bytes:
        """Return a picture as JPEG; the pages that get JPEG get that very one.

        Raises:
            MediaError: It cannot be decoded.
        """
        if picture.group.codec == "JPEG":
            return picture.group.packets[picture.index].data
        frame = self._decode(picture)
        jpeg = Jpeg(frame.width, frame.height)
        packets = jpeg.encode(frame, target_bps=MAX_JPEG_NBYTES * 8, frame_s=1.0, is_keyframe=False)
        return b"".join(map(bytes, packets))

    def forget(self) -> None:
        """Free the decoder and all pictures."""
        self._context, self._group, self._next = None, None, 0
        self._frames.clear()

    def _decode(self, picture: Picture) -> av.VideoFrame:
        is_kept = picture.group is self._group and picture.index in self._frames
        if not is_kept:
            self._run_to(picture)
        frame = self._frames.get(picture.index)
        if frame is None:
            raise MediaError(
                "the decoder gives no picture",
                expected="one for each packet",
                fix="step to another picture",
            )
        return frame

    def _run_to(self, picture: Picture) -> None:
        if picture.group is not self._group or picture.index < self._next:
            self._begin(picture.group)
        assert self._context is not None
        try:
            for packet in picture.group.packets[self._next : picture.index + 1]:
                for frame in self._context.decode(av.Packet(packet.data)):
                    self._keep(self._next, frame)
                self._next += 1
                if self._is_stopped():
                    break
        except av.FFmpegError as exc:
            self.forget()
            raise MediaError(
                f"this picture cannot be decoded any more: {exc}",
                expected="packets as they were sent",
                fix="step to another picture",
            ) from exc

    def _keep(self, index: int, frame: av.VideoFrame) -> None:
        self._frames[index] = frame
        most = max(1, _MAX_DECODED_NBYTES // (frame.width * frame.height * 3 // 2))
        while len(self._frames) > most:
            del self._frames[next(iter(self._frames))]

    def _begin(self, group: Group) -> None:
        self.forget()
        context = av.CodecContext.create(_DECODERS[group.codec], "r")
        context.options = {"flags": "low_delay"}  # or it would hold the last picture back
        context.thread_count = 1
        self._context = cast(av.VideoCodecContext, context)
        self._group = group

    def __repr__(self) -> str:
        return f"<PictureDecoder {self._group} next={self._next}>"
