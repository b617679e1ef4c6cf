"""What the figures have to reach, by contender and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.document import markdown_table
from benchmarks.notebook.measure import Run
from benchmarks.notebook.report import ROWS

__all__ = ["Wanted", "check"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound on one row of the table, for one column."""

    contender: str
    size: tuple[int, int]
    """(width, height)."""
    row: str
    at_least: float = float("-inf")
    at_most: float = float("inf")


_WEBRTC, _SOCKET, _COMM = "gpuview", "gpuview by WebSocket", "gpuview through the kernel"
_720P, _360P = (1280, 720), (640, 360)

WANTED = (
    Wanted(_SOCKET, _720P, "first picture, ms", at_most=3000),
    Wanted(_SOCKET, _720P, "idle: frames shown per s", at_least=25),
    Wanted(_SOCKET, _720P, "idle: p95, ms", at_most=150),
    Wanted(_SOCKET, _720P, "busy: longest pause in 30 s, ms", at_most=200),
    Wanted(_WEBRTC, _720P, "busy: longest pause in 30 s, ms", at_most=200),
    Wanted(_COMM, _360P, "first picture, ms", at_most=3000),
    Wanted(_COMM, _360P, "idle: frames shown per s", at_least=25),
    Wanted(_COMM, _360P, "idle: p95, ms", at_most=120),
    Wanted(_WEBRTC, _720P, "idle: click to changed picture p50, ms", at_most=60),
    Wanted(_WEBRTC, _720P, "busy: click to changed picture p50, ms", at_most=80),
    Wanted(_WEBRTC, _720P, "idle: value below the pointer p50, ms", at_most=100),
    Wanted(_WEBRTC, _720P, "busy: value below the pointer p50, ms", at_most=100),
    *(
        Wanted(contender, size, "seen again, ms", at_most=300)
        for contender in (_WEBRTC, _SOCKET, _COMM)
        for size in (_360P, _720P)
    ),
)


def check(runs: Sequence[Run], wanted: Sequence[Wanted] = WANTED) -> tuple[str, bool]:
    """Compare medians over the rounds with what is wanted of them.

    Returns:
        A Markdown table, and whether all is as wanted. A contender that did not run is left out;
        one that showed nothing misses every bound.
    """
    lines, is_met = [], True
    read = {title: value for title, _, value in ROWS}
    for each in wanted:
        column = (each.contender, *each.size)
        found = [run for run in runs if (run.contender, run.width, run.height) == column]
        if not found:
            continue
        values = [read[each.row](run) for run in found]
        shown = [value for value in values if value is not None]
        measured = median(shown) if shown else None
        is_good = measured is not None and each.at_least <= measured <= each.at_most
        is_met = is_met and is_good
        name = f"{each.contender} {each.size[0]}x{each.size[1]}: {each.row}"
        said = "nothing shown" if measured is None else f"{measured:.1f}"
        lines.append((name, [_bound(each), said if is_good else f"{said}, **missed**"]))
    return markdown_table(["wanted", "measured"], lines), is_met


def _bound(wanted: Wanted) -> str:
    if wanted.at_most != float("inf"):
        return f"{wanted.at_most:g} or less"
    return f"{wanted.at_least:g} or more"
