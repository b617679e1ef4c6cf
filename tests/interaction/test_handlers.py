"""Event handlers and knobs of a real stream, with a page that is a transcript."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest
import torch

from gpuview import SettingsError
from gpuview.interaction.events import Event
from gpuview.protocol.interaction_messages import Events, FromView, RenderEvent, SetKnob, Touch
from gpuview.protocol.wire import to_wire
from tests.fakes import FakeComm
from tests.streams import MakeStream
from tests.waiting import wait_until

WAIT_S = 30


def say(page: FakeComm, message: FromView) -> None:
    page.say({"method": "custom", "content": to_wire(message)})


def happen(page: FakeComm, kind: Any, **fields: Any) -> None:
    event = RenderEvent(type=kind, timestamp=1.0, **fields)
    say(page, Events(view="v1", events=[event]))


def wanted(page: FakeComm) -> list[str]:
    """Return the events that the pages were told to send."""
    told = page.updates("interaction")
    return list(told[-1]["events"]) if told else []


def knobs(page: FakeComm) -> dict[str, Any]:
    """Return the values of the knobs that the pages were told."""
    told = page.updates("interaction")
    return {each["name"]: each["value"] for each in told[-1]["knobs"]} if told else {}


class Heard:
    """A handler that writes down its events and threads."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[Event, threading.Thread]] = queue.Queue()

    def __call__(self, event: Event) -> None:
        self.events.put((event, threading.current_thread()))

    def next(self) -> tuple[Event, threading.Thread]:
        return self.events.get(timeout=WAIT_S)


def test_pages_send_what_a_handler_wants_and_no_longer_when_it_is_removed(
    make_stream: MakeStream,
) -> None:
    stream, engine, page = make_stream()
    heard = Heard()
    assert wanted(page) == []
    assert stream.add_event_handler(heard, "wheel", "pointer_down") is heard

    @stream.add_event_handler("key_down")
    def pressed(_event: Event) -> None:
        """Do nothing."""

    assert wanted(page) == ["pointer_down", "wheel", "key_down"]
    assert engine.handles[0].interactions[-1].events == wanted(page)  # for pages without a comm
    stream.remove_event_handler(pressed)
    stream.remove_event_handler(heard, "wheel")
    assert wanted(page) == ["pointer_down"]
    stream.add_event_handler(heard, "*")
    assert len(wanted(page)) == 14
    stream.remove_event_handler(heard)
    assert wanted(page) == []


def test_source_with_a_context_is_told_the_room_of_its_views_and_no_handler_is_called_for_it(
    make_stream: MakeStream,
) -> None:
    stream, _, page = make_stream(lambda context: torch.zeros(8, 8))
    assert wanted(page) == ["resize"]
    happen(page, "resize", width=101, height=50, ratio=2)
    assert stream.use_frame_contexts().size == (202, 100)
    assert not [each for each in threading.enumerate() if each.name == "gpuview-handlers"]
    assert [each["type"] for each in stream.use_frame_contexts().next().events] == ["resize"]


def test_event_says_which_element_of_the_tensor_is_under_the_pointer(
    make_stream: MakeStream,
) -> None:
    stream, engine, page = make_stream()
    engine.views("v1")
    stream.push(torch.rand(40, 80))
    heard = Heard()
    stream.add_event_handler(heard, "pointer_down")
    happen(page, "pointer_down", u=0.5, v=0.25, touches=[Touch(id=1, x=0, y=0, pressure=1)])
    event, thread = heard.next()
    assert event["pixel"] == (10, 40)
    assert (event["view"], event["panel"], event["tile"]) == ("v1", None, 0)
    assert thread.name == "gpuview-handlers"
    happen(page, "pointer_move", u=0.5, v=0.5)  # nobody wants it
    happen(page, "pointer_down", u=1.5, v=0.25)  # outside
    assert heard.next()[0]["pixel"] is None
    assert heard.events.empty()


def test_handlers_run_between_frames_on_the_thread_that_polls_the_source(
    make_stream: MakeStream,
) -> None:
    is_making = threading.Event()
    makers: set[threading.Thread] = set()
    faults: list[str] = []

    def source() -> torch.Tensor:
        is_making.set()
        makers.add(threading.current_thread())
        is_making.clear()
        return torch.rand(16, 16)

    stream, engine, page = make_stream(source, fps=1)
    heard = Heard()

    @stream.add_event_handler("pointer_down")
    def hear(event: Event) -> None:
        if is_making.is_set():
            faults.append("a frame is being made")
        heard(event)

    engine.views("v1")
    engine.handles[0].wait_for(1)
    for x in range(20):
        happen(page, "pointer_down", x=x)
    threads = set()
    for x in range(20):
        event, thread = heard.next()
        threads.add(thread)
        assert event["x"] == x
    assert threads == makers
    assert not faults


def test_handler_that_blocks_is_named_and_the_source_goes_on(make_stream: MakeStream) -> None:
    stream, engine, page = make_stream(lambda: torch.rand(16, 16), fps=100)
    gate = threading.Event()
    stream.add_event_handler(lambda event: gate.wait(WAIT_S), "pointer_down")
    engine.views("v1")
    engine.handles[0].wait_for(1)
    happen(page, "pointer_down")
    wait_until(
        lambda: "the handler <lambda> of pointer_down has" in stream.status.get("hint", ""), "slow"
    )
    engine.handles[0].wait_for(engine.handles[0].frames_pushed + 10)
    assert stream.status["state"] == "live"
    gate.set()
    wait_until(lambda: "hint" in stream.status and stream.status["hint"] == "", "no longer slow")


def test_error_of_a_handler_is_shown_and_ends_nothing(
    make_stream: MakeStream, caplog: pytest.LogCaptureFixture
) -> None:
    stream, _, page = make_stream()
    stream.push(torch.rand(16, 16))
    heard = Heard()

    @stream.add_event_handler("pointer_down")
    def fail(event: Event) -> None:
        raise SystemExit("enough") if event["x"] else ZeroDivisionError("of all things")

    stream.add_event_handler(heard, "pointer_down")
    happen(page, "pointer_down")
    heard.next()
    problem = "the handler fail of pointer_down raised ZeroDivisionError: of all things"
    wait_until(lambda: stream.status.get("problem") == problem, "it is shown")
    assert (stream.status["state"], stream.status["part"]) == ("error", "handler")
    assert "ZeroDivisionError" in caplog.text
    happen(page, "pointer_down", x=1)
    heard.next()
    stream.push(torch.rand(16, 16))
    stream.remove_event_handler(fail)
    assert stream.status["state"] == "live"


@pytest.mark.parametrize(
    "arguments", [(), (print,), (print, "click"), ("click",), (7, "wheel"), (None, "wheel")]
)
def test_what_is_no_handler_or_no_event_raises(
    make_stream: MakeStream, arguments: tuple[Any, ...]
) -> None:
    stream, _, page = make_stream()
    with pytest.raises(SettingsError):
        stream.add_event_handler(*arguments)(print)
    assert wanted(page) == []


class TestKnobs:
    def test_knob_is_told_to_the_pages_and_moves_both_ways(self, make_stream: MakeStream) -> None:
        stream, engine, page = make_stream()
        lr = stream.slider("lr", 1e-5, 1e-1, value=1e-3, log=True)
        noise = stream.toggle("noise")
        stream.choice("mode", ["a", "b"])
        stream.button("go")
        expected = {"lr": 1e-3, "noise": False, "mode": "a", "go": 0}
        wait_until(lambda: knobs(page) == expected, "the pages have the knobs")
        say(page, SetKnob(view="v1", name="lr", value=0.05))
        assert lr.value == 0.05
        noise.value = True
        wait_until(lambda: (knobs(page)["lr"], knobs(page)["noise"]) == (0.05, True), "they move")
        assert engine.handles[0].interactions[-1].knobs[0].value == 0.05

    def test_values_set_in_a_loop_are_told_now_and_then(self, make_stream: MakeStream) -> None:
        stream, _, page = make_stream()
        knob = stream.slider("n", 0, 100_000)
        for n in range(10_000):
            knob.value = n
        wait_until(lambda: knobs(page).get("n") == 9999, "the newest value is told")
        assert len(page.updates("interaction")) < 1000

    @pytest.mark.parametrize(
        ("name", "value"), [("lr", 7), ("lr", "x"), ("lr", [0.01]), ("lr", True), ("other", 1)]
    )
    def test_value_of_a_page_that_a_knob_cannot_have_is_refused_and_counted(
        self, make_stream: MakeStream, name: str, value: Any
    ) -> None:
        stream, _, page = make_stream()
        lr = stream.slider("lr", 1e-5, 1e-1, value=1e-3, log=True)
        wait_until(lambda: "lr" in knobs(page), "the page has the knob")
        for _ in range(3):
            say(page, SetKnob(view="v1", name=name, value=value))
        assert lr.value == 1e-3
        assert stream._interaction.knobs.n_refused == 3
        assert knobs(page) == {"lr": 1e-3}

    def test_two_of_one_name_and_too_many_raise(self, make_stream: MakeStream) -> None:
        stream, _, _ = make_stream()
        stream.slider("lr", 0.0, 1.0)
        with pytest.raises(SettingsError, match="a knob 'lr' already"):
            stream.button("lr")
        options = [f"{n} {'x' * 240}" for n in range(250)]
        stream.choice("many", options)
        with pytest.raises(SettingsError, match="no room for the knob 'more'"):
            stream.choice("more", options)

    def test_functions_get_the_newest_value_and_each_press(self, make_stream: MakeStream) -> None:
        stream, _, page = make_stream()
        values: queue.Queue[Any] = queue.Queue()
        lr = stream.slider("lr", 0.0, 1.0)
        assert lr.on_change(values.put) == values.put
        lr.value = 0.5
        assert values.get(timeout=WAIT_S) == 0.5
        lr.value = 0.5  # no change
        stream.button("go").on_change(values.put)
        for _ in range(3):
            say(page, SetKnob(view="v1", name="go", value=1))
        assert [values.get(timeout=WAIT_S) for _ in range(3)] == [1, 2, 3]

    def test_saved_output_has_the_values_as_text(self, make_stream: MakeStream) -> None:
        stream, _, _ = make_stream()
        stream.push(torch.rand(16, 16))
        stream.slider("lr", 1e-5, 1e-1, value=1e-3, log=True)
        stream.toggle("<b>noise</b>", True)
        data, _ = stream._repr_mimebundle_()
        assert data["text/plain"].endswith("; lr = 0.001, <b>noise</b> = on")


def test_closed_stream_hears_nothing_more(make_stream: MakeStream) -> None:
    stream, _, page = make_stream()
    heard = Heard()
    stream.add_event_handler(heard, "pointer_down")
    knob = stream.slider("lr", 0.0, 1.0)
    stream.close()
    happen(page, "pointer_down")
    say(page, SetKnob(view="v1", name="lr", value=0.5))
    knob.value = 0.25
    assert heard.events.empty()
    assert knob.value == 0.25


def test_new_media_process_is_told_what_views_may_say(make_stream: MakeStream) -> None:
    stream, engine, _ = make_stream()
    stream.add_event_handler(print, "wheel")
    told = engine.handles[0].interactions
    told.clear()
    engine.tell("process_started", 2)
    assert [each.events for each in told] == [["wheel"]]
