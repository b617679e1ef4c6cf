"""A ring slot -> a frame that encoders read."""

from __future__ import annotations

from itertools import accumulate

import av
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from gpuview.wire.ring import PixelFormat, Slot

__all__ = ["SlotConverter"]


class SlotConverter:
    """Copies or converts slots into ``yuv420p`` frames. One thread at a time.

    Without NumPy, whose import would be a fifth of the media process's start-up.
    """

    def __init__(self) -> None:
        # One of our own: PyAV keeps one on each frame otherwise, and crashes when two threads meet
        # there.
        self._reformatter = VideoReformatter()

    def convert(self, slot: Slot) -> av.VideoFrame | None:
        """Return the slot's picture in memory of its own, or None if it was overwritten meanwhile.

        Returns:
            ``yuv420p``, limited-range BT.601, each chroma sample the mean of its 2x2 block.
        """
        if slot.pixel_format is PixelFormat.RGB24:
            frame = self._rgb_to_i420(slot)
        else:
            frame = _copied(slot, "yuv420p", [slot.width, slot.width // 2, slot.width // 2])
        return frame if slot.is_whole() else None

    def _rgb_to_i420(self, slot: Slot) -> av.VideoFrame:
        return self._reformatter.reformat(
            _copied(slot, "rgb24", [3 * slot.width]),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            # Anything but AREA takes one pixel's chroma for four: off by 25 levels at an edge.
            interpolation=Interpolation.AREA,
            threads=1,
        )


def _copied(slot: Slot, pixel_format: str, row_nbytes: list[int]) -> av.VideoFrame:
    """Return a new frame with the slot's bytes.

    Args:
        slot: Its planes follow each other without a gap.
        pixel_format: FFmpeg's name for them.
        row_nbytes: The length of a row, of each plane.
    """
    frame = av.VideoFrame(slot.width, slot.height, pixel_format)
    nbytes = [row * plane.height for row, plane in zip(row_nbytes, frame.planes, strict=True)]
    ends = list(accumulate(nbytes))
    for plane, row, size, end in zip(frame.planes, row_nbytes, nbytes, ends, strict=True):
        _fill(plane, slot.data[end - size : end], row)
    return frame


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
