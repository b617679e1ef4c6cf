"""`GPUStream`: what pages say to it, and what it says to them."""

from __future__ import annotations

import copy
import gc
import json
import logging
import math
import multiprocessing
import pickle
import queue
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from operator import itemgetter
from pathlib import Path
from typing import Any

import comm
import ipywidgets
import numpy as np
import pytest
import torch
from torch import nn

import gpuview
from gpuview import (
    FrameError,
    GPUStream,
    MediaEndedError,
    MediaError,
    RecordingError,
    Settings,
    SettingsError,
    StreamClosedError,
    recording,
)
from gpuview.engine.shared_engine import close_shared_engine
from gpuview.errors import GpuviewError
from gpuview.frames.picture.look import Look
from gpuview.protocol.media_messages import RecordingEnded, StartRecording, StopRecording
from gpuview.protocol.page_messages import Answer, Bye, Candidates, Offer, Problem, Refusal, Status
from gpuview.protocol.stats import RecordingCounters
from gpuview.protocol.wire import to_wire
from tests.fakes import FakeComm, FakeEngine, FakeHandle, sequence
from tests.streams import MakeStream
from tests.waiting import wait_until

SDP = "v=0 and so on, with a fingerprint"


def offer(view: str = "v1", seq: int = 1, sdp: str = SDP) -> dict[str, Any]:
    return {"type": "Offer", "view": view, "seq": seq, "sdp": sdp}


def write_offer(page: FakeComm, data: dict[str, Any]) -> None:
    state = {"offers": {data["view"]: data}}
    page.say({"method": "update", "state": state, "buffer_paths": []})


def say(page: FakeComm, content: object) -> None:
    page.say({"method": "custom", "content": content})


def answer(view: str = "v1", seq: int = 1) -> Answer:
    return Answer(view=view, seq=seq, sdp="the answer")


def test_offer_in_the_trait_reaches_the_engine_and_its_answer_the_trait(
    make_stream: MakeStream,
) -> None:
    stream, engine, page = make_stream()
    write_offer(page, offer())
    assert engine.handles[0].offers == [Offer(view="v1", seq=1, sdp=SDP)]
    engine.tell("answered", answer())
    expected = {"v1": {"type": "Answer", "view": "v1", "seq": 1, "sdp": "the answer"}}
    assert page.updates("answers")[-1] == stream.answers == expected


def test_trait_that_a_page_must_not_write_keeps_its_value_on_all_pages(
    make_stream: MakeStream,
) -> None:
    stream, engine, page = make_stream()
    say(page, offer())
    engine.tell("answered", answer())
    right = {name: getattr(stream, name) for name in ("answers", "status", "epoch")}
    wrong = {"answers": {}, "status": {"state": "closed"}, "epoch": 7, "_esm": "alert()", "no": 1}
    told = len(page.sent)
    page.say({"method": "update", "state": wrong, "buffer_paths": []})
    assert {name: getattr(stream, name) for name in right} == right
    restored = {"method": "update", "buffer_paths": []}
    assert page.sent[told:] == [
        restored | {"state": {name: value}} for name, value in right.items()
    ] + [restored | {"state": {"_esm": stream._esm}}]


def test_page_that_repeats_an_answered_offer_is_told_the_answer_again(
    make_stream: MakeStream,
) -> None:
    _, engine, page = make_stream()
    write_offer(page, offer())
    engine.tell("answered", answer())
    told = len(page.updates("answers"))
    say(page, offer())
    engine.tell("answered", answer())
    assert len(page.updates("answers")) == told + 1


def test_acknowledged_answer_leaves_the_trait_and_does_not_come_back(
    make_stream: MakeStream,
) -> None:
    stream, engine, page = make_stream()
    say(page, offer())
    engine.tell("answered", answer())
    say(page, {"type": "Ack", "view": "v1", "seq": 1})
    assert stream.answers == {}
    say(page, offer())
    engine.tell("answered", answer())
    assert stream.answers == {}


def test_new_offer_of_a_view_replaces_its_old_one(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    say(page, offer(seq=1))
    say(page, offer(seq=2))
    engine.tell("answered", answer(seq=1))
    assert stream.answers == {}
    engine.tell("answered", answer(seq=2))
    assert stream.answers["v1"]["seq"] == 2


def test_answers_of_two_views_do_not_disturb_each_other(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    for view in ("v1", "v2"):
        say(page, offer(view))
        engine.tell("answered", answer(view))
    say(page, {"type": "Ack", "view": "v1", "seq": 1})
    assert list(stream.answers) == ["v2"]


def test_media_process_is_told_what_the_stream_is_doing(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    stream.push(torch.zeros(4, 4))
    stream.close()
    assert sequence(engine.handles[0].statuses) == ["waiting", "live", "closed"]


def test_page_is_told_which_carriers_there_are_and_where(
    make_stream: MakeStream,
) -> None:
    stream, engine, _ = make_stream()
    assert stream.place == engine.handles[0].place == "0f1e/s1"
    assert stream.carriers == ["webrtc", "socket", "comm"]
    assert make_stream(settings=Settings(carriers=("comm",)))[0].carriers == ["comm"]


def test_page_gets_what_comes_through_its_tunnel(make_stream: MakeStream) -> None:
    _, engine, page = make_stream()
    say(page, {"type": "CarrierOpen", "view": "v1"})
    assert engine.handles[0].tunnels == ["v1"]
    engine.tell("carried", "v1", "text")
    engine.tell("carrier_closed", "v1")
    assert page.custom() == [
        {"type": "CarrierData", "view": "v1", "text": "text"},
        {"type": "CarrierClosed", "view": "v1"},
    ]
    say(page, {"type": "CarrierClose", "view": "v1"})
    assert engine.handles[0].tunnels == []


def test_bye_closes_the_view(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    say(page, offer())
    engine.tell("answered", answer())
    say(page, {"type": "Bye", "view": "v1"})
    assert engine.handles[0].sent[1:] == [Bye(view="v1")]
    assert stream.answers == {}


def test_answer_of_a_viewer_that_went_away_is_taken_back(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    say(page, offer())
    engine.views("v1")
    engine.tell("answered", answer())
    engine.views()
    assert stream.answers == {}
    assert stream.viewers == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("not an object", "cannot read a message of type str"),
        ({"type": "Answer", "view": "v1", "seq": 1, "sdp": ""}, "Invalid value 'Answer'"),
        (offer(view="a view with spaces"), "at `$.view`"),
        (offer(sdp="x" * 65_537), "of length <= 65536 - at `$.sdp`"),
        ({"type": "Offer", "view": "v1", "seq": "1", "sdp": SDP}, "got `str` - at `$.seq`"),
        ({"type": "Bye", "view": "nobody"}, "no offer of view nobody has been seen"),
        ({"type": "Ack", "view": "nobody", "seq": 1}, "no offer of view nobody has been seen"),
    ],
)
def test_bad_message_is_refused_on_the_page_and_in_the_log_and_the_next_is_served(
    make_stream: MakeStream, caplog: pytest.LogCaptureFixture, content: object, problem: str
) -> None:
    _, engine, page = make_stream()
    with caplog.at_level(logging.WARNING, "gpuview"):
        say(page, content)
    (refusal,) = page.custom()
    assert refusal["type"] == "Refusal"
    assert problem in refusal["problem"]
    assert refusal["expected"]
    assert refusal["fix"]
    assert problem in caplog.text
    say(page, offer("other"))
    assert len(engine.handles[0].offers) == 1


def test_refusal_of_the_media_process_reaches_page_and_log(
    make_stream: MakeStream, caplog: pytest.LogCaptureFixture
) -> None:
    stream, engine, page = make_stream()
    say(page, offer())
    refusal = Refusal(view="v1", seq=1, problem="no port", expected="a port", fix="free one")
    with caplog.at_level(logging.WARNING, "gpuview"):
        engine.tell("answered", refusal)
    assert stream.answers["v1"]["fix"] == "free one"
    assert "no port" in caplog.text


def test_hello_is_welcomed_with_the_ice_servers(make_stream: MakeStream) -> None:
    settings = Settings(
        turn_url="turn:turn.example.org", turn_username="me", turn_credential="secret"
    )
    stream, _, page = make_stream(settings=settings)
    assert stream.needs_peer_config
    say(page, {"type": "GetPeerConfig", "view": "v1"})
    server = {"urls": ["turn:turn.example.org"], "username": "me", "credential": "secret"}
    (config,) = page.custom()
    assert (config["type"], config["view"]) == ("PeerConfig", "v1")
    assert config["ice_servers"] == [server]
    assert (config["ice_transport_policy"], config["wants_log"]) == ("all", False)


def test_nothing_that_could_be_saved_holds_a_secret_or_an_offer(make_stream: MakeStream) -> None:
    settings = Settings(
        turn_url="turn:turn.example.org", turn_username="me", turn_credential="secret"
    )
    stream, _, page = make_stream(settings=settings)
    write_offer(page, offer())
    state = {name: value for name, value in stream.get_state().items() if name != "_esm"}
    saved = json.dumps(state, default=str)
    assert SDP not in saved
    assert "secret" not in saved
    assert "turn.example.org" not in saved
    assert stream.get_state("offers") == {"offers": {}}


def test_failing_function_for_ice_servers_is_said_on_the_page_and_the_stream_lives_on(
    make_stream: MakeStream,
) -> None:
    def servers() -> object:
        raise OSError

    _, engine, page = make_stream(settings=Settings(ice_servers=servers))
    say(page, {"type": "GetPeerConfig", "view": "v1"})
    for thread in threading.enumerate():
        if thread.name == "gpuview-peer-config-v1":
            thread.join()
    (refusal,) = page.custom()
    assert (refusal["type"], refusal["view"], refusal["seq"]) == ("Refusal", "v1", 0)
    say(page, offer())
    assert len(engine.handles[0].offers) == 1


def test_candidates_go_from_the_page_to_the_engine_and_back(make_stream: MakeStream) -> None:
    _, engine, page = make_stream()
    say(page, offer())
    candidates = Candidates(view="v1", seq=1, candidates=["candidate:1"])
    say(page, to_wire(candidates))
    assert engine.handles[0].sent[1:] == [candidates]
    engine.tell("gathered", candidates)
    assert page.custom() == [to_wire(candidates)]


def test_without_ice_servers_the_page_need_not_ask(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    assert not stream.needs_peer_config


@pytest.mark.parametrize(
    ("source", "cue"),
    [(None, "push one"), (nn.Linear(2, 2), "call the model"), (torch.zeros(4, 4), "")],
    ids=["push", "tap", "pull"],
)
def test_waiting_stream_says_what_would_make_a_frame(
    make_stream: MakeStream, source: object, cue: str
) -> None:
    stream, _, _ = make_stream(source)
    assert (stream.status["state"], stream.status["fix"]) == ("waiting", cue)


def test_status_follows_the_stream_from_waiting_to_closed(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    assert stream.status["state"] == "waiting"
    stream.push(torch.zeros(4, 4))
    engine.tell("process_started", 2)
    engine.tell("process_ready")
    stream.close()
    states = [status["state"] for status in page.updates("status")]
    assert sequence(states) == ["live", "restarting", "live", "closed"]
    assert engine.handles[0].is_closed


def test_new_media_process_makes_every_page_offer_again(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    say(page, offer())
    engine.tell("answered", answer())
    engine.tell("process_started", 2)
    assert page.updates("epoch") == [2]
    assert stream.answers == {}
    say(page, offer(seq=2))
    assert len(engine.handles[0].offers) == 2


def test_media_process_that_cannot_be_kept_running_is_said_on_the_page(
    make_stream: MakeStream,
) -> None:
    stream, engine, _ = make_stream()
    engine.tell("process_failed", MediaError("it died", expected="life", fix="restart"))
    failed = Status(state="failed", problem="it died", expected="life", fix="restart")
    assert stream.status == to_wire(failed)


@pytest.mark.parametrize("is_watched", [False, True])
def test_push_goes_on_when_the_media_process_has_ended_for_good(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, is_watched: bool
) -> None:
    ended = MediaEndedError("it died 6 times", expected="life", fix="look why")

    def begin(self: FakeHandle, nbytes: int) -> memoryview:
        raise ended

    stream, engine, _ = make_stream()
    stream.push(torch.zeros(4, 4))
    engine.tell("process_failed", ended)
    engine.views(*["v1"] * is_watched)
    monkeypatch.setattr(FakeHandle, "begin", begin)
    for side in (4, 5, 6):
        stream.push(torch.zeros(side, side))
    assert (stream.status["state"], stream.status["fix"]) == ("failed", "look why")
    with pytest.raises(FrameError):
        stream.push("no tensor")
    assert stream.snapshot().size == (6, 6)
    stats = stream.stats()
    assert stats.frames_pushed == 5
    assert stats.frames_shown + sum(stats.frames_dropped.values()) == 5


THREE_PANELS = [torch.zeros(3, 360, 640)] * 3


def test_a_narrow_view_is_shown_its_panels_below_each_other(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    engine.views("v1")
    stream.push(THREE_PANELS)
    (handle,) = engine.handles
    for frames, width in ((2, 500), (2, 540), (3, 2000)):
        say(page, {"type": "Room", "width": width})
        handle.wait_for(frames)
    assert [width > height for width, height in handle.sizes] == [True, False, True]


@pytest.mark.parametrize("fixed", [{"columns": 3}, {"size": 640}], ids=str)
def test_a_picture_that_is_fixed_does_not_follow_the_room(
    make_stream: MakeStream, fixed: dict[str, int]
) -> None:
    stream, engine, page = make_stream(**fixed)
    engine.views("v1")
    stream.push(THREE_PANELS)
    say(page, {"type": "Room", "width": 400})
    stream.push(THREE_PANELS)
    (handle,) = engine.handles
    assert len(handle.sizes) == 2
    assert handle.sizes[0] == handle.sizes[1]


def test_a_single_picture_is_not_drawn_again_for_another_room(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    engine.views("v1")
    stream.push(THREE_PANELS[0])
    say(page, {"type": "Room", "width": 400})
    stream.push(THREE_PANELS)
    (handle,) = engine.handles
    assert len(handle.sizes) == 2
    width, height = handle.sizes[1]
    assert height > width, "what comes later is arranged for it"


def test_push_goes_on_while_there_is_no_memory_and_the_cell_says_so_until_there_is(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(self: FakeHandle, nbytes: int) -> memoryview:
        raise MediaError("no shared memory", expected="some", fix="free some")

    stream, engine, _ = make_stream()
    engine.views("v1")
    with monkeypatch.context() as full:
        full.setattr(FakeHandle, "begin", begin)
        stream.push(torch.zeros(4, 4))
        assert (stream.status["state"], stream.status["fix"]) == ("error", "free some")
    stream.push(torch.zeros(4, 4))
    assert stream.status["state"] == "live"
    assert stream.stats().frames_dropped["failed"] == 1


def test_media_process_that_starts_after_all_is_said_on_the_page(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    stream.push(torch.zeros(4, 4))
    engine.tell("process_failed", MediaError("no descriptor", expected="one", fix="close files"))
    stream.push(torch.zeros(4, 4))  # which the user's code does not notice
    engine.tell("process_started", 2)
    engine.tell("process_ready")
    states = [status["state"] for status in page.updates("status")]
    assert sequence(states) == ["live", "failed", "restarting", "live"]


def test_hint_is_told_while_it_holds_and_not_beside_an_error(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    engine.views("v1")
    stream.push(torch.full((4, 4), 255.0))
    hint = "values reach 255, 100 % of them outside 0 … 1: value_range=(0, 255)"
    assert (stream.status["state"], stream.status["hint"]) == ("live", hint)
    engine.tell("encode_failed", MediaError("too large", expected="smaller", fix="shrink it"))
    assert stream.status["hint"] == ""
    engine.tell("encode_failed", None)
    assert stream.status["hint"] == hint
    stream.push(torch.full((4, 4), 1.0))
    assert (stream.status["state"], stream.status["hint"]) == ("live", "")


def test_the_range_of_a_map_is_told_with_its_colours(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    engine.views("v1")
    stream.push({"<b>depth</b>": torch.arange(64.0).reshape(8, 8)})
    wait_until(lambda: stream.status["legend"], "the range is told")
    (entry,) = stream.status["legend"]
    assert entry["text"] == "<b>depth</b>: 0 … 63 (viridis)"
    assert (entry["bar"]["name"], entry["bar"]["high"]) == ("<b>depth</b>", "63")
    assert entry["bar"]["colours"][0] == "#440154"
    stream.push(torch.ones(8, 8, dtype=torch.int64))
    words = {"text": "classes", "colour": ""}  # and no null, which the page does not expect
    wait_until(lambda: stream.status["legend"][0] == words, "the classes are told")
    engine.tell("encode_failed", MediaError("too large", expected="smaller", fix="shrink it"))
    assert stream.status["legend"] == []
    stream.push(torch.zeros(3, 8, 8))
    engine.tell("encode_failed", None)
    wait_until(lambda: stream.status["legend"] == [], "no range is told")


def test_snapshot_is_read_as_the_picture_in_the_cell(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    engine.views("v1")
    stream.push(torch.rand(16, 20, 30))
    stream.push(torch.rand(3, 20, 30))
    assert stream.snapshot().size == (94, 20)  # three maps side by side
    assert "read as NHW" in stream.status["hint"]


def test_encoder_error_is_shown_until_it_is_over(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    stream.push(torch.zeros(4, 4))
    engine.tell("encode_failed", MediaError("too large", expected="smaller", fix="shrink it"))
    assert (stream.status["state"], stream.status["fix"]) == ("error", "shrink it")
    engine.tell("encode_failed", None)
    assert stream.status["state"] == "live"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let recordings wait for no media process, where there is none."""
    monkeypatch.setattr(recording, "_WAIT_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_stream_that_is_recorded_shows_its_frames_although_no_one_watches(
    make_stream: MakeStream, tmp_path: Path
) -> None:
    stream, engine, _ = make_stream(lambda: torch.zeros(4, 4), fps=240)
    handle = engine.handles[0]
    with stream.record(tmp_path / "run.mp4") as run:
        handle.wait_for(3)
    ended = RecordingEnded(recording=1, counters=RecordingCounters(files=[1], frames=3))
    engine.views("v1")
    engine.tell("recorded", ended)
    assert not run.is_open
    handle.wait_for(handle.frames_pushed + 3)  # for the viewer
    engine.views()
    stream.push(torch.ones(4, 4))
    wait_until(lambda: handle.n_released > 0, "nothing is read any more")
    start, stop = (each for each in handle.sent if isinstance(each, StartRecording | StopRecording))
    assert start == StartRecording(recording=1, name="run.mp4", number=1, overwrite=False)
    assert isinstance(stop, StopRecording)
    assert stop.seq >= 3


@pytest.mark.usefixtures("impatient")
def test_recording_that_fails_is_said_until_the_next_one_and_the_stream_plays_on(
    make_stream: MakeStream, tmp_path: Path
) -> None:
    stream, engine, _ = make_stream()
    engine.views("v1")
    stream.push(torch.zeros(4, 4))
    run = stream.record(tmp_path / "run.mp4")
    problem = Problem(problem="the disk is full", expected="room", fix="make some")
    engine.tell("recorded", RecordingEnded(recording=1, problem=problem))
    stream.push(torch.zeros(4, 4))
    status = stream.status
    assert (status["state"], status["part"], status["fix"]) == ("error", "recording", "make some")
    assert isinstance(run.error, RecordingError)
    assert engine.handles[0].frames_pushed == 2
    stream.record(tmp_path / "again.mp4")
    assert stream.status["state"] == "live"


@pytest.mark.usefixtures("impatient")
def test_recordings_end_with_their_stream_or_its_media_process(
    make_stream: MakeStream, tmp_path: Path
) -> None:
    stream, engine, _ = make_stream()
    stream.record(tmp_path / "a.mp4")
    stream.close()
    assert [type(each) for each in engine.handles[0].sent] == [StartRecording, StopRecording]
    with pytest.raises(StreamClosedError):
        stream.record(tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()

    stream, engine, _ = make_stream()
    run = stream.record(tmp_path / "c.mp4")
    engine.tell("process_failed", MediaError("no process", expected="one", fix="wait"))
    assert run.is_open
    engine.tell("process_started", 2)
    assert [each.number for each in engine.handles[0].sent if isinstance(each, StartRecording)] == [
        1,
        2,
    ]
    ended = MediaEndedError("it died 6 times", expected="life", fix="look why")
    engine.tell("process_failed", ended)
    assert run.error is ended


BAD_FRAMES: dict[str, Callable[[], object]] = {
    "0 size": lambda: torch.zeros(3, 0, 5),
    "5 dimensions": lambda: torch.zeros(3, 4, 5, 6, 7),
    "complex": lambda: torch.zeros(4, 4, dtype=torch.complex64),
    "sparse": lambda: torch.eye(4).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.zeros(4, 4), 0.1, 0, torch.quint8),
    "meta": lambda: torch.zeros(4, 4, device="meta"),
    "integers without a range": lambda: torch.zeros(3, 4, 4, dtype=torch.int32),
    "None": lambda: None,
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("is_watched", [False, True], ids=["unwatched", "watched"])
@pytest.mark.parametrize("bad", BAD_FRAMES)
def test_bad_tensor_raises_in_the_pushing_thread_and_the_stream_lives_on(
    make_stream: MakeStream, bad: str, is_watched: bool
) -> None:
    stream, engine, _ = make_stream()
    engine.views(*["v1"] * is_watched)
    with pytest.raises(FrameError) as refused:
        stream.push(BAD_FRAMES[bad]())
    told = stream.status
    assert [told["problem"], told["expected"], told["fix"]] == list(refused.value.args)
    assert len(refused.traceback) <= 3  # of this test, of `push`, and where it is raised
    stream.push(torch.zeros(4, 4))
    assert engine.handles[0].frames_pushed == is_watched
    assert stream.status["state"] == "live"


def test_tensor_whose_device_has_gone_raises_in_the_pushing_thread_and_the_stream_lives_on(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    stream, engine, _ = make_stream()
    engine.views("v1")
    with monkeypatch.context() as lost:
        lost.setattr("gpuview.frames.writer.write_picture", gone)
        with pytest.raises(FrameError, match=r"(?s)device-side assert.*restart the kernel"):
            stream.push(torch.zeros(4, 4))
    stream.push(torch.zeros(4, 4))
    assert engine.handles[0].frames_pushed == 1


def test_tensor_that_requires_grad_is_shown_and_its_graph_lives_on(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    engine.views("v1")
    weight = torch.ones(4, 4, requires_grad=True)
    output = weight * 2
    for frame in (weight, output):
        stream.push(frame)
    output.sum().backward()
    assert weight.grad is not None
    assert engine.handles[0].frames_pushed == 2


@pytest.mark.parametrize("unseen", [[], ["v2"]], ids=["no view", "a view that nobody sees"])
def test_source_is_asked_only_while_somebody_watches(
    make_stream: MakeStream, unseen: list[str]
) -> None:
    asked: list[None] = []

    def source() -> torch.Tensor:
        asked.append(None)
        return torch.zeros(4, 4)

    # A second stream, watched all the time, tells how many frames would have been asked for.
    _, watched, _ = make_stream(lambda: torch.zeros(4, 4), fps=100)
    _, engine, _ = make_stream(source, fps=100)
    watched.views("v1")
    wait_for_more(watched, 10)
    assert not asked

    engine.views("v2")
    wait_for_more(engine, 3)
    engine.tell("viewers_changed", unseen, unseen)
    wait_for_more(watched, 10)  # by then the frame that was being made is finished
    n_asked = len(asked)
    assert n_asked >= 3
    wait_for_more(watched, 20)
    assert len(asked) == n_asked


def wait_for_more(engine: FakeEngine, frames: int) -> None:
    """Wait until the newest stream of ``engine`` has pushed so many more frames."""
    handle = engine.handles[-1]
    handle.wait_for(handle.frames_pushed + frames)


def test_sentence_of_a_failing_source_appears_and_goes_when_it_recovers(
    make_stream: MakeStream,
) -> None:
    is_broken = threading.Event()
    is_broken.set()

    def source() -> torch.Tensor:
        if is_broken.is_set():
            raise RuntimeError("out of ideas")
        return torch.zeros(4, 4)

    stream, engine, _ = make_stream(source, fps=100)
    changed = threading.Condition()

    def tell(change: object) -> None:
        with changed:
            changed.notify_all()

    def wait_for(state: str) -> None:
        with changed:
            assert changed.wait_for(lambda: stream.status["state"] == state, timeout=30)

    stream.observe(tell, "status")
    engine.views("v1")
    wait_for("error")
    assert "out of ideas" in stream.status["problem"]
    is_broken.clear()
    wait_for("live")


def test_source_that_gives_none_is_said_and_goes_on_when_it_gives_a_frame(
    make_stream: MakeStream,
) -> None:
    frames = iter([None, None])
    stream, engine, _ = make_stream(lambda: next(frames, torch.zeros(4, 4)), fps=100)
    states: queue.Queue[dict[str, Any]] = queue.Queue()
    stream.observe(lambda change: states.put(change["new"]), "status")
    engine.views("v1")
    told = states.get(timeout=30)
    assert (told["state"], told["problem"]) == ("error", "the source returned None")
    assert states.get(timeout=30)["state"] == "live"


def test_stream_lives_on_after_an_exhausted_generator(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream(iter([]), fps=100)
    states: queue.Queue[dict[str, Any]] = queue.Queue()
    stream.observe(lambda change: states.put(change["new"]), "status")
    engine.views("v1")
    assert "ended before its first frame" in states.get(timeout=30)["problem"]
    stream.push(torch.zeros(4, 4))
    assert stream.status["state"] == "live"


def test_stream_follows_a_source_that_changes_size_and_dtype(make_stream: MakeStream) -> None:
    pictures = [
        torch.zeros(256, 256, 3, dtype=torch.uint8),
        torch.zeros(3, 300, 400),
        torch.zeros(256, 256, dtype=torch.float16),
    ]
    _, engine, _ = make_stream(iter(pictures), fps=100)
    engine.views("v1")
    for thread in threading.enumerate():
        if thread.name == "gpuview-source":
            thread.join(30)
    assert engine.handles[0].sizes == [(256, 256), (400, 300), (256, 256)]


def test_closing_does_not_wait_for_a_source_that_blocks(
    make_stream: MakeStream,
) -> None:
    entered, release, left = threading.Event(), threading.Event(), threading.Event()

    def source() -> torch.Tensor:
        entered.set()
        assert release.wait(30)
        left.set()
        return torch.zeros(4, 4)

    stream, engine, _ = make_stream(source)
    engine.views("v1")
    assert entered.wait(30)
    stream.close()
    is_hanging = not left.is_set()
    release.set()
    assert left.wait(30)
    assert is_hanging
    assert stream.status["state"] == "closed"


def test_pushes_that_nobody_sees_are_kept_until_a_view_joins(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    for side in (256, 256, 300, 300):
        stream.push(torch.zeros(side, side))
    handle = engine.handles[0]
    assert handle.sizes == []
    engine.views("v1")
    handle.wait_for(1)
    assert handle.sizes == [(300, 300)]


def test_stats_say_why_frames_were_dropped_and_what_was_in_the_newest(
    make_stream: MakeStream,
) -> None:
    stream, engine, _ = make_stream()
    stream.push(torch.zeros(4, 4))
    engine.views("v1")
    engine.handles[0].wait_for(1)
    stream.push(torch.zeros(4, 4))
    stream.push(torch.tensor([[float("nan"), 2.0], [float("-inf"), -3.0]]).expand(2, 2))
    with pytest.raises(FrameError):
        stream.push("a picture")
    engine.handles[0].frames_taken = 1
    stats = stream.stats()
    assert stats.frames_pushed == 4
    assert stats.frames_shown + sum(stats.frames_dropped.values()) == 4
    assert stats.frames_dropped["failed"] == 1
    assert (stats.nan, stats.inf) == (1, 1)
    assert (stats.minimum, stats.maximum) == (-3, 2)


# --- frame and snapshot --------------------------------------------------------------------------


def test_frame_is_the_very_tensor_and_snapshot_a_picture_of_it(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    frame = torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8)
    stream.push(frame)
    assert stream.frame() is frame
    assert np.array_equal(np.asarray(stream.snapshot()), frame.numpy())


def test_snapshot_shows_what_is_selected_as_it_is_shown(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream(select="depth", value_range=(0, 10))
    stream.push({"depth": torch.tensor([[[0.0, 10.0]]])})
    assert np.asarray(stream.snapshot()).tolist() == [[0, 255]]


def test_source_is_asked_once_for_the_first_frame_in_the_callers_thread(
    make_stream: MakeStream,
) -> None:
    asked: list[threading.Thread] = []

    def source() -> torch.Tensor:
        asked.append(threading.current_thread())
        return torch.zeros(4, 6)

    stream, _, _ = make_stream(source)
    assert stream.snapshot().size == (6, 4)
    assert stream.snapshot().size == (6, 4)
    assert asked == [threading.current_thread()]
    assert stream.status["state"] == "live"


@pytest.mark.parametrize(
    ("source", "fix"),
    [(None, r"stream\.push\(tensor\)"), (nn.ReLU(), r"model\(x\)"), (iter([]), "create it again")],
)
def test_without_a_frame_there_is_no_snapshot(
    make_stream: MakeStream, source: object, fix: str
) -> None:
    stream, _, _ = make_stream(source)
    with pytest.raises(FrameError, match=fix):
        stream.snapshot()
    with pytest.raises(FrameError, match=fix):
        stream.frame()


def test_source_that_raises_does_so_where_a_snapshot_asks_it(make_stream: MakeStream) -> None:
    def source() -> torch.Tensor:
        raise RuntimeError("CUDA error: device-side assert triggered")

    stream, _, _ = make_stream(source)
    with pytest.raises(FrameError, match="the source raised RuntimeError: CUDA error"):
        stream.snapshot()
    stream.push(torch.zeros(4, 4))
    assert stream.snapshot().size == (4, 4)


def test_closed_stream_has_no_frame(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    stream.push(torch.zeros(4, 4))
    stream.close()
    for ask in (
        stream.frame,
        stream.snapshot,
        stream.stats,
        lambda: stream.push(torch.zeros(4, 4)),
    ):
        with pytest.raises(StreamClosedError, match="the stream is closed"):
            ask()


# --- taps and grids ------------------------------------------------------------------------------


def test_module_with_an_input_is_tapped_until_the_stream_is_closed(
    make_stream: MakeStream,
) -> None:
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    stream, _, _ = make_stream(model, fps=240)
    image = torch.ones(2, 8, 16, 16)
    assert model(image) is not None
    assert isinstance(stream.frame(), torch.Tensor)
    assert stream.snapshot().mode == "RGB"  # eight maps
    stream.close()
    assert not model._forward_hooks


def test_layers_are_panels_of_one_picture(make_stream: MakeStream) -> None:
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    stream, engine, _ = make_stream(model, layer=["0", "1"])
    model(torch.tensor([[-1.0, 1.0]]))
    frame = stream.frame()
    assert isinstance(frame, dict)
    assert {name: part.tolist() for name, part in frame.items()} == {
        "0": [[-1, 1]],
        "1": [[0, 1]],
    }
    engine.views("v1")
    engine.handles[0].wait_for(1)


def test_grid_shows_what_is_asked_with_what_is_tapped(make_stream: MakeStream) -> None:
    model = nn.ReLU()
    image = torch.tensor([[-1.0, 1.0]])
    stream, engine, _ = make_stream({"output": model, "input": image})
    model(image)
    assert engine.handles[0].frames_pushed == 0
    frame = stream.frame()
    assert isinstance(frame, dict)
    assert list(frame) == ["output", "input"]
    assert frame["input"] is image
    assert frame["output"].tolist() == [[0, 1]]


def test_grid_names_the_source_that_fails(make_stream: MakeStream) -> None:
    def broken() -> torch.Tensor:
        raise RuntimeError("out of film")

    stream, _, _ = make_stream({"a": torch.zeros(4, 4), "b": broken})
    with pytest.raises(FrameError, match="the source 'b' raised RuntimeError: out of film"):
        stream.frame()


class Showing(nn.Module):
    """A model that shows what it computes, in one way and in another."""

    def __init__(self, stream: GPUStream) -> None:
        super().__init__()
        self.stream = stream
        self.show = stream.push

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.stream.push(x)
        self.show(x + 1)
        return x * 2


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        torch.optim.swa_utils.AveragedModel,
    ],
    ids=["deepcopy", "pickle", "AveragedModel"],
)
def test_copy_of_a_model_that_holds_a_stream_runs_and_shows_nothing(
    make_stream: MakeStream, copied: Callable[[nn.Module], nn.Module]
) -> None:
    stream, _, _ = make_stream()
    model = Showing(stream)
    again = copied(model)
    assert again(torch.ones(4, 4))[0, 0] == 2
    assert stream.stats().frames_pushed == 0
    assert model(torch.ones(4, 4))[0, 0] == 2
    assert stream.stats().frames_pushed == 2


def test_copy_of_a_stream_can_be_copied_watched_and_closed(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    again = pickle.loads(pickle.dumps(copy.copy(stream)))
    again.push(torch.zeros(4, 4))
    assert again.viewers == ()
    again.close()
    assert repr(again) == "<StreamCopy that shows nothing>"


def test_push_inside_compiled_code_shows_the_tensor(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    compiled = torch.compile(Showing(stream), backend="eager")
    assert compiled(torch.ones(4, 4))[0, 0] == 2
    frame = stream.frame()
    assert isinstance(frame, torch.Tensor)
    assert frame.tolist() == [[2] * 4] * 4
    assert stream.stats().frames_pushed == 2


def test_source_that_trains_plays_and_what_it_makes_can_be_changed_anywhere(
    make_stream: MakeStream,
) -> None:
    image = torch.zeros(8, 8, requires_grad=True)
    total = torch.zeros(8, 8)

    def source() -> torch.Tensor:
        nonlocal total
        (image - 1).square().sum().backward()
        total = total + 1
        return image * 2

    stream, engine, _ = make_stream(source)
    engine.views("v1")
    engine.handles[0].wait_for(2)
    engine.views()
    total += 1
    frame = stream.frame()
    assert isinstance(frame, torch.Tensor)
    assert not frame.requires_grad
    frame += 1


def test_the_images_of_a_data_loader_play_and_the_page_says_what_is_left_out(
    make_stream: MakeStream,
) -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), 4)
    stream, engine, _ = make_stream(loader)
    engine.views("v1")
    engine.handles[0].wait_for(1)
    assert torch.equal(stream.frame(), images)
    assert stream.status["hint"] == (
        "left out of what the source returns: '1' (cannot show a tensor with shape = (4,)). "
        "select=... picks what is shown"
    )
    stream, _, _ = make_stream({"data": lambda: (images[0], labels), "mask": torch.zeros(8, 8)})
    frame = stream.frame()
    assert isinstance(frame, dict)
    assert torch.equal(frame["data"], images[0])
    assert "left out of what 'data' returns: '1' (cannot show a tensor" in stream.status["hint"]


def test_sources_in_panels_are_polled_and_tapped_with_options_of_their_own(
    make_stream: MakeStream,
) -> None:
    model = nn.ReLU()
    batch = torch.rand(5, 3, 8, 8)
    stream, engine, _ = make_stream(
        {
            "first": batch,
            "third": gpuview.Panel(lambda: batch, select=2),
            "tapped": gpuview.Panel(model, select=(0, slice(0, 1)), value_range=(0, 0.25)),
        },
        select=0,
    )
    model(torch.full((4, 2, 8, 8), 0.25))
    engine.views("v1")
    engine.handles[0].wait_for(1)
    frame = stream.frame()
    assert isinstance(frame, dict)
    assert torch.equal(frame["first"], batch[0])
    assert torch.equal(frame["third"], batch[2])
    assert frame["tapped"].shape == (1, 8, 8)
    yellow = np.asarray(stream.snapshot()) == [253, 231, 36]  # the end of viridis: 0.25
    assert yellow.all(2).sum() == 64
    only, _, _ = make_stream(gpuview.Panel(lambda: batch, layout="NCHW", select=slice(1, 3)))
    assert np.asarray(only.snapshot()).shape == (8, 18, 3)


def test_a_panel_that_is_pushed_alone_is_shown_with_its_options_and_stays_the_same_kind(
    make_stream: MakeStream,
) -> None:
    image = torch.full((1, 4, 4), 5.0)
    stream, _, _ = make_stream(select=0, value_range=(0, 10))
    for _ in range(3):
        stream.push(gpuview.Panel(image[None], colormap="gray"))
    assert np.asarray(stream.snapshot()).max() == 128
    assert len(stream._feed._good_kinds) == 1
    assert torch.equal(stream.frame(), image[None])  # type: ignore[arg-type]
    stream.push(gpuview.Panel(image[None], value_range=(0, 5), select=(slice(None), 0)))
    assert np.asarray(stream.snapshot()).max() == 255
    stream.value_range = (0, 1)
    stream.push(gpuview.Panel(image[None], colormap="gray"))
    assert np.asarray(stream.snapshot()).max() == 255


def test_showing_frames_draws_no_random_numbers(make_stream: MakeStream) -> None:
    model = nn.ReLU()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    stream, engine, _ = make_stream({"polled": lambda: torch.zeros(8, 8), "tapped": model})
    engine.views("v1")
    model(torch.zeros(8, 8))
    engine.handles[0].wait_for(2)
    pushed, _, _ = make_stream()
    pushed.push(torch.zeros(8, 8))
    stream.close()
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(after[0], before[0])
    assert after[1:] == before[1:]


def test_an_async_function_plays(make_stream: MakeStream) -> None:
    async def source() -> torch.Tensor:
        return torch.full((4, 4), 2.0)

    stream, engine, _ = make_stream(source)
    engine.views("v1")
    engine.handles[0].wait_for(2)
    assert stream.status["state"] == "live"


def test_a_model_that_raises_without_an_input_waits_for_a_call(make_stream: MakeStream) -> None:
    class Transformer(nn.Module):
        def forward(self, pixel_values: torch.Tensor | None = None) -> torch.Tensor:
            if pixel_values is None:
                raise ValueError("You have to specify pixel_values")
            return pixel_values

    model = Transformer()
    stream, _, _ = make_stream(model)
    with pytest.raises(FrameError, match="the tapped module has not been called"):
        stream.snapshot()
    assert "raised ValueError: You have to specify pixel_values" in stream.status["fix"]
    model(pixel_values=torch.zeros(4, 4))
    assert stream.status["state"] == "live"


def test_tap_whose_output_cannot_be_shown_is_said_on_the_page(make_stream: MakeStream) -> None:
    model = nn.ReLU()
    stream, _, _ = make_stream(model)
    assert model(torch.zeros(3)).tolist() == [0, 0, 0]  # one dimension
    assert stream.status["state"] == "error"
    assert "shape = (3,)" in stream.status["problem"]


def test_failing_tap_of_a_grid_is_said_until_it_recovers_although_the_others_play(
    make_stream: MakeStream,
) -> None:
    model = nn.ReLU()
    outputs: list[object] = [None]
    stream, engine, _ = make_stream(
        {"input": lambda: torch.zeros(4, 4), "output": model},
        select=lambda frame: outputs[0] if outputs and frame.sum() > 0 else frame,
        fps=100,
    )
    model(torch.ones(4, 4))
    assert "no tensor" in stream.status["problem"]
    engine.views("v1")
    engine.handles[0].wait_for(3)
    assert stream.status["state"] == "error"
    outputs.clear()
    assert stream._source is not None
    stream._source._tap.due_s = 0  # type: ignore[attr-defined]  # half a second later
    model(torch.ones(4, 4))
    assert stream.status["state"] == "live"


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        torch.no_grad,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.device("meta"),
    ],
    ids=["inference", "no_grad", "autocast", "default device"],
)
def test_tap_works_in_whatever_mode_the_model_is_called(
    make_stream: MakeStream, mode: Callable[[], AbstractContextManager[object]]
) -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
    stream, engine, _ = make_stream(model, layer=["0", "1"], value_range=(-1, 1), size=64)
    with mode():
        model(torch.ones(16, 16, device="cpu"))
    model(torch.ones(16, 16)).sum().backward()
    assert stream.status["state"] == "live"
    engine.views("v1")
    engine.handles[0].wait_for(1)
    assert stream.stats().minimum is not None
    assert stream.snapshot()


def test_closed_stream_does_not_keep_its_model(make_stream: MakeStream) -> None:
    model = nn.Sequential(nn.ReLU())
    stream, _, _ = make_stream({"input": torch.zeros(4, 4), "output": model})
    gone = weakref.ref(model)
    stream.close()
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"layout": "WHC"}, "layout = 'WHC'"),
        ({"value_range": (1, 0)}, r"value_range = \(1, 0\)"),
        ({"colormap": "virdis"}, "virdis"),
        ({"size": 3}, "size = 3"),
        ({"columns": 0}, "columns = 0"),
        ({"layer": "layer9"}, "cannot look for layer = 'layer9'"),
        ({"select": 0.5}, "cannot select"),
    ],
)
def test_wrong_way_to_show_frames_is_an_error_when_the_stream_is_made(
    make_stream: MakeStream, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(FrameError, match=problem) as caught:
        make_stream(**options)
    assert caught.value.fix


# --- options that change while the stream is live -------------------------------------------------


def test_options_can_be_read_as_they_were_given(make_stream: MakeStream) -> None:
    select = itemgetter("depth")
    stream, _, _ = make_stream(
        fps=24, layout="HW", value_range=[0, 4], colormap="magma", size=720, select=select
    )
    assert (stream.fps, stream.layout, stream.value_range) == (24, "HW", (0, 4))
    assert (stream.colormap, stream.size, stream.select) == ("magma", 720, select)
    assert stream.max_bitrate_bps == 20_000_000


@pytest.mark.parametrize(
    ("option", "value", "pixel"),
    [
        ("value_range", (0, 10), 255),
        ("colormap", "turbo", None),
        ("layout", "NHW", None),
        ("size", 64, None),
        ("select", lambda frame: frame * 0, 0),
    ],
)
def test_picture_that_stands_still_is_drawn_again_with_the_new_option(
    make_stream: MakeStream, option: str, value: object, pixel: int | None
) -> None:
    stream, engine, _ = make_stream(value_range=(0, 20))
    engine.views("v1")
    stream.push(torch.full((3 if option == "layout" else 1, 256, 4), 10.0))
    before = np.asarray(stream.snapshot())
    setattr(stream, option, value)
    engine.handles[0].wait_for(2)
    assert option == "size" or not np.array_equal(np.asarray(stream.snapshot()), before)
    if pixel is not None:
        assert np.asarray(stream.snapshot())[0, 0] == pixel
    assert getattr(stream, option) == value
    stats = stream.stats()
    assert stats.frames_pushed == 1


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("value_range", (1, 0), FrameError),
        ("colormap", "virdis", FrameError),
        ("size", 3, FrameError),
        ("layout", "WHC", FrameError),
        ("select", 0.5, FrameError),
        ("fps", 0, SettingsError),
        ("max_bitrate_bps", "8M", SettingsError),
    ],
)
def test_invalid_value_raises_as_in_the_constructor_and_the_old_one_stays(
    make_stream: MakeStream, option: str, value: object, error: type[GpuviewError]
) -> None:
    stream, engine, _ = make_stream()
    stream.push(torch.zeros(4, 4))
    before, look = getattr(stream, option), stream._feed.look
    with pytest.raises(error) as caught:
        setattr(stream, option, value)
    assert caught.value.fix
    assert getattr(stream, option) == before
    assert stream._feed.look == look
    assert engine.handles[0].limits is None


def test_rate_of_a_live_stream_is_changed_for_its_source_and_its_encoder(
    make_stream: MakeStream,
) -> None:
    stream, engine, _ = make_stream(lambda: torch.zeros(4, 4), fps=1e-9)
    engine.views("v1")
    engine.handles[0].wait_for(1)
    stream.fps = 100
    engine.handles[0].wait_for(4)
    assert engine.handles[0].limits == (100.0, 20_000_000)


def test_rate_of_a_tap_is_changed(make_stream: MakeStream) -> None:
    model = nn.ReLU()
    stream, engine, _ = make_stream(model, fps=1e-9)
    engine.views("v1")
    for _ in range(3):
        model(torch.zeros(4, 4))
    assert engine.handles[0].frames_pushed == 1
    stream.fps = 240
    model(torch.zeros(4, 4))
    assert engine.handles[0].frames_pushed == 2


@pytest.mark.parametrize("source", [nn.ReLU(), lambda: torch.ones(4, 4)], ids=["tap", "pull"])
def test_select_of_a_source_holds_from_its_next_frame_on(
    make_stream: MakeStream, source: Callable[..., torch.Tensor]
) -> None:
    stream, engine, _ = make_stream(source, fps=240)
    engine.views("v1")
    stream.select = lambda frame: frame[:2]
    if isinstance(source, nn.Module):
        source(torch.ones(4, 4))
        assert stream.snapshot().size == (4, 2)
    else:  # a frame may just be in the making
        wait_until(lambda: stream.snapshot().size == (4, 2), "it holds")


def test_two_threads_that_set_two_options_both_prevail(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()

    def set_ranges() -> None:
        for high in range(1, 100):
            stream.value_range = (0, high)

    setting = threading.Thread(target=set_ranges)
    setting.start()
    for side in range(100, 200, 2):
        stream.size = side
    setting.join()
    assert stream._feed.look == Look(value_range=(0, 99), size=198)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("colourmap", r"stream\.colormap = "),
        ("FPS", r"stream\.fps = "),
        ("valuerange", r"stream\.value_range = "),
        ("layer", r"make a new stream: GPUStream\(layer=\.\.\.\)"),
        ("source", r"make a new stream: GPUStream\(source=\.\.\.\)"),
    ],
)
def test_unknown_attribute_is_an_error_with_the_closest_name(
    make_stream: MakeStream, name: str, fix: str
) -> None:
    stream, _, _ = make_stream()
    with pytest.raises(AttributeError, match=fix):
        setattr(stream, name, 3)
    assert not hasattr(stream, name)


@pytest.mark.parametrize("css", [ipywidgets.Layout(width="50%"), {"width": "50%"}])
def test_layout_of_css_says_what_to_write_instead(make_stream: MakeStream, css: object) -> None:
    with pytest.raises(FrameError, match=r"ipywidgets\.Box\(\[stream\], layout=") as caught:
        make_stream(layout=css)
    assert "meaning of a tensor's dimensions" in caught.value.problem


def test_page_keeps_the_room_for_a_picture_whose_size_is_known(make_stream: MakeStream) -> None:
    def room(stream: GPUStream) -> tuple[int, int, bool]:
        status = stream.status
        return status["width"], status["height"], status["is_size_chosen"]

    pushed, _, _ = make_stream()
    assert room(pushed) == (0, 0, False)
    pushed._repr_mimebundle_()
    assert room(pushed) == (0, 0, False)
    pushed.push(torch.zeros(360, 640))
    assert room(pushed) == (640, 360, False)
    pushed.size = (300, 200)
    assert room(pushed) == (300, 200, True)
    assert room(make_stream(size=(640, 480))[0]) == (640, 480, True)
    asked, _, _ = make_stream(lambda: torch.zeros(3, 150, 300), size=300)
    assert room(asked) == (0, 0, True)
    asked._repr_mimebundle_()
    assert room(asked) == (300, 150, True)


@pytest.mark.parametrize(
    ("caption", "shown"),
    [
        ("step 120, loss 0.31", "step 120, loss 0.31"),
        ("two\n  lines\t", "two lines"),
        (None, ""),
        ("<b>bold</b>", "<b>bold</b>"),
        ("half a pair: \ud800", "half a pair: ?"),
        ("x" * 10_000, "x" * 299 + "…"),
        (" " * 10_000 + "x", "…"),
    ],
)
def test_caption_is_one_line_of_text(
    make_stream: MakeStream, caption: str | None, shown: str
) -> None:
    stream, engine, _ = make_stream()
    stream.caption = caption
    engine.views("v1")
    assert stream.caption == shown
    wait_until(lambda: stream.status["caption"] == shown, "the page is told")


def test_caption_that_is_no_text_says_what_to_write(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream(caption="before")
    with pytest.raises(SettingsError, match="caption of type Tensor"):
        stream.caption = torch.zeros(())
    assert stream.caption == stream.status["caption"] == "before"


def test_caption_of_each_step_reaches_the_page_now_and_then(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    for step in range(100):
        stream.caption = f"step {step}"
    assert page.updates("status") == []  # nobody watches
    engine.views("v1")
    wait_until(lambda: stream.status["caption"] == "step 99", "who comes is told the newest one")
    for step in range(1000):
        stream.caption = f"step {step}"
    wait_until(lambda: stream.status["caption"] == "step 999", "the newest one is told")
    assert len(page.updates("status")) < 200
    stream.caption = "the end"
    stream.close()
    assert stream.status["caption"] == "the end"
    with pytest.raises(StreamClosedError):
        stream.caption = "more"


def test_source_that_has_ended_is_said_until_a_frame_is_pushed(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream((torch.zeros(4, 4) for _ in range(3)), fps=240)
    assert not stream.status["has_ended"]
    engine.views("v1")
    wait_until(lambda: stream.status["has_ended"], "the source has ended")
    assert stream.status["state"] == "live"
    stream.push(torch.zeros(4, 4))
    assert not stream.status["has_ended"]


def test_page_is_told_how_old_the_newest_frame_is_when_it_comes(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    engine.views("v1")
    assert stream.status["made_ms"] == 0
    engine.views()
    before_ms = time.monotonic_ns() / 1e6
    stream.push(torch.zeros(4, 4))
    after_ms = time.monotonic_ns() / 1e6
    engine.views("v2")
    made_ms = wait_until(lambda: stream.status["made_ms"], "the page is told")
    assert before_ms <= made_ms <= after_ms


def test_all_pages_are_not_told_for_each_of_a_hundred_views(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    stream.push(torch.zeros(4, 4))
    statuses = engine.handles[0].statuses
    n_before = len(statuses)
    for n in range(1, 101):
        engine.views(*map(str, range(n)))
    wait_until(lambda: stream.status["made_ms"], "the pages are told")
    assert len(statuses) - n_before < 20


def test_layout_is_the_tensors_and_no_css_is_sent_to_the_page(make_stream: MakeStream) -> None:
    stream, _, page = make_stream(layout="HW")
    assert "layout" not in page.opening["data"]["state"]
    assert not page.updates("layout")
    assert ipywidgets.HBox([stream]).children == (stream,)


def test_closed_stream_takes_no_option(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    stream.close()
    for option, value in {"size": 64, "select": 0, "fps": 5}.items():
        with pytest.raises(StreamClosedError, match="the stream is closed"):
            setattr(stream, option, value)


# --- the rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"fps": 0},
        {"fps": 1000},
        {"fps": math.nan},
        {"fps": "30"},
        {"max_bitrate_bps": 1},
        {"max_bitrate_bps": "8M"},
    ],
)
def test_number_that_does_not_fit_is_an_error_with_a_fix(
    make_stream: MakeStream, options: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError) as caught:
        make_stream(**options)
    assert caught.value.fix


def test_numbers_of_other_types_reach_the_media_process_as_its_own(
    monkeypatch: pytest.MonkeyPatch, make_stream: MakeStream
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(
        FakeEngine,
        "open_stream",
        lambda self, listener, **numbers: (opened.append(numbers), FakeHandle())[1],
    )
    make_stream(fps=np.float32(24), max_bitrate_bps=2e6)
    assert json.dumps(opened) == '[{"fps": 24.0, "max_bitrate_bps": 2000000, "run": null}]'


def test_source_rests_when_the_media_process_has_died(make_stream: MakeStream) -> None:
    asked = threading.Semaphore(0)

    def source() -> torch.Tensor:
        asked.release()
        return torch.zeros(4, 4)

    stream, engine, _ = make_stream(source, fps=100)
    engine.views("v1")
    assert asked.acquire(timeout=30)
    engine.tell("process_started", 2)
    assert stream.viewers == ()
    assert "idle" in repr(stream._source)


def test_unknown_keyword_is_an_error(make_stream: MakeStream) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'frames_per_second'"):
        make_stream(frames_per_second=3)


def test_closed_stream_answers_nobody_and_can_be_closed_again(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream()
    say(page, offer())
    stream.close()
    stream.close()
    say(page, offer(seq=2))
    say(page, {"type": "Bye", "view": "v1"})
    assert len(engine.handles[0].offers) == 1
    assert page.custom() == []


def test_stream_is_a_context_manager_and_shows_its_state(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    with stream:
        stream.push(torch.zeros(4, 4))
        assert repr(stream) == "<GPUStream live viewers=0 frames_pushed=1>"
    assert repr(stream) == "<GPUStream closed viewers=0 frames_pushed=1>"


def test_doctor_is_asked_in_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuview.doctor.run_in_subprocess", lambda settings: ("report", settings))
    settings = Settings(port_min=10111)
    assert GPUStream.doctor(settings) == ("report", settings)
    assert GPUStream.doctor() == ("report", None)


def test_stats_are_a_snapshot(make_stream: MakeStream) -> None:
    stream, _, _ = make_stream()
    stats = stream.stats()
    assert (stats.media_pid, stats.network.port, stats.frames_pushed) == (4711, 40000, 0)
    assert (stats.frames_shown, stats.frames_dropped) == (0, {})
    assert (stats.source_ms, stats.minimum, stats.maximum) == (None, None, None)
    with pytest.raises(AttributeError):
        stats.nan = 1  # type: ignore[misc]


def test_messages_are_left_to_the_subshell_that_they_were_sent_to(
    monkeypatch: pytest.MonkeyPatch, make_stream: MakeStream
) -> None:
    monkeypatch.setattr(FakeComm, "_reply_subshell_for", "ipykernel's", raising=False)
    _, _, page = make_stream()
    assert page._reply_subshell_for is None  # type: ignore[attr-defined]


class Page:
    """A stream with a real engine, whose pages are told through a comm that writes it down."""

    def __init__(self, source: object = None) -> None:
        self.stream = GPUStream(source, fps=200, settings=Settings(public_ip="127.0.0.1"))
        assert isinstance(self.stream.comm, FakeComm)
        self.comm = self.stream.comm

    @property
    def states(self) -> list[str]:
        return sequence([status["state"] for status in self.comm.updates("status")])

    def close(self) -> None:
        self.stream.close()
        ipywidgets.Widget.close(self.stream)


@pytest.fixture
def make_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def make(source: object = None) -> Page:
        pages.append(Page(source))
        return pages[-1]

    monkeypatch.setattr(comm, "create_comm", FakeComm)
    yield make
    for page in pages:
        page.close()


def test_kernel_that_ends_stops_the_sources_first_and_says_nothing_to_the_pages(
    make_page: Callable[..., Page],
) -> None:
    made = threading.Semaphore(0)

    def source() -> torch.Tensor:
        made.release()
        return torch.zeros(64, 64)

    page = make_page(source)
    page.stream.viewers_changed(["v1"])
    for _ in range(3):
        assert made.acquire(timeout=30)
    pulling = page.stream._source._thread  # type: ignore[union-attr]
    close_shared_engine()
    assert not pulling.is_alive()
    assert page.states == ["live"]
    with pytest.raises(StreamClosedError, match="the stream is closed"):
        page.stream.push(torch.zeros(4, 4))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_push_in_a_forked_child_raises_though_another_thread_held_the_locks(
    make_page: Callable[..., Page],
) -> None:
    page = make_page()
    page.stream.push(torch.zeros(4, 4))
    feed = page.stream._feed
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_push_in_child, args=(page.stream, theirs))
    with feed._lock, feed._reading, feed._writer._lock:
        child.start()
    answered = ours.poll(30)
    child.kill()
    child.join()
    child.close()
    assert answered
    assert "this one was forked from" in ours.recv()
    ours.close()
    theirs.close()


def _push_in_child(stream: GPUStream, result: Connection) -> None:
    try:
        stream.push(torch.zeros(4, 4))
    except StreamClosedError as exc:
        result.send(exc.problem)
