"""`GPUStream.remote(ranks=...)`: what it asks of the media process, and what its pages are told."""

from __future__ import annotations

import re

import pytest

from gpuview.cluster import run_stream
from gpuview.cluster.keys import run_keys
from gpuview.cluster.remote_grid import RemoteGrid
from gpuview.errors import SettingsError
from gpuview.ipykernel_compat import CellRun
from gpuview.protocol.cluster_messages import OpenRun
from gpuview.protocol.interaction_messages import Interaction, Knob
from gpuview.protocol.page_messages import Status
from gpuview.settings import Settings
from tests.cluster.remotes import Remote, worker


@pytest.mark.parametrize(("ranks", "asked"), [("all", []), ([5, 0, 3, 0], [0, 3, 5]), ((2,), [2])])
def test_it_asks_for_the_ranks_of_a_grid(
    make_remote: Remote, ranks: object, asked: list[int]
) -> None:
    stream = make_remote(ranks=ranks)
    assert isinstance(stream, RemoteGrid)
    key = run_keys("run1").public
    opened = OpenRun(run="run1", worker_key=key, rank=None, ranks=asked)
    assert make_remote.engine.handles[0].runs == [opened]


@pytest.mark.parametrize("ranks", ["some", [], [-1], [0, "1"], 3, range(1000)])
def test_what_are_no_ranks_is_refused(make_remote: Remote, ranks: object) -> None:
    with pytest.raises(SettingsError, match=r"cannot (show|use) rank"):
        make_remote(ranks=ranks)


def test_it_uses_no_webrtc_and_says_what_it_needs(make_remote: Remote) -> None:
    stream = make_remote(ranks="all")
    assert stream.carriers == ["socket", "comm"]
    with pytest.raises(SettingsError, match="cannot be shown by WebRTC"):
        make_remote("run2", ranks="all", settings=Settings(carriers=("webrtc",)))


def test_it_is_neither_recorded_nor_published_and_says_what_is(make_remote: Remote) -> None:
    stream = make_remote(ranks="all")
    assert stream.recording is None  # pages have no button for it
    fix = re.escape("GPUStream.remote('run1', rank=0).record(...)")
    with pytest.raises(SettingsError, match=fix):
        stream.record("run.mp4")
    with pytest.raises(SettingsError, match="cannot publish a grid of ranks"):
        stream.publish("https://live.example.org/whip")


def test_it_is_live_while_any_rank_is_and_says_what_it_shows(make_remote: Remote) -> None:
    stream = make_remote(ranks=[0, 3])
    assert stream.status["waits_for"] == "ranks 0, 3 of run1"
    make_remote.workers(worker(0, status=Status(state="live")), worker(3))
    assert stream.status["state"] == "live"
    assert "<GPUStream of ranks 0, 3 of run1 live" in repr(stream)


def test_its_knobs_are_those_of_one_rank_and_it_has_no_events(make_remote: Remote) -> None:
    stream = make_remote(ranks="all")
    knob = Knob(kind="slider", name="lr", value=0.1, high=1)
    said = Interaction(events=["pointer_down"], knobs=[knob])
    make_remote.workers(worker(0), worker(1, interaction=said))
    assert stream.interaction["events"] == []
    assert [each["name"] for each in stream.interaction["knobs"]] == ["lr"]


def test_it_stands_beside_streams_of_its_ranks(make_remote: Remote) -> None:
    grid, single = make_remote(ranks="all"), make_remote(rank=0)
    again = make_remote(ranks=[0, 1])
    assert {each.status["state"] for each in (grid, single, again)} == {"waiting"}


def test_cell_that_runs_again_closes_the_grid_of_the_same_ranks_and_no_other(
    make_remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_stream, "_present_cell", lambda: CellRun("cell 1", "run 1"))
    first, other = make_remote(ranks=range(9)), make_remote(ranks=[*range(8), 9])
    monkeypatch.setattr(run_stream, "_present_cell", lambda: CellRun("cell 1", "run 2"))
    again = make_remote(ranks=range(9))
    states = [each.status["state"] for each in (first, other, again)]
    assert states == ["closed", "waiting", "waiting"]


def test_one_rank_and_several_are_not_shown_by_one_stream(make_remote: Remote) -> None:
    with pytest.raises(SettingsError, match=r"rank = 0 together with ranks = 'all'"):
        make_remote(rank=0, ranks="all")
