"""Read any accepted tensor as tiles, or raise a FrameError that says why it cannot be shown.

Nothing is computed here: `Tiles` is a view of the user's memory.

    picture  a tile of one or three channels whose values are brightness: uint8, or floating point
             in [0, 1]
    map      a tile whose values are not brightness: a feature map, a weight, an attention matrix.
             By default each map is normalised, and coloured if it has one channel

Note [grids]: a batch of pictures is shown whole, as a contact sheet. A tensor with a number of
channels other than 1, 3 or 4 holds feature maps: each channel becomes a tile, and only the first
item of a batch is shown. Even then, uint8 and bool tiles are pictures, because feature maps never
have these dtypes.

Note [channels last]: the last dimension holds the channels if its size is a number of channels and
the dimension before it is longer. So the kernels of a convolution, ``(64, 64, 3, 3)``, and the
4 x 4 output of a layer are read correctly, but a channels-last picture must be at least 5 pixels
wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from gpuview.errors import FrameError, closest
from gpuview.frames.picture.errors import naming_panel
from gpuview.frames.picture.geometry import TileKind
from gpuview.frames.picture.tensors import as_tensor

__all__ = ["Layout", "Tiles", "Values", "check_layout", "read_frame", "read_tiles"]

Layout = Literal["HW", "HWC", "CHW", "NHW", "NCHW", "NHWC"]

_ANY_LAYOUT = "2, 3 or 4 dimensions: (H, W), (H, W, C), (C, H, W), (N, H, W) or a batch of these"
_CHANNELS = (1, 3, 4)
_VALUE_CHANNELS = (1, 3)
"""Values have no alpha channel: four channels are four maps, as in a latent."""

_PICTURE_DTYPES = (torch.uint8, torch.bool)


@dataclass(frozen=True, slots=True)
class Values:
    """A tensor that holds values rather than a picture, such as a layer's output.

    Its one-channel tiles are maps, and its layout is never guessed to be channels last. An
    `nn.Parameter` is read in the same way, but its three-channel tiles are maps too: the kernels of
    a first layer are RGB, but their values are centred around zero.
    """

    tensor: object
    """As for `read_tiles`."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The pictures or maps of one tensor, in the user's memory."""

    pixels: Tensor
    """``(T, C, H, W)``, C = 1 or 3, T >= 1, any strides, detached; bool, integer or floating."""
    is_maps: bool
    """Three-channel tiles are maps only if they come from a parameter."""

    @property
    def kind(self) -> TileKind:
        """The properties that decide where the tiles go and how they are scaled; hashable."""
        n_tiles, channels, height, width = self.pixels.shape
        n_channels: Literal[1, 3] = 1 if channels == 1 else 3
        return TileKind(n_tiles, n_channels, height, width, self.pixels.dtype, self.is_maps)


def check_layout(layout: Layout | None) -> None:
    """Raise FrameError unless ``layout`` is one of the six, or None."""
    names = get_args(Layout)
    if layout is None or (isinstance(layout, str) and layout in names):
        return
    guess = closest(layout.upper(), names) if isinstance(layout, str) else None
    raise FrameError(
        f"cannot read a tensor with {layout = }",
        expected=f"one of {', '.join(map(repr, names))}, or None to guess",
        fix=f"layout={guess or 'CHW'!r}",
    )


def read_frame(
    frame: object, layout: Layout | None = None
) -> tuple[tuple[str, ...] | None, list[Tiles]]:
    """Read a frame: a single tensor, or a mapping, list or tuple of tensors.

    Args:
        frame: As for `read_tiles`, or a collection of these.
        layout: The layout of each tensor. None guesses, for each tensor separately.

    Returns:
        The tensors' names and the tiles of each tensor. The items of a list are named by their
        index. For a single tensor, the names are None.

    Raises:
        FrameError: As for `read_tiles`; the error names the panel.
    """
    if isinstance(frame, list | tuple):
        frame = dict(enumerate(frame))
    if not isinstance(frame, Mapping):
        return None, [read_tiles(frame, layout)]
    names = tuple(map(str, frame))  # two keys may have the same text
    tiles = []
    for name, tensor in zip(names, frame.values(), strict=True):
        with naming_panel(name):
            tiles.append(read_tiles(tensor, layout))
    return names, tiles


def read_tiles(tensor: object, layout: Layout | None = None) -> Tiles:
    """Read one tensor as tiles, before anything is scaled or coloured.

    Never synchronises. Copies only in the rare cases where `tensors.as_tensor` must.

    Args:
        tensor: A dense, real tensor on any device, an array or image of another library (see
            `tensors.is_array`), or one of these in `Values`. Any strides. A picture's fourth
            channel (alpha) is ignored.
        layout: The meaning of the dimensions. None guesses: two are ``(H, W)``; three are
            ``(C, H, W)`` if the first is 1, 3 or 4, ``(H, W, C)`` if the last is, else
            ``(N, H, W)``; four are ``(N, H, W, C)`` if the last is 1, 3 or 4 and the second is not,
            else ``(N, C, H, W)``. See Note [grids] and Note [channels last].

    Raises:
        FrameError: The tensor cannot be shown, or contradicts ``layout``.
    """
    is_parameter = isinstance(tensor, nn.Parameter)
    is_values = is_parameter or isinstance(tensor, Values)
    dense = as_tensor(tensor.tensor if isinstance(tensor, Values) else tensor)
    shape = tuple(dense.shape)
    channels = _VALUE_CHANNELS if is_values else _CHANNELS
    if layout is None:
        layout = _guess(shape, channels, may_end_in_channels=not is_values)
    _check_shape(shape, layout)
    pixels = _as_batch(dense, layout)  # (N, C, H, W)
    is_channels = pixels.shape[1] not in channels
    if is_channels:
        pixels = pixels[0].unsqueeze(1)  # (C, 1, H, W)
    is_features = (is_channels or layout == "NHW") and dense.dtype not in _PICTURE_DTYPES
    is_maps = is_parameter or (pixels.shape[1] == 1 and (is_values or is_features))
    return Tiles(pixels[:, :3] if pixels.shape[1] == 4 else pixels, is_maps)


def _guess(
    shape: tuple[int, ...], channels: tuple[int, ...], *, may_end_in_channels: bool
) -> Layout:
    if len(shape) == 2:
        return "HW"
    if len(shape) not in (3, 4):
        raise _bad_shape(shape, _ANY_LAYOUT)
    is_batch = len(shape) == 4
    if shape[-3] in channels:
        return "NCHW" if is_batch else "CHW"
    if may_end_in_channels and shape[-1] in channels and shape[-2] > max(channels):
        return "NHWC" if is_batch else "HWC"
    return "NCHW" if is_batch else "NHW"


def _check_shape(shape: tuple[int, ...], layout: Layout) -> None:
    check_layout(layout)
    if len(shape) != len(layout):
        raise _bad_shape(shape, f"{len(layout)} dimensions for {layout = }")
    if 0 in shape:
        raise FrameError(
            f"cannot show a tensor without elements, {shape = }",
            expected="at least one element along each dimension",
            fix="find out where it became empty: a slice, or a filter that removed everything",
        )


def _as_batch(tensor: Tensor, layout: Layout) -> Tensor:
    """Return a view of ``tensor`` as ``(N, C, H, W)``."""
    if layout == "HW":
        return tensor[None, None]
    if layout == "NHW":
        return tensor.unsqueeze(1)
    batch = tensor if layout.startswith("N") else tensor.unsqueeze(0)
    return batch.permute(0, 3, 1, 2) if layout.endswith("C") else batch


def _bad_shape(shape: tuple[int, ...], expected: str) -> FrameError:
    if not shape:
        fix = "show it as one tile: tensor.reshape(1, 1)"
    elif len(shape) == 1:
        fix = "show it as one row: tensor.unsqueeze(0)"
    elif len(shape) > 4:
        fix = f"show a part of it: tensor[{', '.join('0' * (len(shape) - 4))}]"
    else:
        fix = "leave layout= out, or pass this tensor's layout"
    return FrameError(f"cannot show a tensor with {shape = }", expected=expected, fix=fix)
