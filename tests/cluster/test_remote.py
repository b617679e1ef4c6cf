"""`GPUStream.remote`: what it asks of the media process, and what its pages are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpuview.cluster import run_stream
from gpuview.cluster.join_file import WrittenJoinFile
from gpuview.cluster.join_notices import Posted
from gpuview.cluster.keys import notebook_keys, run_keys
from gpuview.cluster.ray_discovery import Notice
from gpuview.errors import NetworkError, SettingsError, StreamClosedError
from gpuview.protocol.cluster_messages import Listening, OpenRun
from gpuview.protocol.interaction_messages import GetElement, Interaction
from gpuview.protocol.page_messages import Problem, Status
from gpuview.settings import Settings
from gpuview.signalling.time_limit import Overdue
from tests.cluster.remotes import Remote, worker


def test_it_listens_before_it_opens_the_run(make_remote: Remote) -> None:
    make_remote(rank=2)
    assert make_remote.engine.listen_requests.wait(0) == 40123
    opened = make_remote.engine.handles[0].runs
    assert opened == [OpenRun(run="run1", worker_key=run_keys("run1").public, rank=2)]


def test_it_says_whom_it_waits_for_until_that_one_shows_something(make_remote: Remote) -> None:
    stream = make_remote()
    assert stream.status["state"] == "waiting"
    assert stream.status["waits_for"] == "rank 0 of run1"
    assert "stream.join()" in stream.status["fix"]
    make_remote.workers(worker(1))
    assert stream.status["hint"] == "rank 1 on node7 is there"
    make_remote.workers(worker(1), worker(0, status=Status(state="live")))
    assert stream.status["state"] == "live"
    assert [each.rank for each in stream.workers] == [0, 1]
    make_remote.workers(worker(1), worker(0, status=Status(state="live"), silent_s=7.0))
    assert "rank 0 on node7 has been silent since " in stream.status["hint"]
    assert "workers=2" in repr(stream)


def test_why_a_worker_was_refused_is_said_until_one_is_let_in(make_remote: Remote) -> None:
    stream = make_remote()
    make_remote.workers(problem=Problem(problem="no", expected="yes", fix="ask"))
    assert stream.status["hint"] == "a worker was refused: no; expected: yes; try: ask"
    make_remote.workers(worker())
    assert stream.status["hint"] == ""


def test_a_port_that_is_taken_is_an_error_of_the_stream(make_remote: Remote) -> None:
    stream = make_remote()
    problem = Problem(problem="port 22 is taken", expected="a free one", fix="choose another")
    make_remote.engine.tell("cluster_changed", Listening(problem=problem))
    assert (stream.status["state"], stream.status["problem"]) == ("error", "port 22 is taken")
    make_remote.engine.listen_requests.take(Listening(problem=problem))
    with pytest.raises(NetworkError, match="port 22 is taken"):
        stream.join()


def test_a_join_file_leads_to_this_machine_and_goes_with_the_stream(
    make_remote: Remote, tmp_path: Path
) -> None:
    settings = Settings(cluster_host="login1.example.org, 2001:db8::7")
    stream = make_remote(settings=settings)
    path = tmp_path / "run1.json"
    assert stream.join(path) == {"GPUVIEW_JOIN": str(path)}
    written = json.loads(path.read_text())
    assert written["endpoints"] == [
        "tcp://login1.example.org:40123",
        "tcp://[2001:db8::7]:40123",
        "tcp://127.0.0.1:40123",
    ]
    assert written["notebook_key"] == notebook_keys().public
    assert written["public_key"] == make_remote.engine.handles[0].runs[0].worker_key  # type: ignore[union-attr]
    stream.close()
    assert not path.exists()
    with pytest.raises(StreamClosedError):
        stream.join(path)


def test_the_join_file_goes_with_the_kernel(make_remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "run1.json"
    make_remote().join(path)
    make_remote.engine.tell("engine_closing")
    assert not path.exists()


def test_the_join_file_is_that_of_all_streams_of_the_run(
    make_remote: Remote, tmp_path: Path
) -> None:
    path, other = tmp_path / "run1.json", tmp_path / "other.json"
    streams = [make_remote(rank=rank) for rank in range(3)]
    assert streams[0].join(path) == streams[1].join(path)
    streams[1].join(other)
    foreign = make_remote("run2")
    streams[1].close()
    streams[0].close()
    assert path.exists()
    assert other.exists()
    streams[2].close()
    assert not path.exists()
    assert not other.exists()
    assert foreign.status["state"] == "waiting"


def test_a_file_that_is_written_while_the_last_stream_closes_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "run1.json"
    path.touch()
    found = path.stat()
    at_hand = Posted()
    at_hand.stream_opened("s1")
    at_hand.stream_closed("s1")
    at_hand.add_file(WrittenJoinFile(path, (found.st_dev, found.st_ino)))
    assert not path.exists()


def test_one_notice_is_posted_for_all_streams_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[Notice] = []

    def remove(notice: Notice) -> None:
        removed.append(notice)

    monkeypatch.setattr(Notice, "remove", remove)
    at_hand = Posted()
    at_hand.stream_opened("s1")
    at_hand.stream_opened("s2")
    assert at_hand.begin_notice()
    assert not at_hand.begin_notice()
    at_hand.end_notice(None)  # it failed: the next stream tries
    assert at_hand.begin_notice()
    first, second = Notice(None), Notice(None)
    at_hand.end_notice(first)
    assert not at_hand.begin_notice()
    at_hand.stream_closed("s1")
    assert removed == []
    at_hand.stream_closed("s2")
    assert removed == [first]
    assert at_hand.begin_notice()
    at_hand.end_notice(second)  # all have closed meanwhile
    assert removed == [first, second]
    assert at_hand.begin_notice()


def test_no_key_is_in_a_trait_or_in_what_is_shown(make_remote: Remote, tmp_path: Path) -> None:
    stream = make_remote()
    shown = [stream.join(tmp_path / "run1.json"), stream, stream.get_state(), stream.tunnel()]
    shown += [stream._repr_mimebundle_(), stream._published.state]
    secrets = (notebook_keys().secret, run_keys("run1").secret)
    assert not [each for each in shown if any(secret in repr(each) for secret in secrets)]


def test_a_file_system_that_hangs_is_named(
    make_remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(timeout_s: float, call: object) -> None:
        raise Overdue

    stream = make_remote()
    with monkeypatch.context() as patch:
        patch.setattr(run_stream, "call_within", hang)
        with pytest.raises(SettingsError, match="was not written within 10 s"):
            stream.join(tmp_path / "run1.json")


def test_the_ways_through_a_login_node_are_said(make_remote: Remote) -> None:
    first, second = make_remote().tunnel("me@login1").splitlines()
    assert first.startswith("ssh -N -R 40123:127.0.0.1:40123 me@login1 ")
    assert second.startswith("ssh -N -L 40123:127.0.0.1:40123 me@login1 ")


def test_all_runs_of_a_kernel_share_a_port(make_remote: Remote) -> None:
    make_remote("run1", settings=Settings(cluster_port=40123))
    make_remote("run2")
    with pytest.raises(SettingsError, match="at port 40123, not at 40124"):
        make_remote("run3", settings=Settings(cluster_port=40124))


def test_a_forked_child_leaves_the_parents_file(make_remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "run1.json"
    stream = make_remote()
    stream.join(path)
    error = StreamClosedError("a child", expected="the parent", fix="go there")
    make_remote.engine.tell("forked", error)
    stream.close()
    assert path.exists()


@pytest.mark.parametrize("name", ["push", "frame", "snapshot", "select", "colormap", "slider"])
def test_what_needs_the_tensor_says_where_it_is(make_remote: Remote, name: str) -> None:
    stream = make_remote()
    with pytest.raises(AttributeError, match=f"no {name} here: .* on another machine"):
        getattr(stream, name)
    with pytest.raises(AttributeError, match=r"gpuview\.publish"):
        setattr(stream, name, None)


def test_an_attribute_without_effect_is_an_error(make_remote: Remote) -> None:
    stream = make_remote()
    with pytest.raises(AttributeError, match="cannot set captoin"):
        stream.captoin = "step 1"
    stream.caption = "step 1"
    stream.max_bitrate_bps = 1_000_000
    assert make_remote.engine.handles[0].limits == (240.0, 1_000_000)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 65, 7, "run\n"])
def test_what_is_no_name_is_refused(make_remote: Remote, name: Any) -> None:
    with pytest.raises(SettingsError, match="cannot call a run"):
        make_remote(name)


def test_what_people_may_do_is_what_the_shown_worker_says(make_remote: Remote) -> None:
    stream = make_remote()
    may = Interaction(events=["pointer_down"])
    make_remote.workers(worker(1, interaction=Interaction(events=["wheel"])))
    assert stream.interaction["events"] == []
    make_remote.workers(worker(0, interaction=may))
    assert stream.interaction["events"] == ["pointer_down"]
    assert make_remote.engine.handles[0].interactions == [may]
    make_remote.workers()
    assert stream.interaction["events"] == []


def test_what_people_do_goes_to_the_worker(make_remote: Remote) -> None:
    stream = make_remote()
    said = GetElement(view="v1", seq=1, x=0.5, y=0.5)
    stream.interact(said, lambda _: None)
    assert make_remote.engine.handles[0].sent == [said]
    stream.close()
    stream.interact(said, lambda _: None)
    assert make_remote.engine.handles[0].sent == [said]
