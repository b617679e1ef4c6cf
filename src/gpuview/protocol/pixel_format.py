"""The pixels of a frame that crosses from the kernel to the media process."""

from __future__ import annotations

import enum

__all__ = ["MIN_SIDE", "PixelFormat", "frame_nbytes"]

MIN_SIDE = 16
"""Frames in the ring have even sides of at least this many pixels: below, codecs refuse."""


class PixelFormat(enum.IntEnum):
    """The layout of a slot's bytes."""

    RGB24 = 1
    """``(H, W, 3)`` uint8, gamma-encoded, full range."""
    I420 = 2
    """``(H, W)`` luma, then two ``(H/2, W/2)`` chroma planes; uint8, BT.601 limited range."""
    RGB24P = 3
    """RGB in planes: ``(3, H, W)``."""
    GREY8 = 4
    """``(H, W)`` uint8, gamma-encoded, full range: red, green and blue are the same."""
    I420_RGB24P = 5
    """The same picture twice, for the encoder and without loss: `I420`, then `RGB24P`."""


_BITS_PER_PIXEL = {
    PixelFormat.RGB24: 24,
    PixelFormat.I420: 12,
    PixelFormat.RGB24P: 24,
    PixelFormat.GREY8: 8,
    PixelFormat.I420_RGB24P: 36,
}


def frame_nbytes(pixel_format: PixelFormat, width: int, height: int) -> int:
    """Return the size in bytes of one frame; ``width`` and ``height`` are even."""
    return width * height * _BITS_PER_PIXEL[pixel_format] // 8
