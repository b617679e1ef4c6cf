"""The thread that polls a source for frames."""

import queue
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest
import torch

from gpuview.errors import FrameError, MediaError
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.sources import poll
from gpuview.sources.poll import Poller
from tests.sources.recorder import TIMEOUT_S, Recorder
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


class PollHarness(Recorder):
    """Runs one Poller."""

    source: Poller | None = None

    def start(self, next_frame, push=None, *, fps: float = 1000, is_watched: bool = True) -> Poller:
        self.source = Poller(next_frame, push or self.frames.put, fps=fps, errors=self.errors)
        self.source.watch(is_watched)
        return self.source


@pytest.fixture
def harness() -> Iterator[PollHarness]:
    harness = PollHarness()
    yield harness
    if harness.source is not None:
        harness.source.close()
        assert not polling()


def test_frames_are_made_one_after_the_other(harness):
    harness.start(iter(range(1000)).__next__)

    assert [harness.frame() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_nothing_is_made_before_somebody_watches(harness):
    polled = threading.Event()
    source = harness.start(polled.set, is_watched=False)
    source.close()

    assert not polled.is_set()


def test_the_first_frame_is_made_at_once_each_time_watching_begins(harness):
    source = harness.start(iter(range(9)).__next__, fps=1e-6)
    assert harness.frame() == 0

    stop_watching(source)
    source.watch(True)

    assert harness.frame() == 1


def test_nothing_is_made_once_nobody_watches(harness):
    made = iter(range(10**9))
    source = harness.start(made.__next__)
    harness.frame()
    stop_watching(source)

    assert not polling()
    count = harness.frames.qsize()
    source.close()
    assert harness.frames.qsize() == count


def test_no_thread_is_there_before_somebody_watches_or_after_the_last_frame(harness):
    source = harness.start(iter(["only one"]).__next__, is_watched=False)
    assert not polling()
    source.watch(True)
    harness.frame()
    wait_for_end()
    source.watch(False)
    source.watch(True)

    assert not polling()


def test_another_rate_holds_at_once_however_long_the_wait_was_to_be(harness):
    source = harness.start(iter(range(9)).__next__, fps=1e-12)
    assert harness.frame() == 0

    source.set_fps(1000)

    assert [harness.frame() for _ in range(3)] == [1, 2, 3]
    assert repr(source) == "<Poller watched fps=1000>"


def test_a_click_is_shown_at_once_however_long_the_wait_was_to_be(harness):
    source = harness.start(iter(range(9)).__next__, fps=1e-6)
    assert harness.frame() == 0

    assert source.wake()

    assert harness.frame() == 1


def stop_watching(source: Poller) -> None:
    """Return once the thread has seen that nobody watches, and has ended."""
    source.watch(False)
    wait_for_end()


def polling() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "gpuview-source"]


def wait_for_end() -> None:
    for thread in polling():
        thread.join(TIMEOUT_S)


def test_frames_are_made_in_torchs_usual_mode_and_with_a_short_switch_interval(harness):
    harness.start(lambda: (torch.zeros(1, requires_grad=True) + 1, sys.getswitchinterval()))

    made, interval = harness.frame()
    assert made.requires_grad
    assert not made.is_inference()
    assert interval == pytest.approx(0.0002)


def test_an_error_of_the_source_and_its_recovery_are_reported_once(harness):
    states = iter([ValueError("no weights\nat all"), ValueError("no weights\nat all"), None])
    cause = None

    def next_frame():
        nonlocal cause
        state = next(states, None)
        if state is not None:
            cause = cause or state
            raise state
        return "a frame"

    harness.start(next_frame)

    error = harness.report()
    assert isinstance(error, FrameError)
    assert error.problem == "the source raised ValueError: no weights at all"
    assert error.__cause__ is cause
    assert harness.frame() == "a frame"
    assert harness.report() == "recovered"
    assert harness.reports.empty()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_the_thread_outlives_whatever_the_source_raises(harness, kind):
    errors = iter([kind("stop")])

    def next_frame():
        for error in errors:
            raise error
        return "a frame"

    harness.start(next_frame)

    assert harness.report().problem == f"the source raised {kind.__name__}: stop"
    assert harness.frame() == "a frame"
    assert harness.report() == "recovered"


def test_a_different_error_is_reported_as_well(harness):
    errors = iter([KeyError("a"), KeyError("b")])

    def next_frame():
        raise next(errors, KeyError("b"))

    source = harness.start(next_frame)

    assert harness.report().problem == "the source raised KeyError: 'a'"
    assert harness.report().problem == "the source raised KeyError: 'b'"
    assert repr(source) == "<Poller failing fps=1000>"


def test_an_error_without_a_message_is_named(harness):
    def next_frame():
        raise RuntimeError

    harness.start(next_frame)

    assert harness.report().problem == "the source raised RuntimeError"


def test_a_gpuview_error_is_reported_unchanged(harness):
    full = MediaError("no memory", expected="some", fix="free some")

    def push(_):
        raise full

    harness.start(lambda: None, push)

    assert harness.report() is full


def test_the_thread_ends_quietly_after_the_last_frame(harness):
    source = harness.start(iter(["only one"]).__next__)

    assert harness.frame() == "only one"
    wait_for_end()
    assert repr(source) == "<Poller ended fps=1000>"
    assert harness.reports.empty()


def test_a_source_may_close_the_stream_that_polls_it(harness):
    closed = threading.Event()

    def next_frame():
        harness.source.close()
        closed.set()

    harness.start(next_frame)

    assert closed.wait(TIMEOUT_S)
    wait_for_end()
    assert not polling()


def test_a_source_that_ends_before_its_first_frame_is_reported(harness):
    source = harness.start(iter([]).__next__)

    assert harness.report().problem == "the source ended before its first frame"
    wait_for_end()
    assert repr(source) == "<Poller ended fps=1000>"


def test_a_generator_that_raises_is_reported_with_its_own_error(harness):
    def frames():
        raise ValueError("no camera")
        yield

    harness.start(frames().__next__)
    wait_for_end()

    assert harness.report().problem == "the source raised ValueError: no camera"
    assert harness.reports.empty()


def test_a_reported_error_keeps_no_tensor_of_the_source_alive(harness):
    made = []

    def next_frame():
        tensor = torch.zeros(4)
        made.append(weakref.ref(tensor))
        raise MemoryError

    source = harness.start(next_frame)
    harness.report()
    source.close()

    assert made[0]() is None


def test_the_thread_outlives_a_listener_that_fails(harness, caplog):
    def fail(error):
        raise OSError("the kernel has gone")

    states = iter([ValueError("no camera")])

    def next_frame():
        for error in states:
            raise error
        return "a frame"

    harness.reports.put = fail
    harness.start(next_frame)

    assert harness.frame() == "a frame"
    assert "the kernel has gone" in caplog.text


def test_closing_does_not_wait_for_a_source_that_hangs(harness):
    entered, release = threading.Event(), threading.Event()

    def next_frame():
        entered.set()
        assert release.wait(TIMEOUT_S)

    source = harness.start(next_frame)
    assert entered.wait(TIMEOUT_S)
    source.close()
    is_hanging = bool(polling())
    release.set()
    wait_for_end()

    assert is_hanging


def test_closing_interrupts_a_source_that_can_be_interrupted():
    recorder, entered, interrupted = Recorder(), threading.Event(), threading.Event()

    def next_frame():
        entered.set()
        assert interrupted.wait(TIMEOUT_S)

    source = Poller(next_frame, recorder.keep, interrupted.set, fps=1, errors=recorder.errors)
    source.watch(True)
    assert entered.wait(TIMEOUT_S)
    source.close()

    assert not polling()


def test_the_time_that_the_source_took_is_measured(harness):
    source = harness.start(lambda: "a frame", is_watched=False)
    assert source.source_ms is None
    source.watch(True)
    harness.frame()

    assert source.source_ms >= 0


# --- ensure_frame --------------------------------------------------------------------------------


def test_the_first_frame_can_be_made_in_the_callers_thread(harness):
    source = harness.start(threading.current_thread, is_watched=False)
    source.ensure_frame()

    assert harness.frame() is threading.current_thread()


def test_a_source_that_has_made_a_frame_is_not_called_again(harness):
    source = harness.start(iter(range(9)).__next__, is_watched=False)
    source.ensure_frame()
    source.ensure_frame()

    assert harness.frames.qsize() == 1


def test_a_source_is_called_by_one_thread_at_a_time(harness):
    entered, release = threading.Event(), threading.Event()

    def next_frame():
        entered.set()
        assert release.wait(TIMEOUT_S)
        return "a frame"

    source = harness.start(next_frame, fps=1e-6)
    assert entered.wait(TIMEOUT_S)
    caller = threading.Thread(target=source.ensure_frame)
    caller.start()
    release.set()
    caller.join(TIMEOUT_S)

    assert harness.frame() == "a frame"
    assert harness.frames.empty()


def test_a_first_frame_that_takes_too_long_raises(harness, monkeypatch):
    monkeypatch.setattr(poll, "_PATIENCE_S", 0.1)
    entered, release = threading.Event(), threading.Event()

    def next_frame():
        entered.set()
        assert release.wait(TIMEOUT_S)

    source = harness.start(next_frame)
    assert entered.wait(TIMEOUT_S)
    try:
        with pytest.raises(FrameError, match="the source is still busy with its first frame"):
            source.ensure_frame()
    finally:
        release.set()


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ValueError("no weights"), "the source raised ValueError: no weights"),
        (SystemExit(1), "the source raised SystemExit: 1"),
        (StopIteration(), "the source ended before its first frame"),
        (FrameError("too odd", expected="an even one", fix="crop it"), "too odd"),
    ],
)
def test_an_error_of_the_first_frame_is_raised_in_the_callers_thread(harness, error, problem):
    def next_frame():
        raise error

    source = harness.start(next_frame, is_watched=False)

    with pytest.raises(FrameError, match=problem):
        source.ensure_frame()
    assert harness.reports.empty()


def test_the_users_interrupt_ends_the_first_frame(harness):
    def next_frame():
        raise KeyboardInterrupt

    source = harness.start(next_frame, is_watched=False)

    with pytest.raises(KeyboardInterrupt):
        source.ensure_frame()


def test_what_waits_between_frames_is_called_on_the_thread_at_once() -> None:
    called: queue.Queue[threading.Thread] = queue.Queue()
    makers: set[threading.Thread] = set()

    def source() -> int:
        makers.add(threading.current_thread())
        return 0

    poller = Poller(
        source,
        lambda frame: None,
        fps=0.01,
        errors=ErrorReporter(lambda error: None, lambda: None),
        between=lambda: called.put(threading.current_thread()),
    )
    assert not poller.wake()
    poller.watch(True)
    wait_until(lambda: makers, "the first frame is made")
    assert poller.wake()  # the next frame is due in a hundred seconds
    assert called.get(timeout=30) in makers
    poller.close()
    assert not poller.wake()


def test_frames_go_on_while_what_is_called_between_them_does_not_return() -> None:
    gate, is_in = threading.Event(), threading.Event()
    frames: queue.Queue[threading.Thread] = queue.Queue()

    def between() -> None:
        is_in.set()
        gate.wait(30)

    poller = Poller(
        lambda: 0,
        lambda frame: frames.put(threading.current_thread()),
        fps=200,
        errors=ErrorReporter(lambda error: None, lambda: None),
        between=between,
    )
    poller.watch(True)
    first = frames.get(timeout=30)
    poller.wake()
    assert is_in.wait(30)
    poller.go_on()
    wait_until(lambda: frames.get(timeout=30) is not first, "another thread makes frames")
    gate.set()
    first.join(30)
    assert not first.is_alive()
    assert frames.get(timeout=30) is not first
    poller.close()
