"""Turn any object that holds a frame into a plain, dense tensor whose memory can be read.

Dtypes are only accepted or refused here. The writers turn 16-bit floats into float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils.dlpack import from_dlpack

from gpuview.errors import FrameError
from gpuview.frames.picture.errors import explaining
from gpuview.frames.torch_compat import has_memory

__all__ = ["Dense", "as_dense", "is_array"]

_INTEGERS = (
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_DTYPES = frozenset((torch.bool, *_INTEGERS, *_FLOATS))
_DTYPES_EXPECTED = "bool, an integer type, float16, bfloat16, float32 or float64"


_IMAGE_ARRAYS = {"1", "L", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""The modes of images whose arrays hold what is seen; the others are converted."""
_WITHOUT_ALPHA = {"La": ("LA", "L"), "LA": ("L",)}


@dataclass(frozen=True, slots=True)
class Dense:
    """A frame's values, in memory that can be read."""

    tensor: Tensor
    """Dense, detached and real."""
    dtype: torch.dtype
    """The dtype that the values came in, which decides their usual range. Only masked integers have
    another dtype now: they are floats, because NaN stands for a masked value."""
    layout: Literal["HW", "HWC"] | None = None
    """The meaning of an image's dimensions; None for tensors and arrays."""


def as_dense(frame: object) -> Dense:
    """Return the values of ``frame``; shares its memory where that is possible.

    Never synchronises. Copies arrays that torch cannot share (read-only, flipped, masked, or the
    field of a record), images, and tensors with a pending negation (``x.conj().imag``).

    Args:
        frame: A tensor, or an array or image that `is_array` accepts.

    Raises:
        FrameError: It is neither, or does not hold real numbers in memory of its own; or its own
            code raised.
    """
    with explaining("reading it"):
        dense = _unwrapped(frame)
    tensor = dense.tensor
    _check_kind(tensor)
    _check_dtype(tensor.dtype)
    _check_memory(tensor)
    tensor = tensor.detach()
    return Dense(tensor.resolve_neg() if tensor.is_neg() else tensor, dense.dtype, dense.layout)


def is_array(frame: object) -> bool:
    """Tell whether ``frame`` is an array of another library, or an image such as Pillow's."""
    # On the type: on an instance, Pillow would copy its pixels to answer.
    return hasattr(frame, "__dlpack__") or hasattr(type(frame), "__array_interface__")


def _unwrapped(frame: object) -> Dense:
    """Return ``frame`` as a `torch.Tensor` or `nn.Parameter`, not as another subclass."""
    if isinstance(frame, Tensor):
        is_plain = type(frame) in (Tensor, nn.Parameter)
        tensor = frame if is_plain else _without_class(frame)
        return Dense(tensor, tensor.dtype)
    if isinstance(frame, np.ma.MaskedArray):
        return _from_masked(frame)
    if isinstance(frame, np.ndarray):
        return _from_numpy(frame)
    if isinstance(frame, Image):
        return _from_image(frame)
    if hasattr(frame, "__dlpack__"):
        return _from_dlpack(frame)
    if is_array(frame):
        return _from_numpy(np.asarray(frame))
    raise FrameError(
        f"cannot show an object of type {type(frame).__name__}",
        expected="a torch.Tensor, or an array that can become one",
        fix="convert it: torch.as_tensor(...)",
    )


def _without_class(tensor: Tensor) -> Tensor:
    kind = type(tensor)
    if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
        # A FakeTensor, a DTensor and so on: its values are elsewhere, or do not exist.
        is_distributed = hasattr(tensor, "full_tensor")
        raise FrameError(
            f"cannot show a {kind.__name__}, which has no memory of its own",
            expected="a plain torch.Tensor",
            fix="tensor.full_tensor()" if is_distributed else "show a plain tensor inside it",
        )
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        raise FrameError(
            "cannot show a parameter that has no shape yet",
            expected="a parameter of a module that has been called",
            fix="call the module with an input first: model(x)",
        )
    with torch.DisableTorchFunctionSubclass():  # so that no code of the subclass runs
        return tensor.as_subclass(Tensor)


def _from_masked(array: np.ma.MaskedArray[Any, Any]) -> Dense:
    values, mask = np.asarray(array.data), np.ma.getmaskarray(array)
    dense = _from_numpy(values)
    if dense.dtype.is_complex or not mask.any():
        return dense
    if not dense.dtype.is_floating_point:
        is_wide = values.itemsize > 2  # float32 holds every integer of 16 bits
        values = values.astype(np.float64 if is_wide else np.float32)
    filled = _from_numpy(np.where(mask, values.dtype.type(np.nan), values))
    return Dense(filled.tensor, dense.dtype)


def _from_image(image: Image) -> Dense:
    array = np.asarray(_in_its_colours(image))
    dense = _from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    return Dense(dense.tensor, dense.dtype, "HW" if array.ndim == 2 else "HWC")


def _in_its_colours(image: Image) -> Image:
    """Return the image in a mode whose array holds the colours that are seen."""
    if image.mode in _IMAGE_ARRAYS:
        return image
    try:
        for mode in _WITHOUT_ALPHA.get(image.mode, ("RGB",)):
            image = image.convert(mode)
    except ValueError as exc:  # Pillow without littlecms cannot convert LAB
        raise FrameError(
            f"cannot show an image with {image.mode = } ({exc})",
            expected="a mode that Pillow can convert to RGB",
            fix='image.convert("RGB"), or np.asarray(image) for its numbers',
        ) from exc
    return image


def _from_numpy(array: npt.NDArray[Any]) -> Dense:
    # torch has no negative strides (flipped arrays) and no strides of partial items (records).
    is_odd = any(stride < 0 or stride % (array.itemsize or 1) for stride in array.strides)
    if is_odd or not array.flags.writeable:
        array = array.copy()
    try:
        tensor = torch.from_numpy(array)
    except (TypeError, ValueError) as exc:  # a type or a byte order that torch does not have
        raise FrameError(
            f"cannot show an array with {array.dtype = }",
            expected=_DTYPES_EXPECTED,
            fix="array.astype(np.float32)",
        ) from exc
    return Dense(tensor, tensor.dtype)


def _from_dlpack(array: object) -> Dense:
    try:
        tensor = from_dlpack(array)
    except Exception as exc:  # of the other library
        raise FrameError(
            f"cannot read an object of type {type(array).__name__} through DLPack "
            f"({type(exc).__name__}: {exc})",
            expected="an array in memory that PyTorch can share",
            fix="torch.as_tensor(np.asarray(...))",
        ) from exc
    return Dense(tensor, tensor.dtype)


def _check_kind(tensor: Tensor) -> None:
    if tensor.is_quantized:
        raise FrameError(
            f"cannot show a quantized tensor with {tensor.dtype = }",
            expected=_DTYPES_EXPECTED,
            fix="tensor.dequantize()",
        )
    if tensor.is_nested:
        raise FrameError(
            "cannot show a nested tensor, whose parts differ in size",
            expected="a dense tensor",
            fix="show one part: tensor.unbind()[0]",
        )
    if tensor.layout != torch.strided:
        raise FrameError(
            f"cannot show a tensor with {tensor.layout = }",
            expected="a dense tensor, tensor.layout = torch.strided",
            fix="tensor.to_dense()",
        )
    if tensor.is_meta:
        raise FrameError(
            f"cannot show a tensor with {tensor.device = }, which has no values",
            expected="a tensor in memory",
            fix="create it on a real device",
        )
    if not has_memory(tensor):
        raise FrameError(
            "cannot show a tensor inside a torch.func transform",
            expected="a tensor with values, which it does not have inside vmap or grad",
            fix="push the output of the transformed function: it returns a plain tensor",
        )


def _check_dtype(dtype: torch.dtype) -> None:
    if dtype in _DTYPES:
        return
    if dtype.is_complex:
        fix = "tensor.abs()"
    elif dtype.is_floating_point:
        fix = "tensor.float()"
    else:
        fix = "tensor.to(torch.int16)"
    raise FrameError(f"cannot show a tensor with {dtype = }", expected=_DTYPES_EXPECTED, fix=fix)


def _check_memory(tensor: Tensor) -> None:
    # Sharded training frees a parameter's memory between uses, but keeps its shape.
    if (tensor.is_cpu or tensor.is_cuda) and tensor.numel() and not tensor.untyped_storage():
        raise FrameError(
            f"cannot show a tensor with {tuple(tensor.shape) = } whose memory was freed",
            expected="a tensor whose values are in memory now",
            fix="push it where it is in use, or push a copy made there: tensor.clone()",
        )
