"""`gpuview.publish` in a worker, whose media process is a fake."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gpuview
from gpuview.cluster import published_view
from gpuview.cluster.join_file import write_join_file
from gpuview.cluster.view import View
from gpuview.errors import MediaError, SettingsError, StreamClosedError
from gpuview.protocol.cluster_messages import JoinChanged, JoinRun
from tests.cluster.test_join_file import CONTENT
from tests.fakes import FakeEngine
from tests.streams import MakeStream
from tests.waiting import wait_until

PICTURE = torch.zeros(4, 6, 3)


@pytest.fixture
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GPUVIEW_JOIN", "RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def job(no_job: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """Give the engine of a process that has a join file."""
    engine = FakeEngine()
    monkeypatch.setattr(published_view, "shared_engine", lambda settings: engine)
    monkeypatch.setenv("GPUVIEW_JOIN", str(write_join_file(tmp_path / "run1.json", CONTENT).path))
    yield engine
    for listener in engine.listeners:
        listener.close()


def joined(engine: FakeEngine) -> JoinRun:
    engine.handles[-1].wait_for_join(1)
    run = engine.handles[-1].runs[0]
    assert isinstance(run, JoinRun)
    return run


@pytest.mark.usefixtures("no_job")
class TestWithoutJoinFile:
    def test_everything_is_there_and_does_nothing(self) -> None:
        threads = threading.active_count()
        with gpuview.publish("run1", colormap="viridis") as view:
            view.push(PICTURE)
            view.push("no frame at all")
            view.tap(nn.Linear(2, 2))
            view.caption = "step 1"
            view.sync("no step at all")
            assert (view.is_watched, view.is_connected) == (False, False)
            assert view.stats().frames_pushed == 0
            assert view.slider("lr", 1e-5, 1e-1, value=1e-3).value == 1e-3
            view.add_event_handler(print, "pointer_down")
        assert type(view) is View
        wait_until(lambda: threading.active_count() == threads, "no thread of the view's")

    def test_an_option_is_checked_all_the_same(self) -> None:
        with pytest.raises(SettingsError, match="fps"):
            gpuview.publish("run1", fps=-1)
        with pytest.raises(SettingsError, match="rank"):
            gpuview.publish("run1", rank=-1)


def test_it_joins_by_the_file_as_the_rank_that_the_launcher_says(
    job: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    view = gpuview.publish("run1")
    run = joined(job)
    assert (run.run, run.rank, run.world_size) == ("run1", 2, 4)
    assert (run.endpoints, run.secret_key) == (CONTENT.endpoints, CONTENT.secret_key)
    assert CONTENT.secret_key not in repr(run) + repr(view)
    job.tell("cluster_changed", JoinChanged(is_connected=True))
    assert view.is_connected


def test_frames_are_read_while_somebody_watches(job: FakeEngine) -> None:
    view = gpuview.publish("run1")
    view.push(PICTURE)
    assert (view.is_watched, job.handles[0].sizes) == (False, [])
    job.views("notebook")
    assert view.is_watched
    job.handles[0].wait_for(1)
    view.push(PICTURE)
    job.handles[0].wait_for(2)
    job.tell("viewers_changed", ["notebook"], ["notebook"])
    assert not view.is_watched


def test_a_wrong_frame_is_logged_once_and_shown_and_never_raised(
    job: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    view = gpuview.publish("run1")
    for _ in range(3):
        view.push("a text")
    assert job.handles[0].statuses[-1] == "error"
    assert caplog.text.count("cannot show") == 1, caplog.text
    view.push(PICTURE)
    assert job.handles[0].statuses[-1] == "live"


@pytest.mark.parametrize("step", ["a text", -1, 0.5, 2**53, torch.zeros(2)], ids=repr)
def test_what_is_no_step_is_shown_until_one_comes_and_never_raised(
    job: FakeEngine, caplog: pytest.LogCaptureFixture, step: object
) -> None:
    view = gpuview.publish("run1")
    view.push(PICTURE)
    for _ in range(3):
        view.sync(step)  # type: ignore[arg-type]
    assert job.handles[0].statuses[-1] == "error"
    assert caplog.text.count("cannot count step") == 1, caplog.text
    view.sync(torch.tensor(3))  # type: ignore[arg-type]
    assert job.handles[0].statuses[-1] == "live"


def test_a_tap_shows_what_the_module_returns(job: FakeEngine) -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    view = gpuview.publish("run1", fps=240)
    view.tap(model, layer="1")
    job.views("notebook")
    model(torch.zeros(1, 1, 8, 8))
    job.handles[0].wait_for(1)
    view.tap(model, layer="missing")
    assert job.handles[0].statuses[-1] == "error"
    view.tap(model)
    assert job.handles[0].statuses[-1] == "live"
    assert len(model._forward_hooks) == 1
    assert not model[1]._forward_hooks


def test_the_name_must_be_that_of_the_file(
    job: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    view = gpuview.publish("run2")
    wait_until(lambda: "is of the run 'run1', not of 'run2'" in caplog.text, "the warning")
    assert not view.is_connected


def test_another_call_ends_the_view_before(job: FakeEngine) -> None:
    first = gpuview.publish("run1")
    second = gpuview.publish("run1")
    assert [handle.is_closed for handle in job.handles] == [True, False]
    first.push(PICTURE)
    second.push(PICTURE)
    assert repr(first) == "<View of run1 rank=0 closed>"


def test_nothing_is_raised_after_the_end(job: FakeEngine) -> None:
    view = gpuview.publish("run1")
    view.close()
    view.push(PICTURE)
    view.tap(nn.Linear(2, 2))
    view.close()
    assert [handle.is_closed for handle in job.handles] == [True]


def test_in_a_forked_child_it_does_nothing(job: FakeEngine) -> None:
    view = gpuview.publish("run1")
    error = StreamClosedError("a child", expected="the parent", fix="push there")
    job.tell("forked", error)
    view.push(PICTURE)
    view.close()
    assert len(job.handles) == 1


def test_a_media_process_that_cannot_start_costs_the_job_nothing(
    job: FakeEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(settings: object) -> Any:
        raise MediaError("no more processes", expected="room for one", fix="end some")

    monkeypatch.setattr(published_view, "shared_engine", fail)
    gpuview.publish("run1").push(PICTURE)
    assert "nobody can watch run1: no more processes" in caplog.text


def test_a_copy_shows_nothing(job: FakeEngine) -> None:
    view = gpuview.publish("run1")
    for each in (copy.copy(view), copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
        assert type(each) is View
        each.push(PICTURE)
    assert view.stats().frames_pushed == 0


def test_an_option_holds_from_the_next_frame_on(job: FakeEngine) -> None:
    view = gpuview.publish("run1")
    view.fps = 5
    assert job.handles[0].limits == (5.0, 20_000_000)
    with pytest.raises(SettingsError):
        view.fps = 0


def test_a_frame_that_nobody_sees_costs_what_it_costs_in_a_notebook(
    job: FakeEngine, make_stream: MakeStream
) -> None:
    stream, _, _ = make_stream()
    pushes = (gpuview.publish("run1").push, stream.push)
    for push in pushes:
        push(PICTURE)  # the first one of its kind is checked
    # In turns, so that whatever else the machine does is as bad for both.
    theirs, ours = zip(*[tuple(map(cost_s, pushes)) for _ in range(15)], strict=True)
    assert min(theirs) < 2 * min(ours)


def cost_s(push: Callable[[object], None]) -> float:
    begun_s = time.perf_counter()
    for _ in range(1000):
        push(PICTURE)
    return time.perf_counter() - begun_s
