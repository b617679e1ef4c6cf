"""Several ranks of a run side by side in a real kernel: a widget for each, and one join file."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel
from gpuview.testing.viewer import HeadlessViewer
from tests.cluster.jobs import StartJob
from tests.cluster.worker import rank_of
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

SHOW = """
import ipywidgets
from gpuview import GPUStream
ranks = [GPUStream.remote("run1", rank=rank) for rank in range({})]
display(ipywidgets.HBox(ranks))
environment = ranks[0].join()
"""


def show(kernel: Kernel, n_ranks: int) -> dict[str, str]:
    """Run the cell; return what the environment of the workers needs."""
    kernel.run(SHOW.format(n_ranks), cell_id="cell")
    environment: dict[str, str] = kernel.evaluate("environment")
    return environment


def hint_of(kernel: Kernel, rank: int) -> str:
    hint: str = kernel.evaluate(f"ranks[{rank}].status['hint']")
    return hint


def wait_for_rank(viewer: HeadlessViewer, rank: int) -> None:
    """Wait until a viewer shows this rank, after whatever it has shown before."""
    assert {rank_of(frame) for frame in viewer.frames(5)} == {rank}


def test_four_ranks_play_side_by_side_and_each_ends_for_itself(
    kernel: Kernel, start_job: StartJob
) -> None:
    environment = show(kernel, 4)
    path = Path(environment["GPUVIEW_JOIN"])
    jobs = [start_job(env={**environment, "RANK": str(rank)}) for rank in range(4)]
    with ExitStack() as stack:
        viewers = []
        for rank in range(4):
            kernel.wait_until(f"ranks[{rank}].status['state'] == 'live'", timeout_s=120.0)
            stream = kernel.stream(f"ranks[{rank}]")
            viewers.append(stack.enter_context(kernel.view(stream)))
        for rank, viewer in enumerate(viewers):
            wait_for_rank(viewer, rank)
        workers = "[[w.rank for w in each.workers] for each in ranks]"
        assert kernel.evaluate(workers) == [[0, 1, 2, 3]] * 4

        jobs[3].kill()
        kernel.wait_until("'rank 3 on ' in ranks[3].status['hint']")
        assert " has been silent since " in hint_of(kernel, 3)
        for rank in range(3):
            wait_for_rank(viewers[rank], rank)
            assert hint_of(kernel, rank) == ""

        kernel.run("ranks[2].close()")
        wait_until(lambda: not jobs[2].said("is_watched")[-1], "rank 2 is not watched")
        for rank in range(2):
            wait_for_rank(viewers[rank], rank)
            assert jobs[rank].said("is_watched")[-1]

    for rank in range(2):
        assert path.exists()
        kernel.run(f"ranks[{rank}].close()")
    assert path.exists()
    kernel.run("ranks[3].close()")
    assert not path.exists()


def test_cell_that_runs_again_takes_all_of_its_ranks_over(
    kernel: Kernel, start_job: StartJob
) -> None:
    environment = show(kernel, 2)
    job = start_job(env={**environment, "RANK": "1"})
    kernel.wait_until("ranks[1].status['state'] == 'live'", timeout_s=120.0)
    kernel.run("before = ranks")
    assert show(kernel, 2) == environment
    assert kernel.evaluate("{each.status['state'] for each in before} == {'closed'}")
    kernel.wait_until("[w.rank for w in ranks[0].workers] == [1]")
    with kernel.view(kernel.stream("ranks[1]")) as viewer:
        wait_for_rank(viewer, 1)
    assert Path(environment["GPUVIEW_JOIN"]).exists()
    assert job.is_running


def test_file_goes_with_streams_that_nothing_refers_to_any_more(kernel: Kernel) -> None:
    kernel.run(
        "from gpuview import GPUStream\n"
        "first, last = GPUStream.remote('run1'), GPUStream.remote('run1', rank=1)\n"
        "display(first, last)\n"
        "environment = last.join()",
        cell_id="cell",
    )
    path = Path(kernel.evaluate("environment")["GPUVIEW_JOIN"])
    kernel.run("del first", cell_id="cell")
    kernel.run("")
    assert path.exists()
    kernel.run("del last", cell_id="another")
    wait_until(partial(_is_gone, kernel, path), "the file is gone")


def _is_gone(kernel: Kernel, path: Path) -> bool:
    kernel.run("")  # streams are let go between cells
    return not path.exists()
