"""The record that a device writes to a slot of the ring: a header and the picture, twice.

The layout is the ring's (``gpuview.protocol.ring``): 64 bytes of header, three planes of I420 for
the encoder, then three of RGB. A picture that stands still is sent without loss from the latter:
nobody has to ask the device again, whose tensor may have changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpuview.frames.picture.geometry import Label, PanelPlan
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import HEADER_NBYTES

__all__ = ["i420_nbytes", "part", "planes", "record_nbytes", "rgb_planes"]

_Planes = tuple[Tensor, Tensor, Tensor]


def record_nbytes(height: int, width: int) -> int:
    """Return the size of a record with a picture of these sides, which are even."""
    return HEADER_NBYTES + frame_nbytes(PixelFormat.I420_RGB24P, width, height)


def i420_nbytes(height: int, width: int) -> int:
    """Return the size of the I420 picture, which follows the header."""
    return frame_nbytes(PixelFormat.I420, width, height)


def planes(record: Tensor, height: int, width: int) -> _Planes:
    """Return a record's I420 as views: ``(H, W)`` luma, ``(H/2, W/2)`` Cb and Cr."""
    n_pixels = height * width
    half = (height // 2, width // 2)
    sizes = [n_pixels, n_pixels // 4, n_pixels // 4]
    i420 = record[HEADER_NBYTES:][: i420_nbytes(height, width)]
    luma, cb, cr = torch.split(i420, sizes)
    return luma.view(height, width), cb.view(half), cr.view(half)


def rgb_planes(record: Tensor, height: int, width: int) -> Tensor:
    """Return a record's RGB as a view, ``(3, H, W)``."""
    start = HEADER_NBYTES + i420_nbytes(height, width)
    return record[start:].view(3, height, width)


def part(planes: _Planes, where: PanelPlan | Label) -> _Planes:
    """Return the part of each plane that belongs to a panel or a label, as views."""
    y, x, height, width = where.y, where.x, where.height, where.width
    luma, cb, cr = planes
    half = (slice(y // 2, (y + height) // 2), slice(x // 2, (x + width) // 2))
    return luma[y : y + height, x : x + width], cb[half], cr[half]
