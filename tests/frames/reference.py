"""What a picture must be, in float64, from the definition alone: the oracle of the frames' tests.

Nothing here is shared with the code that it judges. Each tile is resized by two dense matrices of
overlaps, and nothing is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from gpuview.frames.picture.colormap import palette
from gpuview.frames.picture.geometry import BACKGROUND, PanelPlan, Plan
from gpuview.frames.picture.label import label_image

Array = npt.NDArray[np.float64]
Planes = tuple[Array, Array, Array]

NUDGE = 1e-5
"""How far a value may be from the exact one before it picks its colour in a colour map."""

_Y = (0.299, 0.587, 0.114)
_NAN, _INF, _IGNORED, _NO_CLASS = 256, 257, 258, 259
_QUALITATIVE = ("labels", "tab10")


def reference_rgb(
    pixels: npt.NDArray[np.generic],
    panel: PanelPlan,
    palette: npt.NDArray[np.uint8],
    nudge: float = 0.0,
) -> Array:
    """Draw one panel.

    Args:
        pixels: ``(T, C, H, W)``, any real dtype; computed with in float64.
        panel: Where they go; its own place in the picture (``y``, ``x``) does not matter.
        palette: ``(260, 3)``: the colours, NaN's, Inf's, an ignored class's, and that of no class.
            Only NaN's and Inf's of gray are read.
        nudge: Added to each value before it picks its colour in a colour map.

    Returns:
        ``(height, width, 3)`` in [0, 255], not rounded.
    """
    values = pixels.astype(np.float64)
    n_tiles, channels, height, width = values.shape
    assert (n_tiles, channels, height, width) == (
        panel.n_tiles,
        panel.channels,
        panel.tile_height,
        panel.tile_width,
    )
    picture = np.empty((panel.height, panel.width, 3))
    picture[:] = BACKGROUND
    for tile, (low, high) in enumerate(_ranges(values, panel)):
        drawn = _draw_tile(values[tile], low, high, panel, palette, nudge)
        if n_tiles == 1:
            return _complete(drawn, panel)
        y = tile // panel.columns * panel.cell_height
        x = tile % panel.columns * panel.cell_width
        picture[y : y + panel.inner_height, x : x + panel.inner_width] = drawn
    return picture


def reference_i420(rgb: Array) -> Planes:
    """Convert ``(H, W, 3)`` in [0, 255] to y, cb and cr by BT.601-7 section 2.5; not rounded.

    Chroma is the mean of each 2x2 block.
    """
    red, green, blue = np.moveaxis(rgb / 255, -1, 0)
    luma = _Y[0] * red + _Y[1] * green + _Y[2] * blue
    cb, cr = (blue - luma) / 1.772, (red - luma) / 1.402
    return 16 + 219 * luma, 128 + 224 * _mean_2x2(cb), 128 + 224 * _mean_2x2(cr)


def assert_rgb_within_one_level(
    shown: npt.NDArray[np.generic],
    pixels: npt.NDArray[np.generic],
    panel: PanelPlan,
    palette: npt.NDArray[np.uint8],
) -> None:
    """Compare ``(height, width, 3)`` in [0, 255], rounded or not, with the reference.

    A value that is less than `NUDGE` from the next colour of a colour map may have that one.
    """
    least, greatest = reference_bounds(pixels, panel, palette)
    assert shown.shape == least.shape
    assert (shown >= least - 1).all()
    assert (shown <= greatest + 1).all()


def assert_i420_within_one_level(
    shown: tuple[npt.NDArray[np.generic], ...], least: Array, greatest: Array
) -> None:
    """Compare three planes with the reference's.

    Args:
        shown: ``(H, W)`` luma, ``(H/2, W/2)`` Cb and Cr.
        least: ``(H, W, 3)`` in [0, 255], as from `reference_bounds` or `reference_rgb`.
        greatest: The same one, or what else each pixel may be.
    """
    exact = reference_i420(least)
    # A weight is at most 1 in each plane's sum, so this is more than any of them can differ.
    slack = (greatest - least).sum(-1)
    slacks = (slack, _mean_2x2(slack), _mean_2x2(slack))
    for plane, reference, play in zip(shown, exact, slacks, strict=True):
        assert plane.shape == reference.shape
        assert (np.abs(plane - reference) <= 1 + play).all()


def assert_rgb_is_rounded(shown: npt.NDArray[np.generic], least: Array, greatest: Array) -> None:
    """Compare ``(H, W, 3)`` bytes with what `reference_bounds` gives, rounded to whole levels."""
    assert shown.shape == least.shape
    half = 0.501  # computed in float32
    assert (shown >= least - half).all()
    assert (shown <= greatest + half).all()


def reference_bounds(
    pixels: npt.NDArray[np.generic], panel: PanelPlan, palette: npt.NDArray[np.uint8]
) -> tuple[Array, Array]:
    """Return the least and the greatest that `reference_rgb` gives, values nudged both ways."""
    ways = [reference_rgb(pixels, panel, palette, nudge) for nudge in (-NUDGE, 0.0, NUDGE)]
    return np.minimum.reduce(ways), np.maximum.reduce(ways)


def picture_bounds(plan: Plan, tensors: Sequence[npt.NDArray[np.generic]]) -> tuple[Array, Array]:
    """Return the least and the greatest that each pixel of a whole picture may be.

    Args:
        plan: The picture, ``(H, W, 3)``.
        tensors: ``(T, C, H, W)`` for each panel.
    """
    least = np.empty((plan.height, plan.width, 3))
    least[:] = BACKGROUND
    for label in plan.labels:
        image = label_image(label.text, label.height, label.width).numpy()
        least[label.y : label.y + label.height, label.x : label.x + label.width] = image
    greatest = least.copy()
    for panel, pixels in zip(plan.panels, tensors, strict=True):
        colours = palette(panel.colormap, torch.device("cpu")).numpy()
        rows = slice(panel.y, panel.y + panel.height)
        columns = slice(panel.x, panel.x + panel.width)
        bounds = reference_bounds(pixels, panel, colours)
        least[rows, columns], greatest[rows, columns] = bounds
    return least, greatest


def overlaps(tile: int, inner: int) -> Array:
    """Return the part of each pixel of the picture that each pixel of the tile fills.

    ``(inner, tile)``; each row sums up to one.
    """
    shown, own = np.arange(inner)[:, None], np.arange(tile)[None, :]
    ends = np.minimum((shown + 1) * tile, (own + 1) * inner)
    starts = np.maximum(shown * tile, own * inner)
    return np.maximum(0, ends - starts) / tile


def _ranges(values: Array, panel: PanelPlan) -> list[tuple[float, float]]:
    scaling = panel.scaling
    if scaling.auto is None:
        return [(scaling.low, scaling.high)] * len(values)
    if scaling.auto == "frame":
        return [_finite_range(values)] * len(values)
    if scaling.auto == "symmetric":
        if panel.channels == 2:
            values = np.hypot(values[:, 0], values[:, 1])
        reach = max(map(abs, _finite_range(values))) if np.isfinite(values).any() else 1.0
        return [(-reach, reach) if reach else (-1.0, 1.0)] * panel.n_tiles
    if scaling.auto == "robust":
        return [_percentiles(tile) for tile in values]
    return [_finite_range(tile) for tile in values]


def _finite_range(values: Array) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (finite.min(), finite.max()) if finite.size else (0.0, 1.0)


def _percentiles(values: Array) -> tuple[float, float]:
    """Return the 1st and the 99th percentile, for a tile of up to 256 values or few tiles."""
    finite = np.sort(values[np.isfinite(values)])
    if not finite.size:
        return 0.0, 1.0
    rank = math.floor((finite.size - 1) / 100 + 0.5)
    low, high = finite[rank], finite[-1 - rank]
    return (low, high) if low < high else (finite[0], finite[-1])


def _draw_tile(
    values: Array,
    low: float,
    high: float,
    panel: PanelPlan,
    palette: npt.NDArray[np.uint8],
    nudge: float,
) -> Array:
    """Return ``(inner_height, inner_width, 3)`` in [0, 255] for ``(C, H, W)``."""
    rows = overlaps(panel.tile_height, panel.inner_height)
    columns = overlaps(panel.tile_width, panel.inner_width)
    # Half of each, as the difference of two values may be more than float64 holds.
    scaled = (values / 2 - low / 2) / (high / 2 - low / 2) if high > low else np.zeros_like(values)
    finite = np.where(np.isfinite(values), scaled, 0.0)
    means = rows @ finite @ columns.T  # (C, inner_height, inner_width)
    flow, means = means * 2 - 1, np.clip(means, 0, 1)
    if panel.channels == 1 and panel.colormap in _QUALITATIVE:
        rgb = palette[_class_rows(values[0], panel)].astype(np.float64)
    elif panel.channels == 1 and panel.colormap != "gray":
        picks = np.clip(np.floor((means[0] + nudge) * 256), 0, 255).astype(int)
        rgb = palette[picks].astype(np.float64)
    elif panel.channels == 2:
        rgb = flow_colours(*flow, palette[:56])
    else:
        rgb = np.moveaxis(np.broadcast_to(means, (3, *means.shape[1:])), 0, -1) * 255
    for is_nonfinite, marker in ((np.isinf(values), _INF), (np.isnan(values), _NAN)):
        covers = (rows > 0) @ is_nonfinite.any(0).astype(float) @ (columns > 0).T > 0
        rgb = np.where(covers[..., None], palette[marker].astype(np.float64), rgb)
    return rgb


def flow_colours(right: Array, down: Array, hues: npt.NDArray[np.uint8]) -> Array:
    """Return ``(..., 3)`` in [0, 255] for vectors whose lengths are in [0, 1].

    As in Baker et al. 2007, on a closed wheel. ``hues`` are the 55 and the first one again.
    """
    length = np.hypot(right, down)[..., None]
    at = (np.arctan2(-down, -right) / np.pi + 1) / 2 * 55
    first = np.minimum(np.floor(at), 54).astype(int)
    part = (at - first)[..., None]
    hue = (1 - part) * hues[first] + part * hues[first + 1]
    slower = 255 - np.minimum(length, 1) * (255 - hue)
    return np.where(length > 1.001, 0.75 * hue, slower)


def _class_rows(values: Array, panel: PanelPlan) -> npt.NDArray[np.int64]:
    """Return the row of the class in the middle of each pixel, ``(inner_height, inner_width)``."""
    rows = _middles(panel.tile_height, panel.inner_height)
    columns = _middles(panel.tile_width, panel.inner_width)
    index = np.floor(values[np.ix_(rows, columns)] + 0.5)
    picks = np.where((index >= 0) & (index <= 255), index, _NO_CLASS)
    return np.where(index == -100, _IGNORED, picks).astype(np.int64)


def _middles(tile: int, inner: int) -> list[int]:
    return [math.floor(Fraction(2 * i + 1, 2 * inner) * tile) for i in range(inner)]


def _complete(drawn: Array, panel: PanelPlan) -> Array:
    """Repeat the last row and column of a lone tile up to the panel's sides."""
    down, right = panel.height - drawn.shape[0], panel.width - drawn.shape[1]
    return np.pad(drawn, ((0, down), (0, right), (0, 0)), mode="edge")


def _mean_2x2(plane: Array) -> Array:
    height, width = plane.shape
    return plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
