"""What the figures have to reach."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.wanted import Bound, Figure, compare

__all__ = ["AT_MOST", "check"]

AT_MOST = {
    "glass to glass, worker more than local, p50, ms": 15.0,
    "training loop, unwatched, more CPU time, %": 1.0,
    "training loop, unwatched, fewer steps per second, %": 1.0,
    "training loop, watched, more CPU time, %": 2.0,
    "training loop, watched, fewer steps per second, %": 2.0,
    "a worker's death is shown after, worst of 3, s": 6.0,
    "a worker's silence, as of a node that is gone, is shown after, s": 6.0,
    "16 ranks in one page: frames of the slowest that are not drawn, %": 5.0,
    "its return plays after, worst of 3, s": 2.0,
    "it plays again after, s": 2.0,
}
"""By figure. Nothing is wanted of an unwatched loop: 1 % is what the machine's noise may be."""


def check(figures: Mapping[str, float], at_most: Mapping[str, float] = AT_MOST) -> tuple[str, bool]:
    """Compare figures with what is wanted of them.

    Returns:
        A Markdown table of all figures, and whether each that has a bound keeps it. NaN does not.
    """
    bounds = {name: Bound(at_most=bound) for name, bound in at_most.items()}
    return compare([Figure(name, value, bounds.get(name)) for name, value in figures.items()])
