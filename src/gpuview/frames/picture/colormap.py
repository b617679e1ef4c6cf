"""Which colour a value has: five built-in maps, any of matplotlib's, and two colours for no value.

Note [markers]: NaN and Inf are shown in colours that the map does not have, so that they cannot be
taken for a value: magenta and cyan where the map is far from these, as most maps are, and the next
of a few vivid colours where it is not.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
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
"""Where a palette has the colour of NaN, and that of both infinities."""

_STEPS = 256
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
"""Two colours that lie so far apart in RGB, of 441 at most, are never taken for each other."""


def check_colormap(name: str) -> None:
    """Raise FrameError when no map has this name. The first foreign name imports matplotlib."""
    if not isinstance(name, str) or (name not in BUILT_IN and _from_matplotlib(name) is None):
        raise _unknown(name)


@cache
def palette(name: str, device: torch.device) -> Tensor:
    """Return the colours of a map, on a device.

    Made once for each map and device, and kept: nobody may write to it. Making it waits for a copy
    to the device, never for other work there.

    Args:
        name: As for `check_colormap`.
        device: Where the table is needed, with its index.

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
    """Copy on a stream of our own: on the caller's it would wait for what is queued there."""
    side = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        on_device = rows.pin_memory().to(device, non_blocking=True)
        copied = side.record_event()
    copied.synchronize()
    return on_device


def _colours(name: str) -> NDArray[np.uint8]:
    """Return the map's colours, ``(256, 3)``."""
    if name == "gray":
        return np.repeat(np.arange(_STEPS, dtype=np.uint8)[:, None], 3, axis=1)
    if name in BUILT_IN:
        from gpuview.frames.picture.colormap_tables import TABLES

        return np.frombuffer(bytes.fromhex(TABLES[name]), np.uint8).reshape(_STEPS, 3)
    colormap = _from_matplotlib(name)
    if colormap is None:
        raise _unknown(name)
    # The middle of each step: a map of 10 colours gets 10 stripes of one width.
    middles = (np.arange(_STEPS) + 0.5) / _STEPS
    return np.asarray(colormap(middles, bytes=True), np.uint8)[:, :3]


def _markers(
    colours: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Return the colours of NaN and of Inf, ``(2, 3)``, for a map of ``colours``."""
    candidates = np.array(_MARKERS, np.uint8)
    taken = colours
    for _ in range(2):
        offsets = candidates[:, None].astype(np.float64) - taken[None]  # (markers, colours, 3)
        nearest = np.linalg.norm(offsets, axis=2).min(axis=1)
        # The first that is far enough, or else the farthest: both are the first greatest.
        choice = np.minimum(nearest, _FAR).argmax()
        taken = np.concatenate((taken, candidates[choice : choice + 1]))
    return taken[-2:]


def _from_matplotlib(name: str) -> Colormap | None:
    """Return matplotlib's map of this name; None when it has none, or is not installed."""
    try:
        import matplotlib
    except ImportError:
        return None
    return matplotlib.colormaps.get(name)


def _unknown(name: object) -> FrameError:
    try:
        import matplotlib
    except ImportError:
        foreign = frozenset[str]()
        more, otherwise = "; matplotlib is not installed, which has more", "pip install matplotlib"
    else:
        foreign = frozenset(matplotlib.colormaps)
        more, otherwise = ", or a map that matplotlib has", "colormap='viridis'"
    wanted = str(getattr(name, "name", name))  # matplotlib's own maps have one
    near = get_close_matches(wanted, foreign.union(BUILT_IN), n=3, cutoff=0.5)
    return FrameError(
        f"cannot colour values with colormap = {name!r}",
        expected=f"one of {', '.join(map(repr, BUILT_IN))}{more}",
        fix=f"colormap={' or '.join(map(repr, near))}" if near else otherwise,
    )
