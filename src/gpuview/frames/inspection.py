"""The values of one frame, read where a person looks: single elements, boxes and small pictures.

Nothing here touches the user's CUDA streams. What is read of a tensor on a device is copied on a
stream of ours, after the host has waited for the work that writes to the frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from gpuview.frames.cpu.dtypes import is_16_bit_float
from gpuview.frames.cpu.paint import is_classes
from gpuview.frames.cpu.ranges import tile_ranges
from gpuview.frames.cuda.device import reading_stream
from gpuview.frames.picture.frame import read_frame
from gpuview.frames.picture.geometry import AutoRange
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.picture_map import Box, PictureMap, Rectangle, Spot
from gpuview.frames.picture.plan import plan
from gpuview.frames.picture.tensor_layout import ElementIndex, Reading, Tiles
from gpuview.frames.pushed_frame import PushedFrame, devices_of, synchronize
from gpuview.frames.region import drawn_region
from gpuview.frames.statistics import statistics_of
from gpuview.frames.torch_compat import outside_transforms

__all__ = ["BoxStatistics", "Element", "Inspection"]

_BLOCK_NUMEL = 1 << 20
_MAX_PIXELS, _MAX_PNG_NBYTES = 1_500_000, 2_000_000
_MAX_COPY_NBYTES = 256 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Element:
    """One element that is shown. Numbers are text, because pages have no int64, NaN or Inf."""

    panel: str
    """The panel's name; empty if there are no labels."""
    index: str
    """In the tensor, as in ``[3, :, 12, 40]``."""
    row: int
    column: int
    values: tuple[str, ...]
    """Of all channels."""
    dtype: str
    low: str
    high: str
    """The range by which it is shown; both empty for classes."""
    place: Rectangle
    """Where it is shown."""


@dataclass(frozen=True, slots=True)
class BoxStatistics:
    """What the elements in a box have in common; the numbers are of the finite values."""

    panel: str
    index: str
    """As in ``[3, :, 10:20, 4:9]``."""
    dtype: str
    n: int
    """All values, with those that are not finite."""
    n_nan: int
    n_inf: int
    least: str
    greatest: str
    mean: str
    std: str
    """Of the population. All four are empty if no value is finite."""
    counts: tuple[int, ...]
    """`N_BINS` of equal width from ``least`` to ``greatest``; empty if no value is finite."""
    place: Rectangle


class Inspection:
    """One frame, as it is shown. One thread at a time.

    Args:
        pushed: The frame.
        look: How it is shown.
        readings: How the stream's last frame was read; see Note [as before] in `layout`.

    Raises:
        FrameError: ``select`` failed, a device has failed, or the frame cannot be shown.
    """

    def __init__(
        self, pushed: PushedFrame, look: Look, readings: Mapping[str | None, Reading]
    ) -> None:
        self.number = pushed.number
        self.look = look
        synchronize(pushed.frame)
        self._devices = devices_of(pushed.frame)

        def read() -> tuple[tuple[str, ...] | None, list[Tiles]]:
            return read_frame(pushed.selected(), look, readings)

        names, self._tiles = self._run(read)
        picture = plan([each.kind for each in self._tiles], names, look)
        self.map = PictureMap(picture, names, tuple(each.axes for each in self._tiles))
        self._ranges: dict[tuple[int, int], tuple[float, float]] = {}

    def keep(self) -> None:
        """Keep the values as they are now, even if the user overwrites the tensor.

        What has more than 256 MiB is not copied.
        """
        nbytes = sum(each.pixels.untyped_storage().nbytes() for each in self._tiles)
        if nbytes <= _MAX_COPY_NBYTES:
            self._tiles = self._run(lambda: [each.copied() for each in self._tiles])

    def element(self, x: float, y: float) -> Element | None:
        """Return what is seen at a place; None if that is no element. Waits for its device."""
        spot = self.map.at(x, y)
        if spot is None:
            return None
        tiles, index = self._tiles[spot.panel], self.map.index(spot)
        values = self._run(lambda: _values(tiles.whole, _slices(index)))
        low, high = self._range_text(spot.panel, spot.tile)
        rows, columns = range(spot.row, spot.row + 1), range(spot.column, spot.column + 1)
        return Element(
            panel=self.map.name(spot.panel) or "",
            index=_index_text(index),
            row=spot.row,
            column=spot.column,
            values=tuple(map(str, values.flat)),
            dtype=_dtype_text(tiles),
            low=low,
            high=high,
            place=self.map.place(Box(spot.panel, spot.tile, rows, columns)),
        )

    def statistics(self, x: float, y: float, to_x: float, to_y: float) -> BoxStatistics | None:
        """Return what is in a box; None if it begins outside of all tiles.

        Waits for its device. Takes a second for 100 million elements.
        """
        box = self.map.box(x, y, to_x, to_y)
        if box is None:
            return None
        tiles = self._tiles[box.panel]
        first = Spot(box.panel, box.tile, box.rows.start, box.columns.start)
        index, layout = self.map.index(first), self.map.axes[box.panel].layout
        sides = {"H": box.rows, "W": box.columns}
        step = max(1, _BLOCK_NUMEL // len(box.columns))

        def block(start: int) -> npt.NDArray[Any]:
            rows = range(start, min(start + step, box.rows.stop))
            of = sides | {"H": rows}
            slices = tuple(
                slice(of[axis].start, of[axis].stop) if axis in of else _slice(at)
                for axis, at in zip(layout, index, strict=True)
            )
            return self._run(lambda: _values(tiles.whole, slices))

        starts = range(box.rows.start, box.rows.stop, step)
        found = statistics_of(lambda: map(block, starts))
        return BoxStatistics(
            panel=self.map.name(box.panel) or "",
            index=_index_text(index, {axis: sides[axis] for axis in sides}, layout),
            dtype=_dtype_text(tiles),
            place=self.map.place(box),
            **found,
        )

    def png(self, part: Rectangle, height: int, width: int) -> bytes:
        """Draw a part of the picture, each element without loss, as a PNG. Waits for its device.

        Args:
            part: Of the picture; empty bytes are returned if it is none.
            height, width: The drawing's; it is smaller if it would have too many pixels or bytes.
        """
        if not _is_part(part):
            return b""
        shrink = max(1.0, math.sqrt(height * width / _MAX_PIXELS))
        while True:
            sides = max(1, round(height / shrink)), max(1, round(width / shrink))
            png = _as_png(self.region(part, *sides))
            if len(png) <= _MAX_PNG_NBYTES:
                return png
            shrink *= 1.5

    def region(self, part: Rectangle, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Draw a part of the picture, each element without loss; ``(height, width, 3)`` RGB.

        Waits for its device.
        """
        tensors = [each.pixels for each in self._tiles]
        return self._run(
            lambda: drawn_region(self.map.plan, tensors, self._range, part, height, width)
        )

    def _range_text(self, panel: int, tile: int) -> tuple[str, str]:
        if is_classes(self.map.plan.panels[panel]):
            return "", ""
        low, high = self._range(panel, tile)
        return f"{low:.6g}", f"{high:.6g}"

    def _range(self, panel: int, tile: int) -> tuple[float, float]:
        """Return the values that a tile shows as the ends of its colours."""
        scaling, pixels = self.map.plan.panels[panel].scaling, self._tiles[panel].pixels
        if scaling.auto is None:
            return scaling.low, scaling.high
        is_own = scaling.auto in ("tile", "robust")
        key = (panel, tile if is_own else 0)
        if key not in self._ranges:
            low, high = self._run(
                partial(_range, pixels[tile : tile + 1] if is_own else pixels, scaling.auto)
            )
            self._ranges[key] = (low, high)
        return self._ranges[key]

    def _run(self, read: Callable[[], T]) -> T:
        """Call ``read`` with streams of ours as the current ones."""
        with ExitStack() as streams, torch.inference_mode():
            for device in self._devices:
                streams.enter_context(torch.cuda.stream(reading_stream(device)))
            return outside_transforms(read)


def _range(pixels: Tensor, auto: AutoRange) -> tuple[float, float]:
    low, high = tile_ranges(pixels, auto)[0].tolist()
    return low, high


def _is_part(part: Rectangle) -> bool:
    is_inside = -1 <= part.x <= 2 and -1 <= part.y <= 2  # also refuses NaN
    return is_inside and 0 < part.width <= 4 and 0 < part.height <= 4


def _as_png(rgb: npt.NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(rgb).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _slices(index: ElementIndex) -> tuple[slice, ...]:
    return tuple(map(_slice, index))


def _slice(at: int | None) -> slice:
    return slice(None) if at is None else slice(at, at + 1)


def _values(tensor: Tensor, slices: tuple[slice, ...]) -> npt.NDArray[Any]:
    """Return a part of a tensor in the CPU's memory; floats of 16 bits as float32."""
    part = tensor[slices]
    if is_16_bit_float(part):
        part = part.to(torch.float32)
    return part.cpu().numpy()


def _dtype_text(tiles: Tiles) -> str:
    return str(tiles.kind.dtype).removeprefix("torch.")


def _index_text(
    index: ElementIndex, ranges: Mapping[str, range] | None = None, layout: str = ""
) -> str:
    parts = [":" if at is None else str(at) for at in index]
    for axis, part in (ranges or {}).items():
        parts[layout.index(axis)] = f"{part.start}:{part.stop}"
    return f"[{', '.join(parts)}]"
