"""What a stream of another machine tells its pages."""

from __future__ import annotations

from dataclasses import replace

from gpuview.cluster.run_state import GridState, RunState
from gpuview.errors import MediaError
from gpuview.protocol.cluster_messages import Worker
from gpuview.protocol.page_messages import LegendEntry, Problem, Status

STATE = RunState("start the job", run="run1", rank=0)


def worker(rank: int = 0, status: Status | None = None, silent_s: float | None = None) -> Worker:
    return Worker(
        rank=rank, world_size=4, host=f"node{rank}", pid=7, status=status, silent_s=silent_s
    )


def with_workers(*workers: Worker, **changes: object) -> Status:
    return replace(STATE, workers=workers, **changes).status  # type: ignore[arg-type]


def test_without_workers_it_says_whom_it_waits_for() -> None:
    status = STATE.status
    assert (status.state, status.waits_for, status.fix, status.hint) == (
        "waiting",
        "rank 0 of run1",
        "start the job",
        "",
    )


def test_other_ranks_are_named_while_the_wanted_one_is_missing() -> None:
    status = with_workers(worker(2), worker(1), worker(3, silent_s=9.0))
    assert (status.waits_for, status.hint) == (
        "rank 0 of run1",
        "ranks 1, 2 on node1, node2 are there",
    )
    assert with_workers(worker(1)).hint == "rank 1 on node1 is there"


def test_many_ranks_make_a_short_line() -> None:
    assert len(with_workers(*(worker(rank) for rank in range(1, 500))).hint) < 200


def test_a_refused_worker_is_explained() -> None:
    refusal = Problem(problem="gpuview 0.9 is another version", expected="0.1", fix="install 0.1")
    status = with_workers(refusal=refusal)
    assert status.hint == (
        "a worker was refused: gpuview 0.9 is another version; expected: 0.1; try: install 0.1"
    )


def test_what_the_worker_says_of_its_stream_is_said() -> None:
    legend = [LegendEntry(text="NaN", colour="#ff00ff")]
    theirs = Status(
        state="live",
        hint="a hint",
        legend=legend,
        width=64,
        height=48,
        caption="step",
        made_ms=77.0,
    )
    status = with_workers(worker(status=theirs))
    assert (status.state, status.hint, status.legend) == ("live", "a hint", legend)
    assert (status.width, status.height, status.caption) == (64, 48, "step")
    assert status.made_ms == 77.0
    assert with_workers(worker(status=theirs), caption="mine").caption == "mine"


def test_a_worker_without_a_frame_is_waited_for() -> None:
    status = with_workers(worker(status=Status(state="waiting", fix="push one")))
    assert (status.state, status.waits_for, status.fix) == (
        "waiting",
        "the first frame of rank 0 on node0",
        "push one",
    )


def test_a_silent_worker_keeps_its_picture_and_since_when_is_said() -> None:
    silent = worker(status=Status(state="live"), silent_s=12.0)
    status = with_workers(silent, silent_since="12:03:10")
    assert (status.state, status.waits_for, status.hint) == (
        "live",
        "rank 0 on node0",
        "rank 0 on node0 has been silent since 12:03:10",
    )
    assert with_workers(worker(status=Status(state="live"))).waits_for == ""


def test_a_worker_that_was_silent_before_it_said_anything_is_waited_for() -> None:
    status = with_workers(worker(silent_s=12.0), silent_since="12:03:10")
    assert (status.state, status.waits_for) == ("waiting", "rank 0 of run1")
    assert "silent since 12:03:10" in status.hint


def test_an_error_of_the_worker_is_an_error_with_its_place() -> None:
    theirs = Status(state="error", part="source", problem="no", expected="yes", fix="say so")
    status = with_workers(worker(status=theirs))
    assert (status.state, status.part, status.problem, status.fix) == (
        "error",
        "source",
        "rank 0 on node0: no",
        "say so",
    )


def test_a_view_that_was_closed_and_one_that_starts_again_are_told() -> None:
    closed = with_workers(worker(status=Status(state="closed")))
    assert (closed.state, closed.fix) == ("waiting", 'gpuview.publish("run1")')
    assert "has closed its view" in closed.waits_for
    again = with_workers(worker(status=Status(state="restarting")))
    assert (again.state, again.hint) == ("live", "rank 0 on node0: its media process starts again")


def test_what_is_wrong_here_comes_first() -> None:
    error = MediaError("no process", expected="one", fix="wait")
    status = with_workers(worker(status=Status(state="live")), media="failed", media_error=error)
    assert (status.state, status.problem) == ("failed", "no process")
    assert with_workers(worker()).waits_for == "the first frame of rank 0 on node0"
    assert with_workers(worker(), is_closed=True).state == "closed"


GRID = GridState("start the job", run="run1")


def grid_with(*workers: Worker, ranks: tuple[int, ...] = (), **changes: object) -> Status:
    return replace(GRID, workers=workers, ranks=ranks, **changes).status  # type: ignore[arg-type]


def test_a_grid_says_whom_it_waits_for() -> None:
    status = GRID.status
    assert (status.state, status.waits_for, status.fix) == (
        "waiting",
        "workers of run1",
        "start the job",
    )
    status = grid_with(worker(1), ranks=(0, 3))
    assert (status.waits_for, status.hint) == (
        "ranks 0, 3 of run1",
        "rank 1 on node1 is there",
    )
    assert len(grid_with(ranks=tuple(range(200))).waits_for) < 100


def test_a_grid_is_live_from_the_first_frame_of_any_rank_on() -> None:
    waiting, live = Status(state="waiting"), Status(state="live")
    status = grid_with(worker(0, waiting), worker(2))
    assert (status.state, status.waits_for) == ("waiting", "the first frame of ranks 0, 2")
    status = grid_with(worker(0, waiting), worker(2, live))
    assert (status.state, status.waits_for, status.hint) == ("live", "", "")
    status = grid_with(worker(0, waiting), worker(2, live, silent_s=9.0))
    assert (status.state, status.waits_for) == ("live", "")


def test_a_grid_without_any_worker_left_keeps_its_picture_and_says_so() -> None:
    live = Status(state="live")
    status = grid_with(worker(0, live, silent_s=9.0), worker(1, live, silent_s=8.0))
    assert (status.state, status.waits_for) == ("live", "all ranks of run1")


def test_a_grid_s_own_trouble_comes_first() -> None:
    error = MediaError("no process", expected="one", fix="start it")
    status = grid_with(worker(0, Status(state="live")), media_error=error, media="failed")
    assert (status.state, status.problem) == ("failed", "no process")


def test_a_grid_explains_a_refused_worker() -> None:
    refusal = Problem(problem="gpuview 0.9", expected="0.1", fix="install 0.1")
    status = grid_with(worker(0, Status(state="live")), refusal=refusal)
    assert status.hint == "a worker was refused: gpuview 0.9; expected: 0.1; try: install 0.1"
