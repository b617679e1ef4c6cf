"""A tensor that is like the one before it: written without being parsed and planned once more.

A loop pushes the same kind of tensor again and again. If one is shown pixel for pixel with a known
range, where it goes and how it is scaled depends on its shape, strides and dtype only, so the first
one has shown it. See Note [few operations] in `gpuview.frames.cpu.unscaled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpuview.frames.cpu.unscaled import PlainPicture
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.tensor_layout import Axes, Tiles, pixels_of

__all__ = ["Alike", "alike_of"]

_DTYPES = (torch.float32, torch.uint8)


@dataclass(frozen=True, slots=True)
class Alike:
    """What a frame has shown about those that are like it."""

    picture: PlainPicture
    _look: Look
    _shape: torch.Size
    _stride: tuple[int, ...]
    _dtype: torch.dtype
    _axes: Axes
    _is_planes: bool
    """Whether the tensor itself is ``(C, h, w)``."""

    def planes(self, frame: object, look: Look) -> Tensor | None:
        """Return a frame that is like this one as ``(C, h, w)``, in its memory; None if it is not.

        Call it outside of all transforms and modes.
        """
        is_alike = (
            look is self._look
            and type(frame) is Tensor
            and not frame.is_nested
            and frame.shape == self._shape
            and frame.dtype is self._dtype
            and frame.is_cpu
        )
        if not is_alike:
            return None
        assert isinstance(frame, Tensor)
        if frame.requires_grad or frame.is_neg() or not _has_memory_now(frame):
            return None
        if frame.stride() != self._stride:
            return None
        return frame if self._is_planes else pixels_of(frame, self._axes)[0]


def alike_of(
    frame: object, look: Look, tiles: Sequence[Tiles], picture: PlainPicture
) -> Alike | None:
    """Return what a frame shows about the next ones; None if each is to be read.

    Args:
        frame: A frame that was shown.
        look: How.
        tiles: Its tensors.
        picture: What has written it.
    """
    if type(frame) is not Tensor or tiles[0].axes.is_split:
        return None
    if frame.dtype not in _DTYPES or not frame.is_cpu:
        return None
    axes = tiles[0].axes
    is_planes = axes.layout == "CHW" and frame.shape == tiles[0].pixels.shape[1:]
    return Alike(picture, look, frame.shape, frame.stride(), frame.dtype, axes, is_planes)


def _has_memory_now(tensor: Tensor) -> bool:
    """Tell whether a tensor's memory can be read; see `tensors.as_dense`."""
    try:
        return tensor.untyped_storage().data_ptr() != 0  # 0: sharded training has freed it
    except RuntimeError:  # of a transform
        return False
