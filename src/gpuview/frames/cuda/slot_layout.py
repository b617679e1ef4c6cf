"""The record that a device writes to a slot of the ring: a header and an I420 picture.

The layout is the ring's (``gpuview.protocol.ring``): 64 bytes of header, then the three planes.
"""

from __future__ import annotations

from torch import Tensor

from gpuview.protocol.ring import HEADER_NBYTES, PixelFormat, frame_nbytes

__all__ = ["PICTURE_AT", "plane_offsets", "planes", "record_nbytes"]

PICTURE_AT = HEADER_NBYTES
"""The offset of the picture in a record."""


def record_nbytes(height: int, width: int) -> int:
    """Return the size of a record with a picture of these sides, which are even."""
    return PICTURE_AT + frame_nbytes(PixelFormat.I420, width, height)


def plane_offsets(y: int, x: int, height: int, width: int) -> tuple[int, int, int]:
    """Return the offsets of a pixel's luma, Cb and Cr in a record, in bytes; y and x are even.

    A row of luma has ``width`` bytes, a row of chroma half of that.
    """
    n_pixels = height * width
    half = y // 2 * (width // 2) + x // 2
    cb_at = PICTURE_AT + n_pixels + half
    return PICTURE_AT + y * width + x, cb_at, cb_at + n_pixels // 4


def planes(record: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a record's planes as views: ``(H, W)`` luma, ``(H/2, W/2)`` Cb and Cr."""
    n_pixels = height * width
    cb_at = PICTURE_AT + n_pixels
    cr_at = cb_at + n_pixels // 4
    half = (height // 2, width // 2)
    luma = record[PICTURE_AT:cb_at].view(height, width)
    return luma, record[cb_at:cr_at].view(half), record[cr_at:].view(half)
