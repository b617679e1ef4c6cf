"""What the figures have to reach, by contender and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.notebook.measure import Run
from benchmarks.notebook.report import ROWS
from benchmarks.wanted import Bound, Figure, compare

__all__ = ["WANTED", "WANTED_BEHIND_SSH", "Wanted", "check"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound on one row of the table, for one column."""

    contender: str
    size: tuple[int, int]
    """(width, height)."""
    row: str
    bound: Bound


_WEBRTC, _SOCKET, _COMM = "gpuview", "gpuview by WebSocket", "gpuview through the kernel"
_720P, _360P = (1280, 720), (640, 360)

WANTED = (
    Wanted(_WEBRTC, _360P, "first picture, ms", Bound(at_most=300)),
    Wanted(_WEBRTC, _720P, "first picture, ms", Bound(at_most=300)),
    Wanted(_WEBRTC, _720P, "idle: glass to glass p50, ms", Bound(at_most=20)),
    Wanted(_WEBRTC, _720P, "idle: p99, ms", Bound(at_most=45)),
    Wanted(_SOCKET, _720P, "first picture, ms", Bound(at_most=3000)),
    Wanted(_SOCKET, _720P, "idle: frames shown per s", Bound(at_least=25)),
    Wanted(_SOCKET, _720P, "idle: p95, ms", Bound(at_most=150)),
    Wanted(_SOCKET, _720P, "busy: longest pause in 30 s, ms", Bound(at_most=200)),
    Wanted(_WEBRTC, _720P, "busy: longest pause in 30 s, ms", Bound(at_most=200)),
    Wanted(_COMM, _360P, "first picture, ms", Bound(at_most=3000)),
    Wanted(_COMM, _360P, "idle: frames shown per s", Bound(at_least=25)),
    Wanted(_COMM, _360P, "idle: p95, ms", Bound(at_most=120)),
    Wanted(_WEBRTC, _720P, "idle: click to changed picture p50, ms", Bound(at_most=60)),
    Wanted(_WEBRTC, _720P, "busy: click to changed picture p50, ms", Bound(at_most=80)),
    Wanted(_WEBRTC, _720P, "idle: value below the pointer p50, ms", Bound(at_most=100)),
    Wanted(_WEBRTC, _720P, "busy: value below the pointer p50, ms", Bound(at_most=100)),
    *(
        Wanted(contender, size, "seen again, ms", Bound(at_most=300))
        for contender in (_WEBRTC, _SOCKET, _COMM)
        for size in (_360P, _720P)
    ),
)

# There WebRTC cannot connect, so that contender shows another carrier's figures.
WANTED_BEHIND_SSH = tuple(each for each in WANTED if each.contender != _WEBRTC)


def check(runs: Sequence[Run], wanted: Sequence[Wanted]) -> tuple[str, bool]:
    """Compare medians over the rounds with what is wanted of them.

    Returns:
        A Markdown table, and whether all is as wanted. A contender that did not run is left out;
        one that showed nothing misses every bound.
    """
    figures = []
    read = {title: value for title, _, value in ROWS}
    for each in wanted:
        column = (each.contender, *each.size)
        found = [run for run in runs if (run.contender, run.width, run.height) == column]
        if not found:
            continue
        values = [read[each.row](run) for run in found]
        shown = [value for value in values if value is not None]
        name = f"{each.contender} {each.size[0]}x{each.size[1]}: {each.row}"
        figures.append(Figure(name, median(shown) if shown else None, each.bound))
    return compare(figures)
