"""A ring slot -> a frame that encoders read."""

from __future__ import annotations

import av
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from gpuview.wire.ring import PixelFormat, Slot, frame_nbytes

__all__ = ["SlotConverter"]


class SlotConverter:
    """Copies or converts slots into ``yuv420p`` frames. One thread at a time.

    A reformatter of its own: PyAV keeps one on each frame otherwise, and crashes when two threads
    meet there.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, slot: Slot) -> av.VideoFrame | None:
        """Return the slot's picture in memory of its own, or None if it was overwritten meanwhile.

        Returns:
            ``yuv420p``, limited-range BT.601, each chroma sample the mean of its 2x2 block.
        """
        if slot.pixel_format is PixelFormat.RGB24:
            frame = self._rgb_to_i420(slot)
        else:
            frame = _copy_i420(slot)
        return frame if slot.is_whole() else None

    def _rgb_to_i420(self, slot: Slot) -> av.VideoFrame:
        rgb = slot.data.reshape(slot.height, slot.width, 3)
        return self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(rgb, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            # Anything but AREA takes one pixel's chroma for four: off by 25 levels at an edge.
            interpolation=Interpolation.AREA,
            threads=1,
        )


def _copy_i420(slot: Slot) -> av.VideoFrame:
    data = slot.data.copy()
    luma_nbytes = slot.width * slot.height
    chroma_nbytes = luma_nbytes // 4
    half = (slot.height // 2, slot.width // 2)
    y = data[:luma_nbytes].reshape(slot.height, slot.width)
    u = data[luma_nbytes : luma_nbytes + chroma_nbytes].reshape(half)
    v = data[luma_nbytes + chroma_nbytes : frame_nbytes(slot.pixel_format, slot.width, slot.height)]
    return av.VideoFrame.from_dlpack((y, u, v.reshape(half)), format="yuv420p")
