"""Resizing by area along one axis, in plain torch. See Note [area] in `frames.picture.geometry`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["Stretch", "current_stream_id", "max_taps"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of output pixels along one axis of a tile.

    The methods run on the device of their arguments and never wait for it.
    """

    tile: int
    """The axis' length in the tensor: its input pixels."""
    inner: int
    """The axis' length as it is shown: its output pixels."""
    first: int
    end: int
    """The range of output pixels, ``end`` excluded."""

    @property
    def covered(self) -> slice:
        """The input pixels that the range covers, wholly or in part."""
        return slice(self.first * self.tile // self.inner, -(-self.end * self.tile // self.inner))

    @property
    def owned(self) -> slice:
        """The part of `covered` that no other stretch owns: each input pixel is counted once."""
        start = self.covered.start
        first, end = (-(-edge * self.tile // self.inner) for edge in (self.first, self.end))
        return slice(first - start, end - start)

    @property
    def is_mean(self) -> bool:
        """Whether an output pixel can be the mean of several input pixels."""
        return max_taps(self.tile, self.inner) > 1

    def average(self, values: Tensor, dim: int, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the weighted mean that each output pixel covers; ``values`` if not `is_mean`.

        Args:
            values: Four dimensions; along ``dim``, the input pixels that are `covered`.
            dim: The dimension to resize.
            read: Converts a slice of the values to floats; may return its argument.
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
        """Return the largest code that each output pixel covers; ``codes`` if not `is_mean`."""
        if not self.is_mean:
            return codes
        index, _ = self._taps(codes.device)
        parts = [_select(codes, dim, tap) for tap in index.unbind(1)]
        return torch.stack(parts).amax(0)

    def nearest(self, values: Tensor, dim: int) -> Tensor:
        """Return what is in the middle of each output pixel; ``values`` if not `is_mean`."""
        if not self.is_mean:
            return values
        index = _middles(self.tile, self.inner, values.device, current_stream_id(values.device))
        return _select(values, dim, index[self.first : self.end] - self.covered.start)

    def spread(self, pixels: Tensor, dim: int) -> Tensor:
        """Repeat pixels of an enlarged tile, which `average` and `nearest` do not resize."""
        if self.is_mean or self.tile == self.inner:
            return pixels
        return _select(pixels, dim, self._taps(pixels.device)[0][:, 0])

    def cut(self, length: int) -> Iterator[Stretch]:
        """Split into stretches of ``length``; the last may be shorter."""
        for first in range(self.first, self.end, length):
            yield Stretch(self.tile, self.inner, first, min(first + length, self.end))

    def _taps(self, device: torch.device) -> tuple[Tensor, Tensor]:
        index, weights = _taps(self.tile, self.inner, device, current_stream_id(device))
        part = slice(self.first, self.end)
        return index[part] - self.covered.start, weights[part]


def max_taps(tile: int, inner: int) -> int:
    """Return the largest number of input pixels that one output pixel covers."""
    if tile % inner == 0 or inner % tile == 0:
        return max(1, tile // inner)
    return (tile - 2) // inner + 2  # some of them whole, and a part of two others


def _mean_of_neighbours(
    values: Tensor, dim: int, n: int, read: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the mean of every ``n`` neighbours. Slicing is faster than indexing."""
    every = (slice(None),) * dim
    total = read(values[(*every, slice(0, None, n))]) / n
    for tap in range(1, n):
        total.add_(read(values[(*every, slice(tap, None, n))]), alpha=1 / n)
    return total


def _select(values: Tensor, dim: int, index: Tensor) -> Tensor:
    """Select along dimension 2 or 3."""
    if dim == 2:
        return values.index_select(2, index)
    # Along the last of two dimensions, this is ten times faster than along the last of four.
    selected = values.reshape(-1, values.shape[3]).index_select(1, index)
    return selected.view(*values.shape[:3], -1)


def current_stream_id(device: torch.device) -> int:
    """Return the handle of the current CUDA stream; 0 on the CPU."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


@lru_cache(maxsize=64)
def _taps(tile: int, inner: int, device: torch.device, stream_id: int) -> tuple[Tensor, Tensor]:
    """Return the input pixels that each output pixel covers, and their weights.

    Args:
        tile: The axis' length in the tensor.
        inner: Its length as it is shown.
        device: The device of the result.
        stream_id: Part of the cache's key: only this stream may use the result without waiting.

    Returns:
        Indices and weights: ``(inner, taps)`` int64 and float32, whose rows sum up to 1. A pixel
        that covers fewer than ``taps`` repeats its last index with weight 0.
    """
    shown = torch.arange(inner, device=device)[:, None]  # (inner, 1)
    starts, ends = shown * tile, (shown + 1) * tile
    first = starts.div(inner, rounding_mode="floor")
    last = (ends - 1).div(inner, rounding_mode="floor")
    index = first + torch.arange(max_taps(tile, inner), device=device)  # (inner, taps)
    overlap = ((index + 1) * inner).minimum(ends) - (index * inner).maximum(starts)
    weights = overlap.clamp_(min=0).to(torch.float32).div_(tile)
    return index.minimum(last), weights


@lru_cache(maxsize=64)
def _middles(tile: int, inner: int, device: torch.device, stream_id: int) -> Tensor:
    """Return the input pixel in the middle of each output pixel; arguments as for `_taps`."""
    shown = torch.arange(inner, device=device)
    return (2 * shown + 1).mul_(tile).div_(2 * inner, rounding_mode="floor")
