"""Resizing by area along one axis, in plain torch. See Note [area] in `frames.picture.geometry`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["Stretch", "current_stream_id", "most_taps"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some neighbouring pixels of a tile as it is shown, along one axis.

    Its methods run on the device of what they are given, and never wait for it.
    """

    tile: int
    """The axis' length in the tensor."""
    inner: int
    """Its length as it is shown."""
    first: int
    end: int
    """Which of the ``inner`` pixels: from ``first``, up to but without ``end``."""

    @property
    def covered(self) -> slice:
        """The tile's pixels that these touch."""
        return slice(self.first * self.tile // self.inner, -(-self.end * self.tile // self.inner))

    @property
    def owned(self) -> slice:
        """The part of `covered` that no other stretch owns, so that each pixel is counted once."""
        start = self.covered.start
        first, end = (-(-edge * self.tile // self.inner) for edge in (self.first, self.end))
        return slice(first - start, end - start)

    @property
    def is_mean(self) -> bool:
        """Tell whether any pixel is the mean of several."""
        return most_taps(self.tile, self.inner) > 1

    def average(self, values: Tensor, dim: int, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the weighted mean of what each pixel covers; all of ``values`` if not `is_mean`.

        Args:
            values: Four dimensions, ``dim`` is `covered`.
            dim: The one to resize.
            read: Turns some of the values into floats; may return its argument.
        """
        if not self.is_mean:
            return read(values)
        if self.tile % self.inner == 0:
            return _mean_of_neighbours(values, dim, self.tile // self.inner, read)
        index, weights = self._taps(values.device)
        shape = [-1 if other == dim else 1 for other in range(4)]
        first, *others = (read(_select(values, dim, tap)) for tap in index.unbind(1))
        steps = [step.view(shape) for step in weights.to(first.dtype).unbind(1)]
        total = first.mul_(steps[0])
        for part, step in zip(others, steps[1:], strict=True):
            total.addcmul_(part, step)
        return total

    def worst(self, codes: Tensor, dim: int) -> Tensor:
        """Return the greatest value that each pixel covers; all of ``codes`` if not `is_mean`."""
        if not self.is_mean:
            return codes
        index, _ = self._taps(codes.device)
        parts = [_select(codes, dim, tap) for tap in index.unbind(1)]
        return torch.stack(parts).amax(0)

    def spread(self, pixels: Tensor, dim: int) -> Tensor:
        """Repeat pixels of a tile that is enlarged, which `average` leaves as they are."""
        if self.is_mean or self.tile == self.inner:
            return pixels
        return _select(pixels, dim, self._taps(pixels.device)[0][:, 0])

    def cut(self, length: int) -> Iterator[Stretch]:
        """Cut it into stretches of ``length``; the last may be shorter."""
        for first in range(self.first, self.end, length):
            yield Stretch(self.tile, self.inner, first, min(first + length, self.end))

    def _taps(self, device: torch.device) -> tuple[Tensor, Tensor]:
        index, weights = _taps(self.tile, self.inner, device, current_stream_id(device))
        part = slice(self.first, self.end)
        return index[part] - self.covered.start, weights[part]


def most_taps(tile: int, inner: int) -> int:
    """Return the most pixels of ``tile`` that one of ``inner`` shown pixels covers."""
    if tile % inner == 0 or inner % tile == 0:
        return max(1, tile // inner)
    return (tile - 2) // inner + 2  # a tile // inner of them whole, and a part of two others


def _mean_of_neighbours(
    values: Tensor, dim: int, n: int, read: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the mean of every ``n`` neighbours. Slices are faster than an index."""
    every = (slice(None),) * dim
    total = read(values[(*every, slice(0, None, n))]) / n
    for tap in range(1, n):
        total.add_(read(values[(*every, slice(tap, None, n))]), alpha=1 / n)
    return total


def _select(values: Tensor, dim: int, index: Tensor) -> Tensor:
    """Select along the third or the fourth dimension."""
    if dim == 2:
        return values.index_select(2, index)
    # Of the last of two dimensions: ten times faster than of the last of four.
    selected = values.reshape(-1, values.shape[3]).index_select(1, index)
    return selected.view(*values.shape[:3], -1)


def current_stream_id(device: torch.device) -> int:
    """Return the CUDA stream that work goes to now; 0 on the CPU."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


@lru_cache(maxsize=64)
def _taps(tile: int, inner: int, device: torch.device, stream_id: int) -> tuple[Tensor, Tensor]:
    """Return what each of ``inner`` shown pixels covers of ``tile`` pixels.

    Args:
        tile: The axis' length in the tensor.
        inner: Its length as it is shown.
        device: Where the tables are made.
        stream_id: The stream on which they can be used without waiting.

    Returns:
        Which ones and how much of each: ``(inner, taps)`` int64 and float32, whose rows sum up to
        1. A pixel that covers fewer than the others repeats its last one, with weight 0.
    """
    shown = torch.arange(inner, device=device)[:, None]  # (inner, 1)
    starts, ends = shown * tile, (shown + 1) * tile
    first = starts.div(inner, rounding_mode="floor")
    last = (ends - 1).div(inner, rounding_mode="floor")
    index = first + torch.arange(most_taps(tile, inner), device=device)  # (inner, taps)
    overlap = ((index + 1) * inner).minimum(ends) - (index * inner).maximum(starts)
    weights = overlap.clamp_(min=0).to(torch.float32).div_(tile)
    return index.minimum(last), weights
