"""The benchmark of many viewers and ranks fails if a figure is not what is wanted of it."""

from __future__ import annotations

import pytest

from benchmarks.scale.wanted import check

BOUNDS = {"a death is shown after, s": 6.0}


@pytest.mark.parametrize(
    ("shown_s", "is_met"), [(0.1, True), (6.0, True), (6.01, False), (float("nan"), False)]
)
def test_a_figure_beyond_its_bound_is_missed(shown_s: float, is_met: bool) -> None:
    table, is_as_wanted = check({"a death is shown after, s": shown_s}, BOUNDS)
    assert is_as_wanted == is_met
    assert ("**missed**" in table) == (not is_met)
    assert "6 or less" in table


def test_a_figure_without_a_bound_is_only_shown() -> None:
    assert check({"each viewer, Mbit/s": 6.4}, BOUNDS) == (
        "| | measured | wanted |\n|---|---|---|\n| each viewer, Mbit/s | 6.40 |  |",
        True,
    )


def test_all_figures_count_not_only_the_last() -> None:
    figures = {"a death is shown after, s": 7.0, "each viewer, Mbit/s": 6.4}
    assert not check(figures, BOUNDS)[1]
