"""Read any accepted tensor as one picture, or say in three parts why it is none.

Nothing is copied here and nothing is computed: a `FrameView` is a view of the user's memory. Only
`fit` makes pixels, for the few sizes that a codec cannot take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gpuview.errors import FrameError, closest
from gpuview.wire.ring import MIN_SIDE

__all__ = ["MAX_SIDE", "FrameView", "Layout", "check_layout", "describe", "fit"]

Layout = Literal["HW", "HWC", "CHW"]

MAX_SIDE = 16_382
"""The longest even side that fits the 14 bits which VP8 has for it."""

_ANY_LAYOUT = "(H, W), (H, W, C) or (C, H, W), C = 1, 3 or 4"
_CHANNELS = (1, 3, 4)
_DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
_DTYPES_EXPECTED = "uint8 in [0, 255], or float16, bfloat16, float32 or float64 in [0, 1]"


@dataclass(frozen=True, slots=True)
class FrameView:
    """One picture in the user's memory."""

    planes: Tensor
    """``(C, H, W)``, C = 1 or 3, any strides, detached; uint8, or floating in [0, 1]."""

    @property
    def is_grey(self) -> bool:
        return self.planes.shape[0] == 1

    @property
    def is_uint8(self) -> bool:
        return self.planes.dtype == torch.uint8


def check_layout(layout: Layout | None) -> None:
    """Raise FrameError when ``layout`` is none of the three, nor None."""
    names = get_args(Layout)
    if layout is not None and layout not in names:
        raise FrameError(
            f"cannot read a tensor with {layout = }",
            expected=f"one of {', '.join(map(repr, names))}, or None to guess",
            fix=f"layout={closest(layout.upper(), names) or names[-1]!r}",
        )


def describe(frame: object, layout: Layout | None = None) -> FrameView:
    """Read ``frame`` as one picture.

    Never copies a tensor, never synchronises. A NumPy array is shared too, except a read-only or a
    flipped one, which torch cannot share.

    Args:
        frame: A dense tensor on the CPU or a CUDA device, or a NumPy array. ``(H, W)``,
            ``(H, W, C)`` or ``(C, H, W)`` with 1, 3 or 4 channels, any strides; uint8, or a
            floating type in [0, 1]. A fourth channel (alpha) is ignored.
        layout: What the dimensions are. None guesses: the first dimension is the channels when it
            is 1, 3 or 4, else the last one is; so (3, H, 3) is read as CHW.

    Raises:
        FrameError: Not a tensor, or one of another shape, dtype, kind or device.
    """
    tensor = _as_tensor(frame)
    _check_kind(tensor)
    _check_dtype(tensor.dtype)
    return FrameView(_as_planes(tensor.detach(), _resolve(tuple(tensor.shape), layout)))


def fit(planes: Tensor) -> Tensor:
    """Give ``planes`` the sides that a codec takes: even, and at least `MIN_SIDE`.

    A small picture is enlarged by one whole number in both directions, then an odd side is
    completed by its last row or column. Most pictures come back as they are, not copied.

    Args:
        planes: ``(C, H, W)``.

    Raises:
        FrameError: A side would be longer than `MAX_SIDE`.
    """
    height, width = planes.shape[1:]
    factor = -(-MIN_SIDE // min(height, width))
    if max(height, width) * factor > MAX_SIDE:
        raise FrameError(
            f"cannot show a picture of {height} x {width} pixels",
            expected=f"sides of at most {MAX_SIDE}, once the shorter one has {MIN_SIDE}",
            fix="show a part of it, or every n-th pixel: tensor[..., ::2, ::2]",
        )
    if factor > 1:
        planes = planes.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
    if planes.shape[1] % 2:
        planes = torch.cat((planes, planes[:, -1:]), dim=1)
    if planes.shape[2] % 2:
        planes = torch.cat((planes, planes[:, :, -1:]), dim=2)
    return planes


def _as_tensor(frame: object) -> Tensor:
    if isinstance(frame, Tensor):
        return frame
    if isinstance(frame, np.ndarray):
        return _from_numpy(frame)
    raise FrameError(
        f"cannot show an object of type {type(frame).__name__}",
        expected=f"a torch.Tensor, {_ANY_LAYOUT}",
        fix="make it a tensor: torch.as_tensor(...)",
    )


def _from_numpy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except TypeError as exc:
        raise FrameError(
            f"cannot show an array with {array.dtype = }",
            expected=_DTYPES_EXPECTED,
            fix="array.astype(np.float32), scaled to [0, 1]",
        ) from exc


def _check_kind(tensor: Tensor) -> None:
    if tensor.is_quantized:
        raise FrameError(
            f"cannot show a quantized tensor with {tensor.dtype = }",
            expected=_DTYPES_EXPECTED,
            fix="tensor.dequantize()",
        )
    if tensor.layout != torch.strided:
        raise FrameError(
            f"cannot show a tensor with {tensor.layout = }",
            expected="a dense tensor, tensor.layout = torch.strided",
            fix="tensor.to_dense()",
        )
    if tensor.device.type not in ("cpu", "cuda"):
        raise FrameError(
            f"cannot show a tensor with {tensor.device = }",
            expected="a tensor on the CPU or on a CUDA device",
            fix="tensor.cpu()" if tensor.device.type != "meta" else "make it on a real device",
        )


def _check_dtype(dtype: torch.dtype) -> None:
    if dtype in _DTYPES:
        return
    if dtype == torch.bool:
        fix = "tensor.float(), which shows True as white"
    elif dtype.is_complex:
        fix = "tensor.abs(), scaled to [0, 1]"
    elif dtype.is_floating_point:
        fix = "tensor.float()"
    else:
        fix = "tensor.to(torch.uint8), when the values are in [0, 255]"
    raise FrameError(f"cannot show a tensor with {dtype = }", expected=_DTYPES_EXPECTED, fix=fix)


def _resolve(shape: tuple[int, ...], layout: Layout | None) -> Layout:
    """Decide what the dimensions are, and check that they can be that."""
    check_layout(layout)
    if layout is None:
        layout = _guess(shape)
    elif len(shape) != len(layout):
        raise _bad_shape(shape, f"{len(layout)} dimensions for {layout = }")
    if layout != "HW" and shape[layout.index("C")] not in _CHANNELS:
        raise _bad_shape(shape, f"1, 3 or 4 channels for {layout = }")
    if 0 in shape:
        raise _bad_shape(shape, "sides of at least one pixel")
    return layout


def _guess(shape: tuple[int, ...]) -> Layout:
    if len(shape) == 2:
        return "HW"
    if len(shape) == 3 and shape[0] in _CHANNELS:
        return "CHW"
    if len(shape) == 3 and shape[2] in _CHANNELS:
        return "HWC"
    raise _bad_shape(shape, _ANY_LAYOUT)


def _as_planes(tensor: Tensor, layout: Layout) -> Tensor:
    if layout == "HW":
        return tensor.unsqueeze(0)
    planes = tensor.movedim(layout.index("C"), 0)  # (C, H, W)
    return planes[:3]


def _bad_shape(shape: tuple[int, ...], expected: str) -> FrameError:
    if len(shape) == 4:
        fix = "show one picture of the batch: tensor[0]"
    elif len(shape) == 3:
        fix = "show one channel: tensor[0], or tensor[..., 0] where the channels come last"
    else:
        fix = f"give it the shape {_ANY_LAYOUT}"
    return FrameError(f"cannot show a tensor with {shape = }", expected=expected, fix=fix)
