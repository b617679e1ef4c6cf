"""Tensors of other processes in a real kernel's stream: they die, restart, and are refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import gpuview
from gpuview.testing.errors import CellError
from gpuview.testing.kernel import Kernel
from tests.cluster.jobs import WORKER, Job, StartJob
from tests.cluster.worker import rank_of
from tests.processes import command_line, descendants
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

SHOW = "from gpuview import GPUStream\nstream = GPUStream.remote({!r}, rank={})\ndisplay(stream)\n"


class Notebook:
    """A kernel with a home directory of its own."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def show(self, run: str = "run1", rank: int = 0) -> dict[str, str]:
        """Display a run; return what the environment of its workers needs."""
        self.kernel.run(SHOW.format(run, rank) + "environment = stream.join()")
        environment: dict[str, str] = self.kernel.evaluate("environment")
        return environment

    def wait_for_status(self, **parts: str) -> dict[str, Any]:
        """Wait until the pages are told a status with these parts in it."""

        def has_parts(traits: dict[str, Any]) -> bool:
            return all(text in traits["status"][name] for name, text in parts.items())

        traits = self.kernel.stream().wait_for(has_parts, what=f"{parts}", timeout_s=60.0)
        status: dict[str, Any] = traits["status"]
        return status


@pytest.fixture
def notebook(kernel: Kernel) -> Notebook:
    return Notebook(kernel)


def test_a_script_is_shown_while_somebody_watches_and_its_knobs_are_turned_here(
    notebook: Notebook, start_job: StartJob
) -> None:
    environment = notebook.show()
    path = Path(environment["GPUVIEW_JOIN"])
    assert path.name == "run1.json"
    notebook.wait_for_status(state="waiting", waits_for="rank 0 of run1")
    job = start_job(env=environment)
    notebook.wait_for_status(state="live")
    job.wait_for("step", 3)
    assert job.said("frames_shown")[-1] == 0
    assert not any(job.said("is_watched"))

    stream = notebook.kernel.stream()
    with notebook.kernel.view(stream) as viewer:
        assert rank_of(viewer.next_frame()) == 0
        wait_until(lambda: job.said("is_watched")[-1], "a view that is watched")
        knob = stream.wait_for(lambda traits: traits["interaction"]["knobs"], what="its knob")
        assert knob["interaction"]["knobs"][0]["name"] == "rate"
        seen = viewer.view
        stream.send({"type": "SetKnob", "view": seen, "name": "rate", "value": 0.75})
        wait_until(
            lambda: job.said("rate")[-1] == 0.75, "the knob's value", describe=lambda: job.log
        )
        assert notebook.kernel.evaluate("[w.rank for w in stream.workers]") == [0]
    wait_until(lambda: not job.said("is_watched")[-1], "a view that nobody watches")
    notebook.kernel.run("stream.close()")
    assert not path.exists()


def test_rank_2_of_four_that_torchrun_started_is_shown(
    notebook: Notebook, start_job: StartJob
) -> None:
    environment = notebook.show(rank=2)
    start_job(
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=4",
        str(WORKER),
        "run1",
        "with-peers",
        env=environment,
    )
    notebook.kernel.wait_until("len(stream.workers) == 4", timeout_s=120.0)
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        assert {rank_of(frame) for frame in viewer.frames(5)} == {2}
    assert notebook.kernel.evaluate("[w.rank for w in stream.workers]") == [0, 1, 2, 3]
    assert notebook.kernel.evaluate("{w.world_size for w in stream.workers} == {4}")


def test_a_worker_that_is_killed_is_missed_and_the_next_one_plays(
    notebook: Notebook, start_job: StartJob
) -> None:
    environment = notebook.show()
    first = start_job(env=environment)
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        viewer.next_frame()
        first.kill()
        status = notebook.wait_for_status(hint="has been silent since ")
        assert (status["state"], "rank 0 on " in status["hint"]) == ("live", True)
        second = start_job(env=environment)
        pid = second.wait_for("pid")
        notebook.kernel.wait_until(f"[w.pid for w in stream.workers] == [{pid}]")
        # The picture of before stays until then, and its frames were all shown.
        assert {rank_of(frame) for frame in viewer.frames(5)} == {0}
        assert notebook.wait_for_status(state="live")["hint"] == ""


def test_a_running_worker_finds_the_kernel_that_was_restarted(
    notebook: Notebook, start_job: StartJob
) -> None:
    environment = notebook.show()
    job = start_job(env=environment)
    notebook.wait_for_status(state="live")
    notebook.kernel.restart()
    assert not Path(environment["GPUVIEW_JOIN"]).exists()
    n_steps = len(job.said("step"))
    job.wait_for("step", n_steps + 2)
    assert notebook.show() == environment
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        assert rank_of(viewer.next_frame()) == 0
    assert job.is_running


def test_a_notebook_that_dies_leaves_the_worker_undisturbed(
    notebook: Notebook, start_job: StartJob
) -> None:
    job = start_job(env=notebook.show())
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        viewer.next_frame()
        wait_until(lambda: job.said("is_watched")[-1:] == [True], "a view that is watched")
        notebook.kernel.kill()
        wait_until(lambda: not job.said("is_watched")[-1], "a view that nobody watches")
        n_steps = len(job.said("step"))
        job.wait_for("step", n_steps + 3)
    assert "Traceback" not in job.log


def test_a_media_process_that_dies_in_the_worker_or_here_comes_back(
    notebook: Notebook, start_job: StartJob
) -> None:
    job = start_job(env=notebook.show())
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        viewer.next_frame()
        port = notebook.kernel.evaluate("stream._engine.listen_requests.wait(10)")
        notebook.kernel.run("import os\nos.kill(stream._engine.process.pid, 9)")
        viewer.wait_for_seq(2)
        assert rank_of(viewer.next_frame(timeout_s=60.0)) == 0
        assert notebook.kernel.evaluate("stream._engine.listen_requests.wait(10)") == port
        (media,) = (pid for pid in descendants(job.pid) if "gpuview.media" in command_line(pid))
        os.kill(media, signal.SIGKILL)
        notebook.wait_for_status(hint="has been silent since ")
        notebook.wait_for_status(state="live")
        n_steps = len(job.said("step"))
        job.wait_for("step", n_steps + 1)
        assert {rank_of(frame) for frame in viewer.frames(5)} == {0}
    assert job.is_running


def test_a_worker_of_another_version_is_refused_by_name_on_both_sides(
    notebook: Notebook, start_job: StartJob, tmp_path: Path
) -> None:
    package = Path(gpuview.__file__).parent
    other = tmp_path / "other"
    shutil.copytree(package, other / "gpuview", ignore=shutil.ignore_patterns("__pycache__"))
    init = other / "gpuview" / "__init__.py"
    mine = f'__version__ = "{gpuview.__version__}"'
    assert mine in init.read_text()
    init.write_text(init.read_text().replace(mine, '__version__ = "0.0.9"'))
    environment = notebook.show()
    job = start_job(env={**environment, "PYTHONPATH": str(other)})
    status = notebook.wait_for_status(state="waiting", hint="a worker was refused")
    for text in (status["hint"], wait_for_log(job, "try:")):
        assert "gpuview 0.0.9" in text
        assert f"gpuview {gpuview.__version__}" in text
    job.wait_for("step", len(job.said("step")) + 2)


def test_what_is_wrong_with_a_workers_frame_is_shown_here_and_logged_once_there(
    notebook: Notebook, start_job: StartJob
) -> None:
    environment = notebook.show()
    job = start_job(str(WORKER), "run1", "with-bad-frames", env=environment)
    status = notebook.wait_for_status(state="error", part="source")
    assert status["problem"].startswith("rank 0 on ")
    job.wait_for("step", 3)
    assert job.log.count("the source of a stream failed") == 1


def test_a_child_that_a_worker_forks_shows_nothing_and_goes_on(
    notebook: Notebook, start_job: StartJob
) -> None:
    start_job(str(WORKER), "run1", "that-forks", env=notebook.show())
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        assert {rank_of(frame) for frame in viewer.frames(10)} == {0}


def test_a_rank_has_one_open_stream_and_another_may_follow_with_the_same_workers(
    notebook: Notebook, start_job: StartJob
) -> None:
    start_job(env=notebook.show())
    notebook.wait_for_status(state="live")
    with pytest.raises(CellError, match="another open stream shows rank 0 of the run 'run1'"):
        notebook.kernel.run("GPUStream.remote('run1')")
    notebook.kernel.run("GPUStream.remote('run1', rank=1).close()")
    notebook.kernel.run("GPUStream.remote('run2').close()")
    notebook.kernel.run("stream.close()")
    notebook.show()
    notebook.wait_for_status(state="live")


def test_a_cell_that_runs_again_takes_its_run_over(notebook: Notebook, start_job: StartJob) -> None:
    code = SHOW.format("run1", 0) + "environment = stream.join()"
    notebook.kernel.run(code, cell_id="cell")
    job = start_job(env=notebook.kernel.evaluate("environment"))
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        viewer.next_frame()
        notebook.kernel.run("before = stream")
        notebook.kernel.run(code, cell_id="cell")
        assert notebook.kernel.evaluate("before.status['state']") == "closed"
    notebook.wait_for_status(state="live")
    with notebook.kernel.view(notebook.kernel.stream()) as viewer:
        assert rank_of(viewer.next_frame()) == 0
    assert job.is_running


def test_two_runs_of_a_kernel_share_a_port_and_no_keys(
    notebook: Notebook, start_job: StartJob
) -> None:
    first = notebook.show()
    notebook.kernel.run("other = GPUStream.remote('run2')\njoined = other.join()")
    second = notebook.kernel.evaluate("joined")
    files = [json.loads(Path(each["GPUVIEW_JOIN"]).read_text()) for each in (first, second)]
    assert files[0]["endpoints"] == files[1]["endpoints"]
    assert files[0]["public_key"] != files[1]["public_key"]
    # The key of the one, and the name of the other.
    forged = Path(first["GPUVIEW_JOIN"])
    forged.write_text(json.dumps(files[1] | {"run": "run1"}))
    job = start_job(env=first)
    wait_for_log(job, "key is that of run run2")
    assert notebook.kernel.evaluate("[len(s.workers) for s in (stream, other)]") == [0, 0]


def wait_for_log(job: Job, text: str) -> str:
    """Wait until a job has printed this; return all of it."""
    wait_until(lambda: text in job.log, text, describe=lambda: job.log)
    return job.log
