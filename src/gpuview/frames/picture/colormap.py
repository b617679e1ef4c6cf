"""Colour maps: six built-in maps, all of matplotlib's, and the colours of what is no value.

Note [classes]: a qualitative map (the built-in ``"labels"``; ``"tab10"`` and all others of
matplotlib that list less than 256 colours) does not scale values. A value is the index of a class,
and the class has the same colour whatever else is in the picture. Floats are rounded to the nearest
index. 255 and -100 are the usual indices of pixels to ignore, so they are no classes. They have a
colour of their own, and so has any index that the map has no colour for.

Source:
    viridis, magma: N. J. Smith, S. van der Walt, E. Firing (BIDS/colormap); CC0.
    turbo: A. Mikhailov, "Turbo, an improved rainbow colormap", Google 2019; Apache-2.0.
    coolwarm: K. Moreland, "Diverging Color Maps for Scientific Visualization", ISVC 2009; his
        tables are free to use, and matplotlib's licence covers this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpuview.errors import FrameError
from gpuview.frames.picture.special_colours import markers
from gpuview.frames.picture.wheel import wheel_colours, wheel_hues

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

__all__ = [
    "BUILT_IN",
    "FLOW",
    "IGNORED_INDEX",
    "IGNORED_ROW",
    "INF_ROW",
    "NAN_ROW",
    "NO_CLASS_ROW",
    "N_INDICES",
    "check_colormap",
    "n_classes",
    "palette",
]

BUILT_IN = ("gray", "viridis", "magma", "turbo", "coolwarm", "labels")
"""The maps that need no matplotlib."""

FLOW = "flow"
"""The palette of a flow, which is no colour map: its hues, and the first one again."""

NAN_ROW, INF_ROW, IGNORED_ROW, NO_CLASS_ROW = 256, 257, 258, 259
"""The palette rows of what is no value; see `gpuview.frames.picture.special_colours`."""

IGNORED_INDEX = -100
"""PyTorch's ``ignore_index``. The other index that is ignored, 255, has a row as classes have."""

N_INDICES = 256
"""Indices from 0 on that have a row. The last one is ignored."""

_TABLES = Path(__file__).with_name("colormaps.npz")
"""``(256, 3)`` for each built-in map but gray, ``(255, 3)`` for labels; written by
scripts/generate_colormaps.py."""


def check_colormap(name: str) -> None:
    """Raise FrameError if no map has this name. Imports matplotlib unless the map is built in."""
    if not isinstance(name, str) or (name not in BUILT_IN and name not in _matplotlib_maps()):
        raise _unknown(name)


@cache
def palette(name: str, device: torch.device) -> Tensor:
    """Return the colours of a map, on a device.

    The result is cached for each map and device: do not write to it. The first call waits for a
    copy to the device, but never for other work there.

    Args:
        name: As for `check_colormap`, or `FLOW`.
        device: With its index.

    Returns:
        ``(260, 3)`` uint8 RGB. A value v in [0, 1] has row ``min(int(v * 256), 255)``, NaN has row
        `NAN_ROW`, and both infinities row `INF_ROW`. In a qualitative map, the row of a class is
        its index; see Note [classes].

    Raises:
        FrameError: No map has this name.
    """
    if name == FLOW:
        hues = wheel_hues()
        colours, values = np.concatenate((hues, hues[:1])), wheel_colours()
    else:
        colours = values = _colours(name)
    marked = markers(values, NO_CLASS_ROW - NAN_ROW + 1)
    rest = np.repeat(marked[-1:], N_INDICES - len(colours), axis=0)
    rows = torch.from_numpy(np.concatenate((colours, rest, marked)))
    if name != FLOW and n_classes(name) is not None:
        rows[N_INDICES - 1] = rows[IGNORED_ROW]
    return _to_cuda(rows, device) if device.type == "cuda" else rows.to(device)


@cache
def n_classes(name: str) -> int | None:
    """Return how many classes a map has colours for; None if it is not a qualitative map.

    Raises:
        FrameError: No map has this name.
    """
    n = len(_colours(name))
    return n if n < N_INDICES else None


def _to_cuda(rows: Tensor, device: torch.device) -> Tensor:
    """Copy on a new stream: on the caller's, the copy would wait for the work queued there."""
    copy_stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(copy_stream):
        on_device = rows.pin_memory().to(device, non_blocking=True)
        copied = copy_stream.record_event()
    copied.synchronize()
    return on_device


def _colours(name: str) -> NDArray[np.uint8]:
    """Return the map's colours, ``(256, 3)``; fewer in a qualitative map."""
    if name == "gray":
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    if name in BUILT_IN:
        with np.load(_TABLES) as tables:
            table: NDArray[np.uint8] = tables[name]
            return table
    colormap = _matplotlib_maps().get(name)
    if colormap is None:
        raise _unknown(name)
    is_qualitative = hasattr(colormap, "colors") and colormap.N < N_INDICES
    values = np.arange(colormap.N) if is_qualitative else (np.arange(256) + 0.5) / 256
    return np.asarray(colormap(values, bytes=True), np.uint8)[:, :3]


def _matplotlib_maps() -> Mapping[str, Colormap]:
    """Return matplotlib's maps by name; empty if it is not installed."""
    try:
        import matplotlib
    except ImportError:
        return {}
    return matplotlib.colormaps


def _unknown(name: object) -> FrameError:
    foreign = _matplotlib_maps()
    if foreign:
        more, otherwise = ", or the name of a map in matplotlib", "colormap='viridis'"
    else:
        more, otherwise = "; more with matplotlib, which is not installed", "pip install matplotlib"
    wanted = str(getattr(name, "name", name))  # a Colormap object has a name
    near = get_close_matches(wanted, {*foreign, *BUILT_IN}, n=3, cutoff=0.5)
    return FrameError(
        f"cannot colour values with colormap = {name!r}",
        expected=f"one of {', '.join(map(repr, BUILT_IN))}{more}",
        fix=f"colormap={' or '.join(map(repr, near))}" if near else otherwise,
    )
