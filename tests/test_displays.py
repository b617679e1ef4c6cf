"""Whether a stream can still be seen where it was displayed."""

from __future__ import annotations

from itertools import count

from gpuview.displays import DisplayIds, Displays
from gpuview.ipykernel_compat import CellRun

_numbers = count()


def run_of(cell_id: str) -> CellRun:
    """Return one more run of a cell."""
    return CellRun(cell_id, f"message {next(_numbers)}")


def displayed_in(*runs: CellRun | None) -> Displays:
    displays = Displays()
    for run in runs:
        displays.described()
        displays.placed(run)
    return displays


def test_a_stream_that_was_never_displayed_may_be_displayed_yet() -> None:
    displays = Displays()
    displays.cell_started(run_of("a"), 0.0)
    assert not displays.are_over


def test_an_output_is_gone_when_its_cell_runs_again() -> None:
    displays = displayed_in(run_of("a"))
    displays.cell_started(run_of("b"), 0.0)
    assert not displays.are_over
    displays.cell_started(run_of("a"), 0.0)
    assert displays.are_over


def test_a_cell_within_a_cell_belongs_to_the_same_run() -> None:
    run = run_of("a")
    displays = displayed_in(run)
    displays.cell_started(run, 0.0)
    assert not displays.are_over


def test_every_cell_that_displayed_it_must_run_again() -> None:
    displays = displayed_in(run_of("a"), run_of("b"), run_of("a"))
    displays.cell_started(run_of("a"), 0.0)
    assert not displays.are_over
    displays.cell_started(run_of("b"), 0.0)
    assert displays.are_over


def test_a_stream_that_is_displayed_again_is_wanted_again() -> None:
    displays = displayed_in(run_of("a"))
    displays.cell_started(run_of("a"), 0.0)
    displays.described()
    displays.placed(run_of("c"))
    assert not displays.are_over
    displays.cell_started(run_of("c"), 0.0)
    assert displays.are_over


def test_a_place_that_cannot_be_followed_keeps_a_stream_for_good() -> None:
    displays = displayed_in(run_of("a"), None)
    displays.cell_started(run_of("a"), 0.0)
    assert not displays.are_over


def test_a_description_that_nobody_has_seen_on_its_way_may_be_anywhere() -> None:
    displays = displayed_in(run_of("a"))
    displays.described()
    displays.cell_started(run_of("a"), 0.0)
    assert not displays.are_over


def test_a_description_that_is_shown_twice_makes_up_for_no_other() -> None:
    displays = displayed_in(run_of("a"))
    displays.placed(run_of("a"))
    displays.described()
    displays.cell_started(run_of("a"), 0.0)
    assert not displays.are_over


def test_a_view_that_outlives_its_output_for_a_moment_keeps_the_stream_for_that_moment() -> None:
    displays = displayed_in(run_of("a"))
    displays.watched(True, 0.0)
    displays.cell_started(run_of("a"), 100.0)
    assert not displays.are_over
    displays.watched(False, 108.0)
    assert displays.are_over


def test_a_view_that_is_there_long_after_all_outputs_belongs_to_another_output() -> None:
    displays = displayed_in(run_of("a"))
    displays.watched(True, 0.0)
    displays.cell_started(run_of("a"), 100.0)
    displays.watched(False, 200.0)
    assert not displays.are_over


def test_a_view_that_comes_long_after_all_outputs_belongs_to_another_output() -> None:
    displays = displayed_in(run_of("a"))
    displays.cell_started(run_of("a"), 100.0)
    displays.watched(True, 200.0)
    displays.watched(False, 201.0)
    assert not displays.are_over


def test_news_that_there_are_still_no_views_says_nothing() -> None:
    displays = displayed_in(run_of("a"))
    displays.cell_started(run_of("a"), 100.0)
    displays.watched(False, 200.0)
    assert displays.are_over


def test_each_output_has_an_id_of_its_own_and_the_newest_are_known() -> None:
    ids = DisplayIds("a")
    given = [ids.new() for _ in range(1000)]
    assert len(set(given)) == 1000
    assert given[-1] in ids
    assert list(ids) == given[-len(list(ids)) :]
    assert DisplayIds("b").new() not in ids
