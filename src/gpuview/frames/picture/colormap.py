"""Colour maps: five built-in maps, all of matplotlib's, and the colours of NaN and Inf.

Note [markers]: NaN and Inf get colours that are not in the map, so they cannot be mistaken for
values. For most maps these are magenta and cyan. If the map has a similar colour, the next of a few
vivid colours is used.

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

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

__all__ = ["BUILT_IN", "INF_ROW", "NAN_ROW", "check_colormap", "palette"]

BUILT_IN = ("gray", "viridis", "magma", "turbo", "coolwarm")
"""The maps that need no matplotlib."""

NAN_ROW, INF_ROW = 256, 257
"""The palette rows that hold the colours of NaN and of both infinities."""

_STEPS = 256
_TABLES = Path(__file__).with_name("colormaps.npz")
"""``(256, 3)`` for each built-in map but gray; written by scripts/generate_colormaps.py."""

_MARKERS = (
    (255, 0, 255),  # magenta
    (0, 255, 255),  # cyan
    (0, 255, 0),
    (255, 255, 0),
    (255, 0, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (255, 128, 0),  # orange
    (128, 128, 128),
)
"""In the order of preference."""

_FAR = 100
"""Two colours at this distance in RGB are easy to tell apart. The largest distance is 441."""


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
        name: As for `check_colormap`.
        device: With its index.

    Returns:
        ``(258, 3)`` uint8 RGB. A value v in [0, 1] has row ``min(int(v * 256), 255)``, NaN has row
        `NAN_ROW`, and both infinities row `INF_ROW`. See Note [markers].

    Raises:
        FrameError: No map has this name.
    """
    colours = _colours(name)
    rows = torch.from_numpy(np.concatenate((colours, _markers(colours))))
    return _to_cuda(rows, device) if device.type == "cuda" else rows.to(device)


def _to_cuda(rows: Tensor, device: torch.device) -> Tensor:
    """Copy on a new stream: on the caller's, the copy would wait for the work queued there."""
    copy_stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(copy_stream):
        on_device = rows.pin_memory().to(device, non_blocking=True)
        copied = copy_stream.record_event()
    copied.synchronize()
    return on_device


def _colours(name: str) -> NDArray[np.uint8]:
    """Return the map's colours, ``(256, 3)``."""
    if name == "gray":
        return np.repeat(np.arange(_STEPS, dtype=np.uint8)[:, None], 3, axis=1)
    if name in BUILT_IN:
        with np.load(_TABLES) as tables:
            table: NDArray[np.uint8] = tables[name]
            return table
    colormap = _matplotlib_maps().get(name)
    if colormap is None:
        raise _unknown(name)
    # The middle of each step, so that a map of 10 colours gets 10 stripes of equal width.
    middles = (np.arange(_STEPS) + 0.5) / _STEPS
    return np.asarray(colormap(middles, bytes=True), np.uint8)[:, :3]


def _markers(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours of NaN and of Inf, ``(2, 3)``, for a map of ``colours``."""
    candidates = np.array(_MARKERS, np.uint8)
    taken = colours
    for _ in range(2):
        offsets = candidates[:, None].astype(np.float64) - taken[None]  # (markers, colours, 3)
        nearest = np.linalg.norm(offsets, axis=2).min(axis=1)
        # The first candidate that is far enough from all colours, or else the farthest.
        choice = np.minimum(nearest, _FAR).argmax()
        taken = np.concatenate((taken, candidates[choice : choice + 1]))
    return taken[-2:]


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
