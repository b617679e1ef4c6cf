"""The thread that polls a source for frames."""

import sys
import threading
import weakref
from collections.abc import Iterator

import pytest
import torch

from gpuview.errors import FrameError, MediaError
from gpuview.sources.poll import Poller
from tests.sources.recorder import TIMEOUT_S, Recorder


@pytest.fixture(autouse=True)
def switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


class Rig(Recorder):
    """Runs one Poller."""

    source: Poller | None = None

    def start(self, next_frame, push=None, *, fps: float = 1000, is_watched: bool = True) -> Poller:
        self.source = Poller(next_frame, push or self.frames.put, fps=fps, errors=self.errors)
        self.source.watch(is_watched)
        return self.source


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    if rig.source is not None:
        rig.source.close()
        assert not rig.source._thread.is_alive()


def test_frames_are_made_one_after_the_other(rig):
    rig.start(iter(range(1000)).__next__)

    assert [rig.frame() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_nothing_is_made_before_somebody_watches(rig):
    polled = threading.Event()
    source = rig.start(polled.set, is_watched=False)
    source.close()

    assert not polled.is_set()


def test_the_first_frame_is_made_at_once_each_time_watching_begins(rig):
    source = rig.start(iter(range(9)).__next__, fps=1e-6)
    assert rig.frame() == 0

    stop_watching(source)
    source.watch(True)

    assert rig.frame() == 1


def test_nothing_is_made_once_nobody_watches(rig):
    made = iter(range(10**9))
    source = rig.start(made.__next__)
    rig.frame()
    stop_watching(source)

    count = rig.frames.qsize()
    source.close()
    assert rig.frames.qsize() == count


def stop_watching(source: Poller) -> None:
    """Return once the thread has seen that nobody watches: then it waits without a timeout."""
    idle = threading.Event()
    wait_for = source._changed.wait_for

    def announced(predicate, timeout=None):
        if timeout is None:
            idle.set()
        return wait_for(predicate, timeout)

    source._changed.wait_for = announced
    source.watch(False)
    assert idle.wait(TIMEOUT_S)


def test_frames_are_made_in_inference_mode_and_with_a_short_switch_interval(rig):
    rig.start(lambda: (torch.is_inference_mode_enabled(), sys.getswitchinterval()))

    assert rig.frame() == (True, pytest.approx(0.001))


def test_an_error_of_the_source_and_its_recovery_are_reported_once(rig):
    states = iter([ValueError("no weights\nat all"), ValueError("no weights\nat all"), None])
    cause = None

    def next_frame():
        nonlocal cause
        state = next(states, None)
        if state is not None:
            cause = cause or state
            raise state
        return "a frame"

    rig.start(next_frame)

    error = rig.report()
    assert isinstance(error, FrameError)
    assert error.problem == "the source raised ValueError: no weights at all"
    assert error.__cause__ is cause
    assert rig.frame() == "a frame"
    assert rig.report() == "recovered"
    assert rig.reports.empty()


def test_a_different_error_is_reported_as_well(rig):
    errors = iter([KeyError("a"), KeyError("b")])

    def next_frame():
        raise next(errors, KeyError("b"))

    source = rig.start(next_frame)

    assert rig.report().problem == "the source raised KeyError: 'a'"
    assert rig.report().problem == "the source raised KeyError: 'b'"
    assert repr(source) == "<Poller failing fps=1000>"


def test_an_error_without_a_message_is_named(rig):
    def next_frame():
        raise RuntimeError

    rig.start(next_frame)

    assert rig.report().problem == "the source raised RuntimeError"


def test_a_gpuview_error_is_reported_unchanged(rig):
    full = MediaError("no memory", expected="some", fix="free some")

    def push(_):
        raise full

    rig.start(lambda: None, push)

    assert rig.report() is full


def test_the_thread_ends_quietly_after_the_last_frame(rig):
    source = rig.start(iter(["only one"]).__next__)

    assert rig.frame() == "only one"
    source._thread.join(TIMEOUT_S)
    assert repr(source) == "<Poller ended fps=1000>"
    assert rig.reports.empty()


def test_a_source_may_close_the_stream_that_polls_it(rig):
    closed = threading.Event()

    def next_frame():
        rig.source.close()
        closed.set()

    rig.start(next_frame)

    assert closed.wait(TIMEOUT_S)
    rig.source._thread.join(TIMEOUT_S)
    assert not rig.source._thread.is_alive()


def test_a_source_that_ends_before_its_first_frame_is_reported(rig):
    source = rig.start(iter([]).__next__)

    assert rig.report().problem == "the source ended before its first frame"
    source._thread.join(TIMEOUT_S)
    assert repr(source) == "<Poller ended fps=1000>"


def test_a_generator_that_raises_is_reported_with_its_own_error(rig):
    def frames():
        raise ValueError("no camera")
        yield

    source = rig.start(frames().__next__)
    source._thread.join(TIMEOUT_S)

    assert rig.report().problem == "the source raised ValueError: no camera"
    assert rig.reports.empty()


def test_a_reported_error_keeps_no_tensor_of_the_source_alive(rig):
    made = []

    def next_frame():
        tensor = torch.zeros(4)
        made.append(weakref.ref(tensor))
        raise MemoryError

    source = rig.start(next_frame)
    rig.report()
    source.close()

    assert made[0]() is None


def test_the_thread_outlives_a_listener_that_fails(rig, caplog):
    def fail(error):
        raise OSError("the kernel has gone")

    states = iter([ValueError("no camera")])

    def next_frame():
        for error in states:
            raise error
        return "a frame"

    rig.reports.put = fail
    rig.start(next_frame)

    assert rig.frame() == "a frame"
    assert "the kernel has gone" in caplog.text


def test_closing_does_not_wait_for_a_source_that_hangs(rig):
    entered, release = threading.Event(), threading.Event()

    def next_frame():
        entered.set()
        assert release.wait(TIMEOUT_S)

    source = rig.start(next_frame)
    assert entered.wait(TIMEOUT_S)
    source.close()
    is_hanging = source._thread.is_alive()
    release.set()
    source._thread.join(TIMEOUT_S)

    assert is_hanging


def test_the_time_that_the_source_took_is_measured(rig):
    source = rig.start(lambda: "a frame", is_watched=False)
    assert source.source_ms is None
    source.watch(True)
    rig.frame()

    assert source.source_ms >= 0


# --- ensure_frame --------------------------------------------------------------------------------


def test_the_first_frame_can_be_made_in_the_callers_thread(rig):
    def next_frame():
        return threading.current_thread(), torch.is_inference_mode_enabled()

    source = rig.start(next_frame, is_watched=False)
    source.ensure_frame()

    assert rig.frame() == (threading.current_thread(), True)


def test_a_source_that_has_made_a_frame_is_not_called_again(rig):
    source = rig.start(iter(range(9)).__next__, is_watched=False)
    source.ensure_frame()
    source.ensure_frame()

    assert rig.frames.qsize() == 1


def test_a_source_is_called_by_one_thread_at_a_time(rig):
    entered, release = threading.Event(), threading.Event()

    def next_frame():
        entered.set()
        assert release.wait(TIMEOUT_S)
        return "a frame"

    source = rig.start(next_frame, fps=1e-6)
    assert entered.wait(TIMEOUT_S)
    caller = threading.Thread(target=source.ensure_frame)
    caller.start()
    release.set()
    caller.join(TIMEOUT_S)

    assert rig.frame() == "a frame"
    assert rig.frames.empty()


def test_a_first_frame_that_takes_too_long_raises(rig):
    entered, release = threading.Event(), threading.Event()

    def next_frame():
        entered.set()
        assert release.wait(TIMEOUT_S)

    source = rig.start(next_frame)
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
        (StopIteration(), "the source ended before its first frame"),
        (FrameError("too odd", expected="an even one", fix="crop it"), "too odd"),
    ],
)
def test_an_error_of_the_first_frame_is_raised_in_the_callers_thread(rig, error, problem):
    def next_frame():
        raise error

    source = rig.start(next_frame, is_watched=False)

    with pytest.raises(FrameError, match=problem):
        source.ensure_frame()
    assert rig.reports.empty()
