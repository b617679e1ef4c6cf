"""The notebook's benchmark fails if a figure is not what is wanted of it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from benchmarks.notebook.measure import Run, Stretch, longest_pause_ms
from benchmarks.notebook.report import ROWS
from benchmarks.notebook.wanted import WANTED, Wanted, check
from benchmarks.wanted import Bound

BOUNDS = [
    Wanted("ours", (640, 360), "idle: frames shown per s", Bound(at_least=25)),
    Wanted("ours", (640, 360), "idle: p95, ms", Bound(at_most=120)),
]


def run(contender: str = "ours", **figures: float | None) -> Run:
    """A run whose figures are all 30, besides those given."""
    usual = {each.name: 30.0 for each in fields(Stretch)}
    return Run(
        contender=contender,
        width=640,
        height=360,
        first_pictures_ms=(500.0,),
        idle=Stretch(**{**usual, **figures}),
        busy=Stretch(**usual),
        longest_pause_ms=30.0,
        seen_again_ms=30.0,
    )


@pytest.mark.parametrize(
    ("figures", "is_met"),
    [
        ({}, True),
        ({"shown_fps": 25.0, "p95_ms": 120.0}, True),
        ({"shown_fps": 24.9}, False),
        ({"p95_ms": 120.1}, False),
        ({"p95_ms": None}, False),
    ],
)
def test_a_figure_beyond_its_bound_is_missed(
    figures: dict[str, float | None], is_met: bool
) -> None:
    table, is_as_wanted = check([run(**figures)], BOUNDS)
    assert is_as_wanted == is_met
    assert ("**missed**" in table) == (not is_met)


def test_the_median_of_the_rounds_counts() -> None:
    rounds = [run(p95_ms=p95_ms) for p95_ms in (60.0, 100.0, 900.0)]
    table, is_met = check(rounds, BOUNDS)
    assert is_met
    assert "| ours 640x360: idle: p95, ms | 100 | 120 or less |" in table


def test_a_contender_that_did_not_run_is_left_out() -> None:
    assert check([run("another", p95_ms=900.0)], BOUNDS)[1]


def test_every_bound_is_on_a_row_of_the_table() -> None:
    assert {each.row for each in WANTED} <= {title for title, *_ in ROWS}


def test_the_longest_pause_is_between_two_frames_of_that_time() -> None:
    samples = [
        (at_ms, number, 0, 0) for number, at_ms in enumerate([0, 900, 1000, 1250, 1300, 9e3])
    ]
    assert longest_pause_ms(samples, 1.0, 2.0) == 250
    assert longest_pause_ms(samples[:1], 0.0, 2.0) is None
