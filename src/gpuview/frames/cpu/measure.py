"""Measures tensors for the cell's hint and legend."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpuview.frames.cpu.dtypes import is_16_bit_float, work_dtype
from gpuview.frames.cpu.extremes import finite_extremes
from gpuview.frames.cpu.paint import class_rows, is_classes
from gpuview.frames.cpu.percentiles import MAX_SAMPLE, sampled
from gpuview.frames.cpu.ranges import range_of_all, union
from gpuview.frames.picture.colormap import (
    IGNORED_INDEX,
    IGNORED_ROW,
    N_INDICES,
    NAN_ROW,
    NO_CLASS_ROW,
)
from gpuview.frames.picture.geometry import PanelPlan, Scaling
from gpuview.frames.picture.measured import N_CLASS_ROWS, Extremes, Measured

__all__ = [
    "extremes_of_no_classes",
    "launch_present_rows",
    "measured",
    "present_rows",
    "share_outside",
]

_MAX_INDICES = 1 << 17


def measured(pixels: Tensor, panel: PanelPlan, ranges: Tensor | None = None) -> Measured:
    """Measure one tensor. Waits for any device but the CPU.

    Args:
        pixels: ``(T, C, H, W)``, any strides, any real dtype.
        panel: How it is shown.
        ranges: `raw_ranges` of the tiles, if they are known because the picture was scaled by them.
    """
    if is_classes(panel):
        is_on_cpu = pixels.device.type == "cpu"
        is_there = (present_rows if is_on_cpu else launch_present_rows)(pixels).tolist()
        rows = tuple(row for row in range(N_CLASS_ROWS) if is_there[row])
        return Measured(finite_extremes(_sparse(pixels)), class_rows=rows)
    scaling = panel.scaling
    if ranges is not None:
        return Measured(_known(union(ranges)))
    if scaling.auto == "robust" or panel.channels == 2:
        return Measured(_known(range_of_all(pixels, scaling.auto)))
    extremes = finite_extremes(pixels)
    if scaling.auto is not None or extremes is None or _is_within(extremes, scaling):
        return Measured(extremes)
    return Measured(extremes, float(share_outside(pixels, scaling)))


def extremes_of_no_classes(pixels: Tensor) -> Extremes:
    """Return the extremes of integers that are no classes; None if they may be.

    Classes are 0 to 255, -100, and -1.

    Args:
        pixels: ``(T, 1, H, W)`` of a signed integer type, on the CPU.
    """
    extremes = finite_extremes(pixels)
    if extremes is None or (extremes[0] >= 0 and extremes[1] < N_INDICES):
        return None
    values = pixels.numpy()
    others = values[(values < 0) | (values >= N_INDICES)]
    return None if np.isin(others, (IGNORED_INDEX, -1)).all() else extremes


def share_outside(pixels: Tensor, scaling: Scaling) -> Tensor:
    """Return the share of finite values beyond a fixed range, of a sample of about 4096.

    Runs on the tensor's device and only launches work there.
    """
    values = sampled(pixels, max(1, MAX_SAMPLE // len(pixels))).to(work_dtype(pixels, None))
    is_finite = values.isfinite()
    is_outside = is_finite & ((values < scaling.low) | (values > scaling.high))
    return is_outside.sum() / is_finite.sum().clamp_(min=1)


def launch_present_rows(pixels: Tensor) -> Tensor:
    """Return which rows of a palette the classes have, as `present_rows` does.

    Runs where `share_outside` does.

    Returns:
        ``(N_CLASS_ROWS,)`` bool.
    """
    indices = _sparse(pixels).flatten()
    rows = class_rows(indices).masked_fill_(~indices.isfinite(), NAN_ROW)
    is_present = torch.zeros(N_CLASS_ROWS, dtype=torch.bool, device=pixels.device)
    is_present.index_fill_(0, rows.long(), True)
    is_present[NAN_ROW] = False
    return is_present


def present_rows(pixels: Tensor) -> npt.NDArray[np.bool_]:
    """Return which rows of a palette the classes have; see `class_rows`.

    Of more than 131,072 pixels every second row and column is read, or every third, and so on: a
    class is found if it covers a square of that side.

    Args:
        pixels: ``(T, 1, H, W)``, the indices of classes, on the CPU.

    Returns:
        ``(N_CLASS_ROWS,)``.
    """
    indices = _sparse(pixels)
    values = indices.to(
        work_dtype(indices, None) if is_16_bit_float(indices) else indices.dtype
    ).numpy()
    if indices.dtype.is_floating_point:
        values = np.floor(values[np.isfinite(values)] + 0.5)
    is_row = (values >= 0) & (values < N_INDICES)
    counts = np.bincount(values[is_row].astype(np.uint8), minlength=N_CLASS_ROWS)
    is_present: npt.NDArray[np.bool_] = counts > 0
    others = values[~is_row]
    is_present[IGNORED_ROW] = (others == IGNORED_INDEX).any()
    is_present[NO_CLASS_ROW] = (others != IGNORED_INDEX).any()
    return is_present


def _sparse(pixels: Tensor) -> Tensor:
    step = max(1, math.ceil(math.sqrt(pixels.numel() / _MAX_INDICES)))
    return pixels[:, :, ::step, ::step]


def _known(of_all: Tensor) -> Extremes:
    low, high = of_all.tolist()
    return (low, high) if low <= high else None


def _is_within(extremes: tuple[float, float], scaling: Scaling) -> bool:
    return scaling.low <= extremes[0] and extremes[1] <= scaling.high
