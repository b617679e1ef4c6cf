"""What gpuview's figures have to reach, by scenario and step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.link.measure import Step
from benchmarks.link.report import COLUMNS, Result, title
from benchmarks.wanted import Bound, Figure, compare

__all__ = ["WANTED", "Wanted", "check"]

_CONTENDER = "gpuview"
_READ = {head: read for head, _, read in COLUMNS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound on one column of the tables, for each step of that title."""

    scenarios: tuple[str, ...]
    step: str
    column: str
    bound: Bound


def _on_all_routes(scenario: str) -> tuple[str, ...]:
    return scenario, f"{scenario}-turn-udp", f"{scenario}-turn-tcp"


_RATES, _OUTAGE = _on_all_routes("rates"), _on_all_routes("outage")
_LOSS = (*_on_all_routes("loss"), "loss-360p")
_FPS, _P95, _GAP = "frames shown/s", "p95, ms", "longest gap, ms"
_SHARP = "sharp after, s"
_OUTAGES = "300 ms of nothing, three times"
_AFTER_STILL = "moving after 60 s of a still"

WANTED = (
    Wanted(_RATES, "2 Mbit/s", _FPS, Bound(at_least=25)),
    Wanted(_RATES, "2 Mbit/s", _P95, Bound(at_most=250)),
    Wanted(_RATES, "2 Mbit/s", _GAP, Bound(at_most=400)),
    Wanted(_RATES, "1 Mbit/s", _FPS, Bound(at_least=15)),
    Wanted(_RATES, "1 Mbit/s", _P95, Bound(at_most=350)),
    Wanted(_RATES, "20 Mbit/s", _SHARP, Bound(at_most=5)),
    Wanted(_LOSS, "2% loss", _FPS, Bound(at_least=29)),
    Wanted(_LOSS, "2% loss", _P95, Bound(at_most=150)),
    Wanted(_LOSS, "10% loss", _FPS, Bound(at_least=27)),
    Wanted(_LOSS, "10% loss", _P95, Bound(at_most=250)),
    Wanted(_OUTAGE, _OUTAGES, "moving after, ms", Bound(at_most=500)),
    Wanted(("idle",), _AFTER_STILL, _SHARP, Bound(at_most=1)),
    # A picture that is sharp and then freezes is sharp in time, too.
    Wanted(("idle",), _AFTER_STILL, _GAP, Bound(at_most=400)),
    # Of the video alone.
    *(
        Wanted(("share",), f"two share 4 Mbit/s, stream {n}", "Mbit/s", Bound(at_least=1.3))
        for n in (1, 2)
    ),
    *(Wanted(("jitter",), f"{ms} ms of jitter", _FPS, Bound(at_least=29)) for ms in (30, 60)),
    Wanted(("neighbours",), "one at 1 Mbit/s, its viewer", _FPS, Bound(at_least=15)),
    Wanted(("neighbours",), "one at 1 Mbit/s, the other viewer", _FPS, Bound(at_least=29)),
    Wanted(("neighbours",), "one at 1 Mbit/s, the other viewer", "picture", Bound(at_least=720)),
    # The poor link is noticed first, and the page is looked at four times a second.
    Wanted(("neighbours",), "one at 1 Mbit/s, the other viewer", _SHARP, Bound(at_most=1.5)),
)


def check(results: Sequence[Result], wanted: Sequence[Wanted] = WANTED) -> tuple[str, bool]:
    """Compare gpuview's results with what is wanted of them.

    Returns:
        A Markdown table, and whether all is as wanted. A scenario that did not run is left out;
        a step that showed nothing misses every bound.
    """
    figures = [
        _figure(result, each, step)
        for result in results
        if result.contender == _CONTENDER
        for each in wanted
        if result.scenario in each.scenarios
        for step in _steps(result, each)
    ]
    return compare(figures)


def _figure(result: Result, wanted: Wanted, step: Step) -> Figure:
    name = f"{result.scenario}: {wanted.step}: {wanted.column}"
    return Figure(name, _READ[wanted.column](step), wanted.bound)


def _steps(result: Result, wanted: Wanted) -> Iterable[Step]:
    # Each viewer's first step is what the sharpness of its later ones is compared with.
    firsts = {step.viewer: step for step in reversed(result.steps)}
    return (
        step
        for step in result.steps
        if title(step) == wanted.step
        and not (wanted.column == _SHARP and step is firsts[step.viewer])
    )
