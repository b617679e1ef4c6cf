"""The look: the user's display options, validated when they are set.

layout       the meaning of a tensor's dimensions      `gpuview.frames.picture.tensor_layout`
value_range  the values shown as black and white       `ValueRange`
colormap     the colours of a map's values             `gpuview.frames.picture.colormap`
size         the size of the encoded picture           `gpuview.frames.picture.plan`
columns      how panels or tiles are arranged          `gpuview.frames.picture.plan`
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import torch

from gpuview.errors import FrameError, closest
from gpuview.frames.picture.colormap import FLOW, check_colormap, n_classes
from gpuview.frames.picture.geometry import (
    MAX_COLUMNS,
    MAX_PIXELS,
    MAX_SIDE,
    AutoRange,
    Scaling,
    TileKind,
    ValueRange,
    even_up,
)
from gpuview.frames.picture.page_width import USUAL_ROOM
from gpuview.frames.picture.tensor_layout import Layout, check_layout
from gpuview.protocol.pixel_format import MIN_SIDE

__all__ = ["Look", "Size", "ValueRange"]

_Name = Literal["auto", "frame", "symmetric", "robust"]

Size = int | tuple[int, int] | None
"""The longest side of the encoded picture in pixels, or its ``(width, height)``. None keeps the
tensor's size; see Note [sizes] in `gpuview.frames.picture.plan`."""

_AUTOMATIC: dict[_Name, AutoRange] = {
    "auto": "tile",
    "frame": "frame",
    "symmetric": "symmetric",
    "robust": "robust",
}
_SPEEDS = Scaling(auto="symmetric")
_USUAL_MAPS = {"map": "viridis", "labels": "labels"}
_GREATEST = 1e38  # so that high - low is finite in float32
_FROM_VALUES = 'value_range="auto", which takes it from the values'


@dataclass(frozen=True, slots=True)
class Look:
    """How frames are read and shown. Immutable and hashable.

    Raises:
        FrameError: A layout, value range, colour map, size or number of columns is not valid.
    """

    layout: Layout | None = None
    value_range: ValueRange = None
    """Two numbers become floats; low < high, both within 1e38 of zero."""
    colormap: str | None = None
    """None is ``"gray"``; ``"viridis"`` for maps, ``"labels"`` for labels, and ``"coolwarm"`` for a
    symmetric range. Three channels ignore it."""
    size: Size = None
    """Sides of `MIN_SIDE` to `MAX_SIDE` pixels. Odd sides are rounded up: codecs need it."""
    columns: int | None = None
    """Of panels, or of a single tensor's tiles: 1 to `MAX_COLUMNS`. None takes those that waste
    least."""
    room: int = USUAL_ROOM
    """Where there is neither a size nor columns: what a page has, a step of `picture.room`."""

    def __post_init__(self) -> None:
        check_layout(self.layout)
        if self.colormap is not None:
            check_colormap(self.colormap)
        object.__setattr__(self, "value_range", _checked_range(self.value_range))
        object.__setattr__(self, "size", _checked_size(self.size))
        object.__setattr__(self, "columns", _checked_columns(self.columns))

    @property
    def used_room(self) -> int:
        """The room by which panels and tiles are arranged."""
        return self.room if self.size is None and self.columns is None else USUAL_ROOM

    def value_range_of(self, kind: TileKind) -> ValueRange:
        """Return the value range that was set for tiles of this kind, by their panel or here."""
        own = None if kind.own is None else kind.own.value_range
        return self.value_range if own is None else own

    def scaling_of(self, kind: TileKind) -> Scaling:
        """Return the value range for tiles of this kind; of a flow, from the largest speed.

        Raises:
            FrameError: The tiles are pictures of an integer type other than uint8, and there is no
                ``value_range``.
        """
        dtype, value_range = kind.dtype, self.value_range_of(kind)
        if kind.content == "flow":
            speed = value_range[1] if isinstance(value_range, tuple) else 0
            return Scaling(-speed, speed) if speed > 0 else _SPEEDS
        if n_classes(self.colormap_of(kind)) is not None:
            return Scaling()  # classes are not scaled
        if isinstance(value_range, tuple):
            return Scaling(*value_range)
        if value_range is not None:
            return Scaling(auto=_AUTOMATIC[value_range])
        if dtype == torch.bool:
            return Scaling()
        if kind.content in ("map", "labels"):
            return Scaling(auto="tile")
        if dtype == torch.uint8:
            return Scaling(0, 255)
        if dtype.is_floating_point:
            return Scaling()
        raise FrameError(
            f"cannot guess the value range of a picture with {dtype = }",
            expected="a value range for every integer type but uint8",
            fix='value_range="auto", or the values of black and white: value_range=(0, 4095)',
        )

    def colormap_of(self, kind: TileKind) -> str:
        """Return the colour map for tiles of this kind; ``"gray"`` for three channels."""
        if kind.content == "flow":
            return FLOW
        if kind.channels == 3:
            return "gray"
        own = None if kind.own is None else kind.own.colormap
        is_signed = self.value_range_of(kind) == "symmetric" and kind.content != "labels"
        usual = "coolwarm" if is_signed else _USUAL_MAPS.get(kind.content, "gray")
        return own or self.colormap or usual


def _checked_range(value_range: object) -> ValueRange:
    if value_range is None:
        return None
    if isinstance(value_range, str):
        return _checked_name(value_range)
    ends = _as_tuple(value_range)
    if len(ends) != 2 or not all(isinstance(end, Real) for end in ends):
        raise _bad_range(value_range, "value_range=(0, 1)")
    if not all(abs(end) <= _GREATEST for end in ends):  # also refuses NaN
        raise _bad_range(value_range, _FROM_VALUES)
    low, high = map(float, ends)
    if low == high:
        raise _bad_range(value_range, _FROM_VALUES)
    if low > high:
        raise _bad_range(value_range, f"swap them: value_range=({high:g}, {low:g})")
    return low, high


def _checked_name(name: str) -> _Name:
    for known in _AUTOMATIC:
        if name == known:
            return known
    raise _bad_range(name, f"value_range={closest(name.lower(), _AUTOMATIC) or 'auto'!r}")


def _bad_range(value_range: object, fix: str) -> FrameError:
    return FrameError(
        f"cannot scale values with {value_range = }",
        expected="(low, high), two finite numbers with low < high; 'auto' (a range for each tile); "
        "'frame' (a range for all tiles); 'robust' (for each tile, without outliers); 'symmetric' "
        "(for all tiles, around 0); or None",
        fix=fix,
    )


def _checked_size(size: object) -> Size:
    if size is None:
        return None
    sides = _as_tuple(size) or (size, size)
    if len(sides) != 2 or not all(_is_side(side) for side in sides):
        raise _bad_size(size)
    width, height = (even_up(int(side)) for side in sides)
    if not isinstance(size, list | tuple):
        return width
    if width * height > MAX_PIXELS:
        raise _bad_size(size)
    return width, height


def _checked_columns(columns: object) -> int | None:
    if columns is None:
        return None
    if isinstance(columns, Integral) and not isinstance(columns, bool):
        number = int(columns)
        if 1 <= number <= MAX_COLUMNS:
            return number
    raise FrameError(
        f"cannot arrange a picture with {columns = }",
        expected=f"a whole number of 1 to {MAX_COLUMNS}, or None for those that waste least",
        fix="columns=4",
    )


def _bad_size(size: object) -> FrameError:
    return FrameError(
        f"cannot encode a picture with {size = }",
        expected=f"its longest side, or (width, height): whole numbers of {MIN_SIDE} to "
        f"{MAX_SIDE}, with no more than {MAX_PIXELS} pixels in all; or None",
        fix="size=720",
    )


def _is_side(side: object) -> bool:
    return (
        isinstance(side, Integral)
        and not isinstance(side, bool)
        and MIN_SIDE <= int(side) <= MAX_SIDE
    )


def _as_tuple(value: object) -> tuple[Any, ...]:
    """Return the items of a list or tuple; empty for anything else."""
    return tuple(value) if isinstance(value, list | tuple) else ()
