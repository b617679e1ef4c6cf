"""Read any accepted tensor as tiles, or raise a FrameError that says why it cannot be shown.

Nothing is computed here: `Tiles` is a view of the user's memory.

    picture  a tile of one or three channels whose values are brightness: uint8, or floating point
             in [0, 1]
    map      a tile whose values are not brightness: depth, a feature map, a weight, an attention
             matrix. By default each map is normalised, and coloured if it has one channel
    labels   a tile of one channel of signed integers, for which nobody set a range or a colour map
    flow     a tile of two channels of floats, for which nobody set a colour map

Note [one rule]: a dimension of one or three channels makes pictures, and of two a flow; so is a
lone ``(H, W)`` a picture. All else holds maps: ``(N, H, W)``, each channel of more, and an
``(H, W)`` among other panels, so that heads look the same in a stack and side by side. uint8 and
bool are always pictures, because maps never have these dtypes. Values never decide, so a loop's
frames all look alike.

Note [grids]: a batch of pictures is shown whole, as a contact sheet. Of a batch of feature maps
only the first item is shown, and each of its channels becomes a tile.

Note [alpha]: a fourth channel is alpha in uint8, and where the channels are last, as in a
renderer's output. Four channels of floats that come first are latents or heads: four maps.

Note [channels last]: the last dimension holds the channels if its size is 1, 3 or 4 and the
dimension before it is longer; or if it is at most an eighth of the height and of the width. So the
kernels of a convolution, ``(64, 64, 3, 3)``, and the 4 x 4 output of a layer are read correctly,
and optical flow, ``(480, 640, 2)``, is not 480 slivers. But a channels-last picture
must be at least 5 pixels wide.

Note [as before]: a tensor that differs from the stream's last one only in its first dimension is
read in the same way, whatever its shape alone would suggest: the last batch of a stack of maps may
have three. A picture in colour does not bind the next tensor, because it may be such a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from gpuview.errors import FrameError, closest
from gpuview.frames.picture.errors import explaining
from gpuview.frames.picture.geometry import Channels, Content, PanelLook, TileKind
from gpuview.frames.picture.tensors import as_dense

__all__ = [
    "Axes",
    "ElementIndex",
    "Layout",
    "Reading",
    "Tiles",
    "Values",
    "check_layout",
    "pixels_of",
    "read_tiles",
]

Layout = Literal["HW", "HWC", "CHW", "NHW", "NCHW", "NHWC"]

ElementIndex = tuple[int | None, ...]
"""A place in a tensor, for each of its dimensions. None is all channels."""

_ANY_LAYOUT = "2, 3 or 4 dimensions: (H, W), (H, W, C), (C, H, W), (N, H, W) or a batch of these"
_CHANNELS = (1, 3)
_WITH_ALPHA = (1, 3, 4)

_PICTURE_DTYPES = (torch.uint8, torch.bool)
_LABEL_DTYPES = (torch.int8, torch.int16, torch.int32, torch.int64)
_SLIVER_ASPECT = 8
_MIN_VIDEO_SIDE = 16


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
class Reading:
    """How the dimensions of a tensor were read; see Note [as before]."""

    layout: Layout
    shape: tuple[int, ...]
    guess: Layout | None
    """What the shape alone suggests; None if it suggests nothing."""

    def binds(self, shape: tuple[int, ...]) -> bool:
        """Tell whether the next tensor, of this shape, is read in the same way."""
        is_alike = len(shape) == len(self.shape) and shape[1:] == self.shape[1:]
        return is_alike and self.layout != "CHW"


@dataclass(frozen=True, slots=True)
class Axes:
    """What the dimensions of a tensor are, and which of them its tiles run along."""

    layout: Layout
    is_split: bool = False
    """Whether the tiles are the channels of the first item."""

    def index(self, tile: int, row: int, column: int) -> ElementIndex:
        """Return where in the tensor an element of a tile is."""
        item, channel = (0, tile) if self.is_split else (tile, None)
        of = {"N": item, "C": channel, "H": row, "W": column}
        return tuple(of[axis] for axis in self.layout)


_BATCH = Axes("NCHW")


@dataclass(frozen=True, slots=True)
class Tiles:
    """The pictures or maps of one tensor, in the user's memory."""

    pixels: Tensor
    """``(T, C, H, W)``, C = 1, 2 or 3, T >= 1, any strides, detached; bool, integer or floating."""
    content: Content = "picture"
    """Three-channel tiles are maps only if they come from a parameter."""
    original_dtype: torch.dtype | None = None
    """The user's dtype, if ``pixels`` has another: masked integers become floats."""
    reading: Reading | None = None
    """None if the layout was known."""
    own: PanelLook | None = None
    """What the panel sets itself; None if nothing."""
    tensor: Tensor | None = None
    """The whole tensor, with alpha and what else is not shown; None if that is ``pixels``."""
    axes: Axes = _BATCH
    """Of the whole tensor."""

    @property
    def whole(self) -> Tensor:
        """The whole tensor, in the user's memory."""
        return self.pixels if self.tensor is None else self.tensor

    def copied(self) -> Tiles:
        """Return the same tiles in memory of our own."""
        tensor = self.whole.clone()
        return replace(self, pixels=pixels_of(tensor, self.axes), tensor=tensor)

    @property
    def kind(self) -> TileKind:
        """The properties that decide where the tiles go and how they are scaled; hashable."""
        n_tiles, channels, height, width = self.pixels.shape
        dtype = self.original_dtype or self.pixels.dtype
        return TileKind(
            n_tiles, cast(Channels, channels), height, width, dtype, self.content, self.own
        )


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


def read_tiles(
    tensor: object,
    layout: Layout | None = None,
    before: Reading | None = None,
    *,
    may_be_labels: bool = True,
    may_be_flow: bool = True,
    is_alone: bool = False,
) -> Tiles:
    """Read one tensor as tiles, before anything is scaled or coloured.

    Never synchronises. Copies only in the rare cases where `tensors.as_dense` must.

    Args:
        tensor: A dense, real tensor on any device, an array or image of another library (see
            `tensors.is_array`), or one of these in `Values`. Any strides. A picture's fourth
            channel (alpha) is ignored.
        layout: The meaning of the dimensions. An image's are known. None guesses: two are
            ``(H, W)``; three are ``(C, H, W)`` if the first is 1 or 3, ``(H, W, C)`` if the
            channels are last, else ``(N, H, W)``; four are ``(N, C, H, W)`` if the second is 1 or
            3, ``(N, H, W, C)`` if the channels are last, else ``(N, C, H, W)``. See
            Note [grids], Note [alpha] and Note [channels last].
        before: How the stream's last tensor was read; see Note [as before].
        may_be_labels: Whether neither a value range nor a colour map says what integers are.
        may_be_flow: Whether no colour map makes maps of two channels.
        is_alone: Whether it is the whole frame, and not one of its panels.

    Raises:
        FrameError: The tensor cannot be shown, or contradicts ``layout``.
    """
    with explaining("reading it"):
        is_parameter = isinstance(tensor, nn.Parameter)
        is_values = is_parameter or isinstance(tensor, Values)
    source = as_dense(tensor.tensor if isinstance(tensor, Values) else tensor)
    dense, shape = source.tensor, tuple(source.tensor.shape)
    may_be_flow = may_be_flow and not is_values and source.dtype.is_floating_point
    reading = None
    layout = source.layout or layout
    if layout is None:
        may_have_alpha = source.dtype == torch.uint8 and not is_values
        first = _WITH_ALPHA if may_have_alpha else _CHANNELS + (2,) * may_be_flow
        reading = _read(shape, first, before, may_end_in_channels=not is_values)
        layout = reading.layout
    _check_shape(shape, layout)
    n_channels = _as_batch(dense, layout).shape[1]
    has_alpha = not is_values and (source.dtype == torch.uint8 or layout.endswith("C"))
    is_flow = may_be_flow and n_channels == 2
    is_split = not is_flow and n_channels not in (_WITH_ALPHA if has_alpha else _CHANNELS)
    axes = Axes(layout, is_split)
    pixels = pixels_of(dense, axes)
    if is_flow:
        return Tiles(pixels, "flow", None, reading, tensor=dense, axes=axes)
    of_maps = ("NHW",) if is_alone else ("HW", "NHW")
    is_picture = source.dtype in _PICTURE_DTYPES or not (is_split or layout in of_maps)
    content: Content = "picture" if is_picture else "map"
    if is_parameter or (is_values and pixels.shape[1] == 1):
        content = "map"
    may_be_labels = may_be_labels and source.layout is None  # an image of integers is depth
    if may_be_labels and pixels.shape[1] == 1 and source.dtype in _LABEL_DTYPES:
        content = "labels"
    original_dtype = None if source.dtype == dense.dtype else source.dtype
    return Tiles(pixels, content, original_dtype, reading, tensor=dense, axes=axes)


def _read(
    shape: tuple[int, ...],
    channels: tuple[int, ...],
    before: Reading | None,
    *,
    may_end_in_channels: bool,
) -> Reading:
    guess = _guess(shape, channels, may_end_in_channels=may_end_in_channels)
    if before is not None and before.binds(shape):
        return Reading(before.layout, shape, guess)
    if guess is None:
        raise _ambiguous(shape)
    return Reading(guess, shape, guess)


def _guess(
    shape: tuple[int, ...], channels: tuple[int, ...], *, may_end_in_channels: bool
) -> Layout | None:
    """Return what the shape suggests; None if four dimensions are as likely a video."""
    if len(shape) == 2:
        return "HW"
    if len(shape) not in (3, 4):
        raise _bad_shape(shape, _ANY_LAYOUT)
    is_batch = len(shape) == 4
    if shape[-3] in channels:
        return "NCHW" if is_batch else "CHW"
    if may_end_in_channels and _ends_in_channels(shape):
        return "NHWC" if is_batch else "HWC"
    if may_end_in_channels and is_batch and _may_be_video(shape):
        return None
    return "NCHW" if is_batch else "NHW"


def _ends_in_channels(shape: tuple[int, ...]) -> bool:
    height, width, last = shape[-3:]
    if last in _WITH_ALPHA:
        return width > max(_WITH_ALPHA)
    return last * _SLIVER_ASPECT <= min(height, width)


def _may_be_video(shape: tuple[int, ...]) -> bool:
    """Tell whether ``(N, C, H, W)`` is as likely ``(3, T, H, W)``."""
    n, n_channels, height, width = shape
    return n == 3 and n_channels > max(_WITH_ALPHA) and min(height, width) >= _MIN_VIDEO_SIDE


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


def pixels_of(tensor: Tensor, axes: Axes) -> Tensor:
    """Return a view of ``tensor`` as tiles, ``(T, C, H, W)``, without alpha."""
    batch = _as_batch(tensor, axes.layout)
    return batch[0].unsqueeze(1) if axes.is_split else batch[:, :3]


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
        colours, frames, *_, last = shape[-4:]
        if colours == 3 != frames and last not in _WITH_ALPHA:  # a video, (..., C, T, H, W)
            fix += ".transpose(0, 1)"
    else:
        fix = "leave layout= out, or pass this tensor's layout"
    return FrameError(f"cannot show a tensor with {shape = }", expected=expected, fix=fix)


def _ambiguous(shape: tuple[int, ...]) -> FrameError:
    n_items, n, *_ = shape
    return FrameError(
        f"cannot tell what a tensor with {shape = } shows: a video of {n} frames in colour, or "
        f"{n_items} items of {n} channels",
        expected="(T, C, H, W) for a video, or the layout",
        fix='tensor.transpose(0, 1) for the video; layout="NCHW" for the first item\'s channels',
    )
