"""What is measured of a tensor now and then, for the cell's hint and legend. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gpuview.frames.picture.colormap import NO_CLASS_ROW

__all__ = ["N_CLASS_ROWS", "N_MEASURES", "Extremes", "Measured", "as_measured"]

Extremes = tuple[float, float] | None
"""The smallest and the largest finite value of a tensor; None if unknown, or if there is none."""

N_CLASS_ROWS = NO_CLASS_ROW + 1

N_MEASURES = 3 + N_CLASS_ROWS


class Measured(NamedTuple):
    """What is known of one tensor."""

    extremes: Extremes = None
    """Of a flow, of its speeds; of a tensor that is shown without outliers, without these."""
    outside: float = 0.0
    """The share of finite values beyond a fixed range, 0 to 1; of a sample."""
    class_rows: tuple[int, ...] = ()
    """The rows of the palette that its classes have, in order."""


def as_measured(measures: Sequence[float]) -> Measured:
    """Return what a device has found.

    Args:
        measures: `N_MEASURES`: the extremes, (inf, -inf) if there are none; `Measured.outside`; and
            for each row of a palette, whether a class has it.
    """
    least, greatest, outside, *has_class = measures
    rows = tuple(row for row, is_there in enumerate(has_class) if is_there)
    return Measured((least, greatest) if least <= greatest else None, outside, rows)
