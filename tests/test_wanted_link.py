"""The benchmark of poor links fails if a figure of gpuview is not what is wanted of it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.link.measure import Step
from benchmarks.link.report import COLUMNS, Result, title
from benchmarks.link.scenarios import SCENARIOS
from benchmarks.link.wanted import WANTED, Wanted, check
from benchmarks.wanted import Bound
from gpuview.testing.link import Way

FPS = Wanted(("rates",), "2 Mbit/s", "frames shown/s", Bound(at_least=25))
P95 = Wanted(("rates",), "2 Mbit/s", "p95, ms", Bound(at_most=250))
SHARP = Wanted(("rates",), "20 Mbit/s", "sharp after, s", Bound(at_most=5))


def step(name: str = "2 Mbit/s", *, viewer: str = "", **figures: float | None) -> Step:
    """A step of ten seconds with these figures."""
    found: Any = figures
    times = {"began_s": 0.0, "ended_s": 10.0, "cpu_s": {"machine": 5.0}}
    return Step(name=name, viewer=viewer, down=Way(), **times, **found)


def rates(*steps: Step) -> list[Result]:
    return [Result("rates", "gpuview", list(steps))]


@pytest.mark.parametrize(
    ("figures", "is_met"),
    [
        ({"shown_fps": 25.0, "p95_ms": 250.0}, True),
        ({"shown_fps": 24.9, "p95_ms": 250.0}, False),
        ({"shown_fps": 25.0, "p95_ms": 250.1}, False),
        ({"shown_fps": 25.0, "p95_ms": None}, False),
    ],
)
def test_a_figure_beyond_its_bound_is_missed(
    figures: dict[str, float | None], is_met: bool
) -> None:
    table, is_as_wanted = check(rates(step(**figures)), [FPS, P95])
    assert is_as_wanted == is_met
    assert ("**missed**" in table) == (not is_met)


@pytest.mark.parametrize("sharp", [(9.0, 1.0), (1.0, 9.0), (1.0, None)])
def test_every_step_of_a_name_counts(sharp: tuple[float | None, ...]) -> None:
    later = [step("20 Mbit/s", sharp_after_s=each) for each in sharp]
    assert not check(rates(step("20 Mbit/s"), *later), [SHARP])[1]


def test_the_first_step_is_what_a_later_sharpness_is_compared_with() -> None:
    assert check(rates(step("20 Mbit/s"), step("20 Mbit/s", sharp_after_s=5.0)), [SHARP])[1]


def test_each_viewer_has_bounds_of_its_own() -> None:
    steps = rates(step(viewer="a", shown_fps=30.0), step(viewer="b", shown_fps=1.0))
    bounds = [Wanted(("rates",), f"2 Mbit/s, {name}", FPS.column, FPS.bound) for name in "ab"]
    assert check(steps, bounds[:1])[1]
    assert not check(steps, bounds)[1]


def test_nothing_is_wanted_of_another_contender_or_scenario() -> None:
    poor = [step(shown_fps=1.0)]
    results = [Result("rates", "stock aiortc", poor), Result("loss", "gpuview", poor)]
    assert check(results, [FPS])[1]


def test_every_bound_is_on_a_column_of_the_tables() -> None:
    assert {each.column for each in WANTED} <= {head for head, *_ in COLUMNS}


def test_every_bound_is_on_a_step_of_its_scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for each in WANTED:
        for name in each.scenarios:
            assert each.step in _titles(name), name


def _titles(scenario: str) -> set[str]:
    """What a session of this scenario calls its steps."""
    found: set[str] = set()
    viewers = SCENARIOS[scenario].viewers

    def record(name: str, seconds: float, **_: object) -> None:
        found.update(title(step(name, viewer=viewer.name)) for viewer in viewers)

    session: Any = SimpleNamespace(step=record, sender=SimpleNamespace(move=lambda is_moving: None))
    SCENARIOS[scenario].play(session)
    return found
