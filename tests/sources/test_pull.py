"""The thread that asks for frames."""

import queue
import sys
import threading
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import FrameError, MediaError
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.sources.pull import PullSource, next_due, quick_switching

TIMEOUT_S = 30


# --- next_due ----------------------------------------------------------------------------------


def test_a_frame_in_time_is_followed_a_period_later():
    assert next_due(now=10.3, due=10, period=1) == 11


def test_a_late_frame_does_not_move_the_grid():
    assert next_due(now=11.4, due=10, period=1) == 11


def test_at_most_one_missed_frame_is_made_up_for():
    assert next_due(now=15.5, due=10, period=1) == 15


@given(due=st.integers(0, 10**6), late=st.integers(0, 10**4), period=st.integers(1, 10**3))
def test_due_times_stay_on_the_grid_and_never_fall_further_behind(due, late, period):
    after = next_due(due + late, due, period)

    assert (after - due) % period == 0
    assert after > due
    assert after > due + late - period


# --- quick_switching ---------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def switch_interval():
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_the_switch_interval_is_short_only_inside():
    with quick_switching():
        assert sys.getswitchinterval() == pytest.approx(0.001)

    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_the_last_of_several_threads_restores_the_switch_interval():
    outer, inner = quick_switching(), quick_switching()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.001)

    inner.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_a_switch_interval_that_somebody_set_meanwhile_stays():
    with quick_switching():
        sys.setswitchinterval(0.02)

    assert sys.getswitchinterval() == pytest.approx(0.02)


def test_a_shorter_switch_interval_is_not_lengthened():
    sys.setswitchinterval(0.0002)
    before = sys.getswitchinterval()

    with quick_switching():
        assert sys.getswitchinterval() == before


@given(microseconds=st.integers(1, 100_000))
def test_the_switch_interval_is_restored_to_the_microsecond(microseconds):
    sys.setswitchinterval(microseconds * 1e-6)
    before = sys.getswitchinterval()

    with quick_switching():
        pass

    assert sys.getswitchinterval() == before


# --- PullSource --------------------------------------------------------------------------------


class Bench:
    """Runs a PullSource and collects what comes out of it."""

    def __init__(self) -> None:
        self.frames: queue.Queue[object] = queue.Queue()
        self.told: queue.Queue[object] = queue.Queue()
        self.source: PullSource | None = None

    def start(self, pull, push=None, *, fps: float = 1000, is_watched: bool = True) -> PullSource:
        self.source = PullSource(
            pull,
            push or self.frames.put,
            fps=fps,
            errors=ErrorReporter(self.told.put, lambda: self.told.put("recovered")),
        )
        self.source.watch(is_watched)
        return self.source

    def frame(self) -> object:
        return self.frames.get(timeout=TIMEOUT_S)

    def news(self) -> object:
        return self.told.get(timeout=TIMEOUT_S)


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    if bench.source is not None:
        bench.source.close()
        assert not bench.source._thread.is_alive()


def test_frames_are_made_one_after_the_other(bench):
    bench.start(iter(range(1000)).__next__)

    assert [bench.frame() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_nothing_is_made_before_somebody_watches(bench):
    asked = threading.Event()
    source = bench.start(asked.set, is_watched=False)
    source.close()

    assert not asked.is_set()


def test_the_first_frame_is_made_at_once_each_time_watching_begins(bench):
    source = bench.start(iter(range(9)).__next__, fps=1e-6)
    assert bench.frame() == 0

    stop_watching(source)
    source.watch(True)

    assert bench.frame() == 1


def test_nothing_is_made_once_nobody_watches(bench):
    made = iter(range(10**9))
    source = bench.start(made.__next__)
    bench.frame()
    stop_watching(source)

    count = bench.frames.qsize()
    source.close()
    assert bench.frames.qsize() == count


def stop_watching(source: PullSource) -> None:
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


def test_frames_are_made_in_inference_mode_and_with_a_short_switch_interval(bench):
    bench.start(lambda: (torch.is_inference_mode_enabled(), sys.getswitchinterval()))

    assert bench.frame() == (True, pytest.approx(0.001))


def test_an_error_of_the_source_is_told_once_and_its_recovery_too(bench):
    states = iter([ValueError("no weights\nat all"), ValueError("no weights\nat all"), None])
    cause = None

    def pull():
        nonlocal cause
        state = next(states, None)
        if state is not None:
            cause = cause or state
            raise state
        return "a frame"

    bench.start(pull)

    error = bench.news()
    assert isinstance(error, FrameError)
    assert error.problem == "the source raised ValueError: no weights at all"
    assert error.__cause__ is cause
    assert bench.frame() == "a frame"
    assert bench.news() == "recovered"
    assert bench.told.empty()


def test_another_error_is_told_as_well(bench):
    errors = iter([KeyError("a"), KeyError("b")])

    def pull():
        raise next(errors, KeyError("b"))

    source = bench.start(pull)

    assert bench.news().problem == "the source raised KeyError: 'a'"
    assert bench.news().problem == "the source raised KeyError: 'b'"
    assert repr(source) == "<PullSource failing fps=1000>"


def test_an_error_without_a_message_is_named(bench):
    def pull():
        raise RuntimeError

    bench.start(pull)

    assert bench.news().problem == "the source raised RuntimeError"


def test_an_error_of_our_own_is_told_as_it_is(bench):
    full = MediaError("no memory", expected="some", fix="free some")

    def push(_):
        raise full

    bench.start(lambda: None, push)

    assert bench.news() is full


def test_the_thread_ends_quietly_after_the_last_frame(bench):
    source = bench.start(iter(["only one"]).__next__)

    assert bench.frame() == "only one"
    source._thread.join(TIMEOUT_S)
    assert repr(source) == "<PullSource ended fps=1000>"
    assert bench.told.empty()


def test_a_source_may_close_the_stream_that_pulls_it(bench):
    closed = threading.Event()

    def pull():
        bench.source.close()
        closed.set()

    bench.start(pull)

    assert closed.wait(TIMEOUT_S)
    bench.source._thread.join(TIMEOUT_S)
    assert not bench.source._thread.is_alive()


def test_a_source_that_is_at_its_end_before_its_first_frame_is_told(bench):
    source = bench.start(iter([]).__next__)

    assert bench.news().problem == "the source is at its end and gave no frame"
    source._thread.join(TIMEOUT_S)
    assert repr(source) == "<PullSource ended fps=1000>"


def test_a_generator_that_raises_keeps_its_reason_although_it_is_at_its_end(bench):
    def frames():
        raise ValueError("no camera")
        yield

    source = bench.start(frames().__next__)
    source._thread.join(TIMEOUT_S)

    assert bench.news().problem == "the source raised ValueError: no camera"
    assert bench.told.empty()


def test_an_error_that_was_told_keeps_nothing_of_the_source_alive(bench):
    made = []

    def pull():
        tensor = torch.zeros(4)
        made.append(weakref.ref(tensor))
        raise MemoryError

    source = bench.start(pull)
    bench.news()
    source.close()

    assert made[0]() is None


def test_the_thread_outlives_whoever_cannot_be_told(bench, caplog):
    def tell(error):
        raise OSError("the kernel has gone")

    states = iter([ValueError("no camera")])

    def pull():
        for error in states:
            raise error
        return "a frame"

    bench.told.put = tell
    bench.start(pull)

    assert bench.frame() == "a frame"
    assert "the kernel has gone" in caplog.text


def test_closing_does_not_wait_for_a_source_that_hangs(bench):
    entered, release = threading.Event(), threading.Event()

    def pull():
        entered.set()
        assert release.wait(TIMEOUT_S)

    source = bench.start(pull)
    assert entered.wait(TIMEOUT_S)
    source.close()
    is_hanging = source._thread.is_alive()
    release.set()
    source._thread.join(TIMEOUT_S)

    assert is_hanging


def test_how_long_the_source_took_is_known(bench):
    source = bench.start(lambda: "a frame", is_watched=False)
    assert source.source_ms is None
    source.watch(True)
    bench.frame()

    assert source.source_ms >= 0


# --- ask ---------------------------------------------------------------------------------------


def test_the_first_frame_can_be_asked_for_in_the_callers_thread(bench):
    def pull():
        return threading.current_thread(), torch.is_inference_mode_enabled()

    source = bench.start(pull, is_watched=False)
    source.ask()

    assert bench.frame() == (threading.current_thread(), True)


def test_a_source_is_not_asked_again_when_it_has_given_a_frame(bench):
    source = bench.start(iter(range(9)).__next__, is_watched=False)
    source.ask()
    source.ask()

    assert bench.frames.qsize() == 1


def test_a_source_is_asked_by_one_thread_at_a_time(bench):
    entered, release = threading.Event(), threading.Event()

    def pull():
        entered.set()
        assert release.wait(TIMEOUT_S)
        return "a frame"

    source = bench.start(pull, fps=1e-6)
    assert entered.wait(TIMEOUT_S)
    asking = threading.Thread(target=source.ask)
    asking.start()
    release.set()
    asking.join(TIMEOUT_S)

    assert bench.frame() == "a frame"
    assert bench.frames.empty()


def test_who_asks_a_source_that_hangs_is_told_so(bench):
    entered, release = threading.Event(), threading.Event()

    def pull():
        entered.set()
        assert release.wait(TIMEOUT_S)

    source = bench.start(pull)
    assert entered.wait(TIMEOUT_S)
    try:
        with pytest.raises(FrameError, match="the source is still busy with its first frame"):
            source.ask()
    finally:
        release.set()


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ValueError("no weights"), "the source raised ValueError: no weights"),
        (StopIteration(), "the source is at its end and gave no frame"),
        (FrameError("too odd", expected="an even one", fix="crop it"), "too odd"),
    ],
)
def test_what_a_source_raises_is_raised_where_it_is_asked(bench, error, problem):
    def pull():
        raise error

    source = bench.start(pull, is_watched=False)

    with pytest.raises(FrameError, match=problem):
        source.ask()
    assert bench.told.empty()
