"""Converts ring slots to frames for the encoders."""

from __future__ import annotations

import av
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from gpuview.media.encode.tiers import Tier, scaled_side
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import Slot

__all__ = ["SlotConverter", "TierScaler", "copied_without_loss"]


class SlotConverter:
    """Copies or converts slots into ``yuv420p`` frames. One thread at a time.

    Does without NumPy, whose import would add a fifth to the media process's start-up.
    """

    def __init__(self) -> None:
        # Without it, PyAV keeps a reformatter on each frame, and crashes when two threads use it.
        self._reformatter = VideoReformatter()

    def convert(self, slot: Slot) -> av.VideoFrame | None:
        """Return a copy of the slot's picture, or None if it was overwritten meanwhile.

        Returns:
            ``yuv420p``, limited-range BT.601, each chroma sample the mean of its 2x2 block.
        """
        pixel_format, data = slot.pixel_format, slot.data
        if pixel_format is PixelFormat.I420_RGB24P:
            pixel_format = PixelFormat.I420  # the rest is for `copied_without_loss`
        frame = _copied(data, pixel_format, slot.width, slot.height)
        if pixel_format is not PixelFormat.I420:
            frame = self._rgb_to_i420(frame)
        return frame if slot.is_whole() else None

    def _rgb_to_i420(self, frame: av.VideoFrame) -> av.VideoFrame:
        return self._reformatter.reformat(
            frame,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            # Without AREA, one pixel's chroma stands for four: wrong by 25 levels at an edge.
            interpolation=Interpolation.AREA,
            threads=1,
        )


class TierScaler:
    """Makes the smaller pictures of the tiers, each once for a frame. One thread at a time."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._scaled: dict[Tier, av.VideoFrame] = {}

    def scaled(self, frame: av.VideoFrame, tier: Tier) -> av.VideoFrame:
        """Return ``frame`` in the tier's size; the frame itself if that is the full one."""
        if tier is Tier.FULL:
            return frame
        if tier not in self._scaled:
            self._scaled[tier] = self._reformatter.reformat(
                frame,
                width=scaled_side(frame.width, tier),
                height=scaled_side(frame.height, tier),
                interpolation=Interpolation.AREA,
                threads=1,
            )
        return self._scaled[tier]

    def forget(self) -> None:
        """Note that the next frame shows another picture."""
        self._scaled.clear()


def copied_without_loss(slot: Slot) -> av.VideoFrame | None:
    """Return a grey or RGB copy of the slot's picture; None if the slot has only I420."""
    pixel_format, data = slot.pixel_format, slot.data
    if pixel_format is PixelFormat.I420:
        return None
    if pixel_format is PixelFormat.I420_RGB24P:
        data = data[frame_nbytes(PixelFormat.I420, slot.width, slot.height) :]
        pixel_format = PixelFormat.RGB24P
    return _copied(data, pixel_format, slot.width, slot.height)


def _copied(data: memoryview, pixel_format: PixelFormat, width: int, height: int) -> av.VideoFrame:
    """Return a new frame with a copy of ``data``, which may be longer."""
    name, order, row_nbytes = _layout(pixel_format, width)
    frame = av.VideoFrame(width, height, name)
    start = 0
    for index, row in zip(order, row_nbytes, strict=True):
        plane = frame.planes[index]
        end = start + row * plane.height
        _fill(plane, data[start:end], row)
        start = end
    return frame


def _layout(pixel_format: PixelFormat, width: int) -> tuple[str, list[int], list[int]]:
    """Return FFmpeg's name for the format, then the index and the bytes per row of each plane.

    Planes are in the slot's order, without gaps between them.
    """
    if pixel_format is PixelFormat.I420:
        return "yuv420p", [0, 1, 2], [width, width // 2, width // 2]
    if pixel_format is PixelFormat.GREY8:
        return "gray", [0], [width]
    if pixel_format is PixelFormat.RGB24P:
        return "gbrp", [2, 0, 1], [width] * 3
    return "rgb24", [0], [3 * width]


def _fill(plane: VideoPlane, data: memoryview, row_nbytes: int) -> None:
    """Copy rows into a plane, whose own rows may be longer."""
    stride = plane.line_size
    target = memoryview(plane)
    if stride == row_nbytes:
        target[: len(data)] = data
        return
    for row in range(plane.height):
        target[row * stride : row * stride + row_nbytes] = data[
            row * row_nbytes : (row + 1) * row_nbytes
        ]
