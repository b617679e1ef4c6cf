"""What pages say is passed on or logged, whatever it holds; replies wait for their pages."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.protocol.carrier_messages import (
    CarrierClose,
    CarrierClosed,
    CarrierData,
    CarrierOpen,
    CarrierText,
)
from gpuview.protocol.interaction_messages import FromView, SetKnob, ToView
from gpuview.protocol.page_messages import (
    Ack,
    Answer,
    Candidates,
    GetPeerConfig,
    KeepsViews,
    Message,
    Offer,
    PageLog,
    PeerConfig,
    Problem,
    Record,
    Refusal,
    Room,
)
from gpuview.protocol.wire import to_wire
from gpuview.settings import Settings
from gpuview.signalling.pages import Pages

SILENT = Problem(problem="turn:a is silent", expected="an answer", fix="open its port")


class FakeWidget:
    """Writes down what its pages are told."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.sent: list[dict[str, Any]] = []
        self.buffers: list[bytes] = []

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.sent.append(content)
        self.buffers += buffers or []

    def send_state(self, key: str) -> None:
        self.sent.append({"trait": key})

    def views_are_kept(self) -> None:
        self.sent.append({"kept": True})

    def record_by_view(self, is_on: bool) -> None:
        self.sent.append({"record": is_on})

    def arrange_for(self, width: int) -> None:
        self.sent.append({"room": width})

    def interact(self, message: FromView, reply: Callable[[ToView], None]) -> None:
        reply(Told(view=message.view))


class Told(ToView, frozen=True, kw_only=True):
    """A reply."""


class FakeMedia:
    """Writes down what is passed on to the media process."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.tunnels: list[tuple[str, ...]] = []
        self.has_room = True
        """Whether a tunnel can be opened; a view has one once it was."""

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def open_tunnel(self, view: str) -> bool:
        if self.has_room:
            self.tunnels.append(("open", view))
        return self.has_room

    def send_through_tunnel(self, view: str, text: str) -> bool:
        if ("open", view) not in self.tunnels:
            return False
        self.tunnels.append(("send", view, text))
        return True

    def close_tunnel(self, view: str) -> None:
        self.tunnels.append(("close", view))


class Stream:
    """Pages with an engine that writes down what is passed on to it."""

    def __init__(self, **settings: Any) -> None:
        self.widget = FakeWidget()
        self.media = FakeMedia()
        self.passed_on = self.media.sent
        self.pages = Pages(Settings(**settings), self.widget, self.media)

    def say(self, message: Message) -> None:
        self.pages.read(to_wire(message))


def offer(seq: int = 1) -> Offer:
    return Offer(view="v1", seq=seq, sdp="v=0")


def candidates(*lines: str, seq: int = 1, problems: list[Problem] | None = None) -> Candidates:
    return Candidates(view="v1", seq=seq, candidates=list(lines), problems=problems or [])


def answer(seq: int = 1) -> Answer:
    return Answer(view="v1", seq=seq, sdp="v=0")


def refusal(seq: int = 1) -> Refusal:
    return Refusal(view="v1", seq=seq, problem="no port", expected="a port", fix="free one")


def test_offers_and_candidates_are_passed_on_as_they_come() -> None:
    stream = Stream()
    said = [candidates("a"), offer(), offer(), candidates("a"), offer(2), offer(1)]
    for message in said:
        stream.say(message)
    assert stream.passed_on == said
    assert stream.widget.sent == []


def test_reply_that_is_repeated_is_sent_again_until_it_is_acknowledged() -> None:
    stream = Stream()
    stream.say(offer())
    for _ in range(3):
        stream.pages.reply(answer())
    assert stream.widget.answers == {"v1": to_wire(answer())}
    assert stream.widget.sent == [{"trait": "answers"}] * 2
    stream.say(Ack(view="v1", seq=1))
    stream.say(offer())
    stream.pages.reply(answer())
    assert stream.widget.answers == {}
    assert len(stream.widget.sent) == 2


def test_refusal_of_an_older_or_forged_offer_leaves_the_answer_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = Stream()
    stream.say(offer(2))
    stream.pages.reply(answer(2))
    with caplog.at_level(logging.WARNING, "gpuview"):
        for seq in (1, 2):
            stream.pages.reply(refusal(seq))
    assert stream.widget.answers == {"v1": to_wire(answer(2))}
    assert stream.widget.sent == [to_wire(refusal(1)), to_wire(refusal(2))]
    assert len(caplog.records) == 2


def test_page_is_told_that_no_carrier_leads_through_the_kernel() -> None:
    stream = Stream(carriers="webrtc,socket")
    stream.say(CarrierOpen(view="v1"))
    assert stream.widget.sent == [to_wire(CarrierClosed(view="v1"))]
    assert stream.media.tunnels == []


def test_a_page_says_that_its_views_are_kept() -> None:
    stream = Stream()
    stream.say(KeepsViews())
    assert stream.widget.sent == [{"kept": True}]
    assert stream.passed_on == []


def test_a_page_says_how_much_room_a_view_has_and_no_nonsense() -> None:
    stream = Stream()
    stream.say(Room(width=480))
    assert stream.widget.sent == [{"room": 480}]
    for width in (0, -1, 65_537, 1e9, "480", None):
        stream.pages.read({"type": "Room", "width": width})
        assert "width" in stream.widget.sent[-1]["problem"]


def test_a_page_begins_and_ends_a_recording_and_says_no_more_than_that() -> None:
    stream = Stream()
    stream.say(Record(is_on=True))
    stream.say(Record(is_on=False))
    assert stream.widget.sent == [{"record": True}, {"record": False}]
    stream.pages.read({"type": "Record", "is_on": True, "path": "/etc/passwd"})
    assert "path" in stream.widget.sent[-1]["problem"]


def test_tunnel_carries_both_ways() -> None:
    stream = Stream()
    stream.say(CarrierOpen(view="v1"))
    stream.say(CarrierText(view="v1", text="{}"))
    stream.say(CarrierClose(view="v1"))
    assert stream.media.tunnels == [("open", "v1"), ("send", "v1", "{}"), ("close", "v1")]
    stream.pages.carried("v1", "text")
    stream.pages.carried("v1", b"packet")
    stream.pages.carrier_closed("v1")
    told = [CarrierData(view="v1", text="text"), CarrierData(view="v1"), CarrierClosed(view="v1")]
    assert stream.widget.sent == [to_wire(each) for each in told]
    assert stream.widget.buffers == [b"packet"]


def test_page_without_a_tunnel_is_told_so_at_first_and_then_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    stream = Stream()
    stream.media.has_room = False
    for n in range(10_000):
        stream.say(CarrierText(view=f"v{n}", text="{}"))
        stream.say(CarrierOpen(view="v1"))
    assert stream.widget.sent[0] == to_wire(CarrierClosed(view="v0"))
    assert len(stream.widget.sent) == 20

    now_s += 1.0
    stream.say(CarrierText(view="v1", text="{}"))
    assert stream.widget.sent[20:] == [to_wire(CarrierClosed(view="v1"))]
    assert caplog.records == []
    # What ends by itself is never kept from its page, nor are other faults.
    stream.pages.carrier_closed("v2")
    stream.pages.read({"type": "Unknown", "view": "v1"})
    assert len(stream.widget.sent) == 23


def test_page_that_asks_by_the_media_process_is_answered_there() -> None:
    stream = Stream(stun_url="stun:stun.example.org")
    stream.pages.asked(GetPeerConfig(view="v1"))
    (config,) = stream.media.sent
    assert isinstance(config, PeerConfig)
    assert [each.urls for each in config.ice_servers] == [["stun:stun.example.org"]]
    assert stream.widget.sent == []


def test_pages_problems_are_logged_once_each_and_not_passed_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = Stream()
    stream.say(offer())
    with caplog.at_level(logging.WARNING, "gpuview"):
        for _ in range(3):
            stream.say(candidates("a", problems=[SILENT]))
        stream.say(offer(2))
        stream.say(candidates("a", seq=2, problems=[SILENT]))
    assert [record.getMessage() for record in caplog.records] == [
        "the page of view v1 reports: turn:a is silent (expected: an answer; try: open its port)"
    ]
    assert stream.passed_on[1] == candidates("a")


def test_page_that_has_ever_new_problems_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = Stream()
    stream.say(offer())
    with caplog.at_level(logging.WARNING, "gpuview"):
        for n in range(500):
            problem = Problem(problem=f"number {n}", expected="", fix="")
            stream.say(candidates(problems=[problem]))
    assert len(caplog.records) == 64


def test_page_cannot_forge_a_record_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stream(log="debug")
    with caplog.at_level(logging.DEBUG, "gpuview"):
        stream.say(PageLog(view="v1", text="a\n2026 ERROR\x1b[2J\rgpuview: b"))
    assert caplog.records[0].getMessage() == "view v1: a\n    2026 ERROR?[2J?gpuview: b"
    assert caplog.records[0].name == "gpuview.page"


def test_pages_log_is_kept_only_where_it_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "gpuview"):
        Stream(log="info").say(PageLog(view="v1", text="hello"))
    assert caplog.records == []


@pytest.mark.parametrize(
    "content",
    [
        {"type": "Candidates", "view": "v1", "seq": 1, "candidates": ["a"] * 65},
        {"type": "Candidates", "view": "v1", "seq": 1, "candidates": ["a" * 4097]},
        {"type": "PageLog", "view": "v1", "text": 7},
    ],
)
def test_bad_candidates_do_not_end_their_offer(
    caplog: pytest.LogCaptureFixture, content: dict[str, Any]
) -> None:
    stream = Stream()
    stream.say(offer())
    with caplog.at_level(logging.WARNING, "gpuview"):
        stream.pages.read(content)
    assert stream.widget.sent == []
    assert content["type"] in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each),
    max_leaves=6,
)
NAMES = ["Offer", "GetPeerConfig", "Ack", "Bye", "Candidates", "PageLog", "Answer", "Problem"]
FIELDS = ["view", "seq", "sdp", "text", "candidates", "problems"]


@given(
    st.builds(
        lambda fields, kind: {**fields, "type": kind},
        st.dictionaries(st.sampled_from(FIELDS), JSON | st.just("v1") | st.just(1)),
        st.sampled_from(NAMES) | JSON,
    )
    | JSON
)
def test_whatever_a_page_says_the_next_offer_is_taken(content: object) -> None:
    stream = Stream(log="debug")
    stream.pages.read(content)
    stream.say(Offer(view="another", seq=1, sdp="v=0"))
    assert stream.passed_on[-1] == Offer(view="another", seq=1, sdp="v=0")
    json.dumps(stream.widget.sent)


def test_view_is_told_something_on_the_way_that_it_has_spoken() -> None:
    stream = Stream()
    press = SetKnob(view="v1", name="go", value=1)
    stream.pages.read(to_wire(press))
    assert stream.widget.sent == [{"type": "Told", "view": "v1"}]
    assert stream.passed_on == []
    stream.pages.asked(press)
    assert stream.passed_on == [Told(view="v1")]


def test_thousands_of_bad_messages_are_answered_only_now_and_then_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    stream = Stream()
    for _ in range(10_000):
        stream.pages.read({"type": "Unknown", "view": "v1"})
        stream.pages.restore(["status"])
    assert len(stream.widget.sent) == 20
    assert len(caplog.records) == 20

    now_s += 1.0
    stream.pages.read({"type": "Unknown", "view": "v1"})
    assert len(stream.widget.sent) == 21
    assert "19980 more faults of pages were not answered" in caplog.text
    stream.say(offer())
    assert stream.passed_on == [offer()]
