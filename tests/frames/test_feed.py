"""Frames between whoever gives them and the ring."""

import multiprocessing
import threading
from dataclasses import dataclass
from weakref import ref

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gpuview.errors import FrameError, MediaError, StreamClosedError
from gpuview.frames import feed
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.frames.feed import Feed
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.select import as_select
from gpuview.frames.picture.tensor_layout import Values
from gpuview.frames.snapshot import extremes, snapshot
from gpuview.protocol.pixel_format import PixelFormat
from tests.waiting import wait_until

TIMEOUT_S = 30


@dataclass
class Published:
    width: int
    height: int
    first_byte: int
    thread: threading.Thread


class Sink:
    """A ring that keeps all that is written to it. Its gate can be shut."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_waiting = threading.Event()
        self.n_released = 0
        self._changed = threading.Condition()
        self._slot = bytearray()

    def begin(self, nbytes: int) -> memoryview:
        if not self.gate.is_set():
            self.is_waiting.set()
            assert self.gate.wait(TIMEOUT_S)
        self._slot = bytearray(nbytes)
        return memoryview(self._slot)

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        with self._changed:
            self.published.append(
                Published(width, height, self._slot[0], threading.current_thread())
            )
            self._changed.notify_all()

    def release(self) -> None:
        with self._changed:
            self.n_released += 1
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.published) >= count, TIMEOUT_S)

    def wait_for_release(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.n_released > 0, TIMEOUT_S)

    def bytes(self) -> list[int]:
        return [each.first_byte for each in self.published]


def picture(value: int, side: int = 256) -> torch.Tensor:
    return torch.full((side, side, 3), value, dtype=torch.uint8)


class FeedHarness:
    def __init__(self) -> None:
        self.sink = Sink()
        self.told: list[object] = []
        self.has_told = threading.Event()
        self.feed = Feed(
            self.sink, Look(), ErrorReporter(self.tell, lambda: self.told.append("over"))
        )

    def tell(self, error: object) -> None:
        self.told.append(error)
        self.has_told.set()

    def dropped(self) -> dict[str, int]:
        return self.feed.stats().n_dropped


@pytest.fixture
def harness():
    harness = FeedHarness()
    yield harness
    harness.sink.gate.set()
    harness.feed.close()


def test_every_frame_is_read_while_somebody_watches(harness):
    harness.feed.watch(True)
    for value in range(3):
        harness.feed.push(picture(value))

    assert harness.sink.bytes() == [0, 1, 2]
    assert harness.dropped() == {}


def test_frames_are_kept_and_not_drawn_while_nobody_watches(harness):
    frames = [picture(value) for value in range(3)]
    for frame in frames:
        harness.feed.push(frame)

    assert harness.sink.bytes() == []
    assert harness.feed.frame() is frames[2]
    assert harness.dropped() == {"unwatched": 3}


def test_the_newest_kept_frame_is_read_on_another_thread_when_somebody_joins(harness):
    for value in range(3):
        harness.feed.push(picture(value))
    harness.feed.watch(True)
    harness.sink.wait_for(1)

    assert harness.sink.bytes() == [2]
    assert harness.sink.published[0].thread is not threading.current_thread()
    harness.feed.close()  # waits for the thread
    assert harness.dropped() == {"unwatched": 2}


def test_the_ring_is_freed_when_the_last_viewer_leaves_and_filled_for_the_next_one(harness):
    harness.feed.watch(True)
    harness.feed.push(picture(1))
    harness.feed.watch(False)
    harness.sink.wait_for_release()
    harness.feed.watch(True)
    harness.sink.wait_for(2)
    harness.feed.close()
    stats = harness.feed.stats()

    assert harness.sink.bytes() == [1, 1]
    assert (stats.n_pushed, stats.n_read, stats.n_dropped) == (1, 1, {})
    assert (stats.n_shown(n_taken=2), stats.n_dropped_with(n_taken=2)) == (1, {})


def test_a_frame_that_is_read_while_the_last_viewer_leaves_leaves_no_ring_behind(harness):
    harness.feed.watch(True)
    harness.sink.gate.clear()
    pushing = threading.Thread(target=harness.feed.push, args=(picture(1),))
    pushing.start()
    assert harness.sink.is_waiting.wait(TIMEOUT_S)
    harness.feed.watch(False)
    n_released_too_early = harness.sink.n_released
    harness.sink.gate.set()
    pushing.join()
    harness.sink.wait_for_release()

    assert n_released_too_early == 0
    assert harness.sink.bytes() == [1]


# --- a viewer that is expected -------------------------------------------------------------------


def test_the_newest_frame_is_in_the_ring_before_an_expected_viewer_comes(harness):
    harness.feed.push(picture(1))
    harness.feed.expect_viewer()
    assert harness.sink.bytes() == [1]  # at once: no thread may run after this
    harness.feed.push(picture(2))
    assert harness.sink.bytes() == [1, 2]

    harness.feed.watch(True)
    harness.feed.close()
    stats = harness.feed.stats()
    assert harness.sink.bytes() == [1, 2]
    assert (stats.n_read, stats.n_redrawn, stats.n_dropped) == (2, 0, {})


@pytest.mark.parametrize("comes_first", ["frame", "display"])
def test_an_expected_viewer_that_does_not_come_leaves_no_ring(harness, comes_first):
    acts = {"frame": lambda: harness.feed.push(picture(1)), "display": harness.feed.expect_viewer}
    for act in acts.values() if comes_first == "frame" else reversed(acts.values()):
        act()
    assert harness.sink.bytes() == [1]
    harness.feed._expected_until_s = 0.0  # the time is over
    harness.feed._background.wake()
    harness.sink.wait_for_release()
    harness.feed.push(picture(2))
    assert harness.sink.bytes() == [1]
    harness.feed.watch(True)
    harness.sink.wait_for(2)
    assert harness.sink.bytes() == [1, 2]


def test_an_expected_viewer_sees_a_look_that_changes(harness):
    harness.feed.push(grey(255))
    harness.feed.expect_viewer()
    harness.feed.show(Look(size=64))
    harness.sink.wait_for(2)

    assert [each.width for each in harness.sink.published] == [256, 64]


def test_a_frame_that_hangs_delays_a_display_by_a_moment(harness, monkeypatch):
    monkeypatch.setattr(feed, "_PATIENCE_S", 0.01)
    harness.sink.gate.clear()
    harness.feed.push(picture(1))
    harness.feed.expect_viewer()
    assert harness.sink.is_waiting.wait(TIMEOUT_S)
    assert harness.sink.bytes() == []


def test_a_second_display_does_not_wait_for_a_frame_that_is_in_the_ring(harness, monkeypatch):
    monkeypatch.setattr(feed, "_PATIENCE_S", TIMEOUT_S)
    monkeypatch.setattr(feed, "_EXPECT_S", 3600)
    harness.feed.push(picture(1))
    for _ in range(2):
        harness.feed.expect_viewer()
        assert harness.feed._background._has_rested.is_set()
    assert harness.sink.bytes() == [1]


def test_a_feed_whose_thread_is_refused_tries_again(harness, monkeypatch):
    def refused(_thread):
        raise RuntimeError("can't start new thread")

    harness.feed.push(picture(1))
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError, match="new thread"):
            harness.feed.watch(True)
    harness.feed.watch(False)
    harness.feed.watch(True)

    wait_until(lambda: harness.sink.bytes() == [1], "the newest frame is read")


def test_a_feed_that_expects_a_viewer_is_not_kept_alive():
    feed = Feed(Sink(), Look(), ErrorReporter(lambda _: None, lambda: None))
    feed.push(picture(1))
    feed.expect_viewer()
    background, alive = feed._background, ref(feed)
    (thread,) = (each for each in threading.enumerate() if each.name == "gpuview-feed")
    del feed

    wait_until(lambda: alive() is None, "the feed is gone")
    background.wake()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_a_closed_feed_expects_nobody(harness):
    harness.feed.push(picture(1))
    harness.feed.close()
    harness.feed.expect_viewer()

    assert harness.sink.bytes() == []


# --- another look --------------------------------------------------------------------------------


def grey(value: int) -> torch.Tensor:
    return torch.full((256, 256), value, dtype=torch.uint8)


def test_the_frame_that_is_shown_is_drawn_again_with_a_new_look(harness):
    harness.feed.watch(True)
    harness.feed.push(grey(255))
    harness.feed.show(Look(value_range=(0, 510)))
    harness.sink.wait_for(2)
    harness.feed.close()

    first, second = harness.sink.bytes()
    assert second < first
    assert harness.feed.stats().n_read == 1
    assert harness.dropped() == {}


def test_a_look_that_changes_while_nobody_watches_is_that_of_the_next_viewer(harness):
    harness.feed.push(grey(255))
    harness.feed.show(Look(size=64))
    harness.feed.watch(True)
    harness.sink.wait_for(1)

    assert [each.width for each in harness.sink.published] == [64]


def test_a_look_that_changes_while_a_frame_is_drawn_draws_that_frame_again(harness):
    harness.feed.watch(True)
    harness.sink.gate.clear()
    pushing = threading.Thread(target=harness.feed.push, args=(grey(1),))
    pushing.start()
    assert harness.sink.is_waiting.wait(TIMEOUT_S)
    harness.feed.show(Look(size=64))
    harness.sink.gate.set()
    pushing.join()
    harness.sink.wait_for(2)

    assert [each.width for each in harness.sink.published] == [256, 64]


def test_a_look_that_does_not_suit_the_frame_is_told_until_another_one_does(harness):
    harness.feed.watch(True)
    harness.feed.push(torch.zeros(64, 64))
    harness.feed.show(Look(layout="NCHW"))
    assert harness.has_told.wait(TIMEOUT_S)
    harness.feed.show(Look())
    harness.sink.wait_for(2)
    harness.feed.close()

    assert isinstance(harness.told[0], FrameError)
    assert harness.told[1:] == ["over"]
    assert harness.feed.stats().n_read == 1


def test_a_frame_of_a_known_kind_is_checked_again_under_a_new_look(harness):
    harness.feed.push(torch.zeros(64, 64))
    harness.feed.show(Look(layout="NCHW"))

    with pytest.raises(FrameError, match="NCHW"):
        harness.feed.push(torch.zeros(64, 64))


# --- the rest ------------------------------------------------------------------------------------


def test_a_stack_stays_one_after_a_frame_that_nobody_watched(harness):
    harness.feed.push(torch.zeros(16, 20, 30))
    harness.feed.push(torch.zeros(3, 20, 30))

    assert harness.feed.readings[None].layout == "NHW"


def test_a_frame_that_contains_itself_is_refused(harness):
    frame: list[object] = [torch.zeros(20, 30)]
    frame.append({"self": frame})

    with pytest.raises(FrameError, match=r"(?s)contains itself, or is nested .* 16 deep.*push\("):
        harness.feed.push(frame)


class RaisingKey:
    def __str__(self) -> str:
        raise ValueError("no name")


class RaisingTensor(torch.Tensor):
    @property
    def shape(self):
        raise ValueError("no shape")


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_key_without_a_name_is_refused(harness, is_watched):
    harness.feed.watch(is_watched)

    with pytest.raises(FrameError, match="reading it raised ValueError: no name") as caught:
        harness.feed.push({RaisingKey(): torch.zeros(20, 30)})

    assert isinstance(caught.value.__cause__, ValueError)


def test_code_of_a_tensors_class_does_not_run(harness):
    harness.feed.watch(True)
    harness.feed.push(torch.zeros(256, 256).as_subclass(RaisingTensor))

    assert harness.feed.stats().n_read == 1


def test_an_overwritten_frame_is_shown_as_it_is_when_somebody_joins(harness):
    frame = picture(1)
    harness.feed.push(frame)
    harness.feed.push(frame)
    frame.fill_(7)
    harness.feed.watch(True)
    harness.sink.wait_for(1)

    assert harness.sink.bytes() == [7]


def test_a_kept_frame_never_comes_after_a_newer_one(harness):
    harness.feed.push(picture(0))
    harness.feed.push(picture(1))
    harness.sink.gate.clear()
    harness.feed.watch(True)
    assert harness.sink.is_waiting.wait(TIMEOUT_S)
    pushing = threading.Thread(target=harness.feed.push, args=(picture(2),))
    pushing.start()
    harness.sink.gate.set()
    pushing.join()

    assert harness.sink.bytes() == [1, 2]


@pytest.mark.parametrize(
    "other",
    [
        picture(9, side=300),
        picture(0).float(),
        picture(9)[..., 0],
        picture(9).numpy(),
        {"a": picture(9)},
        [picture(9)],
        Values(picture(9).float()),
        nn.Parameter(torch.ones(256, 256)),
    ],
    ids=["shape", "dtype", "dimensions", "array", "dict", "list", "values", "parameter"],
)
def test_a_frame_of_another_kind_is_checked_once_although_nobody_watches(harness, other):
    checked: list[object] = []
    for frame in (picture(0), other, other):
        harness.feed.push(frame, lambda frame: checked.append(frame) or frame)

    assert len(checked) == 2


def test_kinds_are_remembered_when_they_alternate(harness):
    checked: list[object] = []
    for side in (256, 300) * 3:
        harness.feed.push(picture(0, side), lambda frame: checked.append(frame) or frame)

    assert len(checked) == 2


def test_a_frame_that_cannot_be_shown_is_refused_at_once_and_the_feed_lives_on(harness):
    harness.feed.push(picture(1))
    with pytest.raises(FrameError):
        harness.feed.push(torch.zeros(2, 3, 4, 5, 6))

    assert harness.feed.frame()[0, 0, 0] == 1
    harness.feed.watch(True)
    harness.sink.wait_for(1)
    harness.feed.push(picture(2))
    assert harness.sink.bytes() == [1, 2]
    assert harness.dropped() == {"failed": 1}


def test_a_frame_that_comes_while_there_is_no_memory_is_counted_and_shown_later(harness):
    def full(nbytes: int) -> memoryview:
        raise MediaError("no memory", expected="some", fix="free some")

    begin, harness.sink.begin = harness.sink.begin, full
    harness.feed.watch(True)
    with pytest.raises(MediaError, match="no memory"):
        harness.feed.push(picture(1))
    assert harness.dropped() == {"failed": 1}
    assert harness.feed.frame()[0, 0, 0] == 1

    harness.sink.begin = begin
    harness.feed.redraw()
    harness.sink.wait_for(1)
    harness.feed.close()
    assert harness.sink.bytes() == [1]
    assert (harness.feed.stats().n_read, harness.dropped()) == (1, {})


def test_a_kept_frame_that_cannot_be_shown_is_told_and_the_next_good_one_takes_it_back(harness):
    select = as_select(lambda frame: frame if frame.max() < 9 else None)
    harness.feed.push(picture(1), select)
    harness.feed.push(picture(9), select)
    harness.feed.watch(True)
    assert harness.has_told.wait(TIMEOUT_S)
    assert isinstance(harness.told[0], FrameError)
    assert harness.dropped() == {"failed": 1, "unwatched": 1}
    harness.feed.push(picture(2), select)

    assert harness.told[1:] == ["over"]
    assert harness.sink.bytes() == [2]


class Forbidding(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise AssertionError("no operation here")


class ForbiddingFunctions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise KeyError("no function here")


class Counting(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "mode", [Forbidding, ForbiddingFunctions, FakeTensorMode, lambda: torch.device("meta")]
)
def test_a_frame_is_shown_whatever_mode_is_active(harness, mode):
    frame = torch.ones(1, 256, 256, requires_grad=True) * 0.5

    harness.feed.watch(True)
    with mode():
        harness.feed.push(frame)
        harness.feed.push([frame, frame])
        assert snapshot(frame, Look(), {}).getpixel((0, 0)) == 128
        assert extremes(frame, Look(), {}) == (0.5, 0.5)

    assert harness.sink.bytes()[0] == 128


def test_a_mode_of_the_users_sees_none_of_our_operations(harness):
    with Counting() as mode:
        harness.feed.push(picture(1))
        harness.feed.push([picture(1), picture(2)])

    assert mode.count == 3  # the pictures themselves


def test_what_is_shown_is_selected_when_it_is_read(harness):
    asked = []
    select = as_select(lambda frame: (asked.append(frame), frame["depth"])[1])
    for value in (5, 6):
        harness.feed.push({"rgb": picture(0), "depth": picture(value)}, select)

    assert len(asked) == 1  # to check the first one
    assert harness.feed.selected()[0, 0, 0] == 6
    assert list(harness.feed.frame()) == ["rgb", "depth"]


def test_the_thread_that_reads_a_kept_frame_outlives_a_select_that_exits(harness):
    exits: list[SystemExit] = []

    def select(frame):
        if exits:
            raise exits.pop()
        return frame

    harness.feed.push(picture(1), select)
    exits.append(SystemExit("enough"))
    harness.feed.push(picture(2), select)
    harness.feed.watch(True)
    assert harness.has_told.wait(TIMEOUT_S)
    assert "SystemExit: enough" in harness.told[0].problem

    harness.feed.watch(False)
    harness.feed.push(picture(3), select)
    harness.feed.watch(True)
    harness.sink.wait_for(1)
    assert harness.sink.bytes() == [3]


def test_what_select_raises_is_raised_by_the_push(harness):
    with pytest.raises(FrameError, match="select raised IndexError"):
        harness.feed.push(picture(0), as_select(999))

    assert harness.dropped() == {"failed": 1}
    assert not harness.feed.has_frame


def test_the_stream_follows_a_change_of_size_and_dtype(harness):
    harness.feed.watch(True)
    for frame in (picture(1, 256), picture(1, 300), torch.ones(400, 500), picture(1, 256)):
        harness.feed.push(frame)

    sizes = [(each.width, each.height) for each in harness.sink.published]
    assert sizes == [(256, 256), (300, 300), (500, 400), (256, 256)]


def test_the_newest_tensor_is_kept_without_its_graph_and_shares_its_memory(harness):
    weight = torch.ones(256, 256, requires_grad=True)
    frame = weight * 0.5
    harness.feed.push(frame)
    kept = harness.feed.frame()

    assert not kept.requires_grad
    assert kept.data_ptr() == frame.data_ptr()
    harness.feed.push({"a": frame, "b": np.zeros((256, 256))})
    assert not harness.feed.frame()["a"].requires_grad


def test_values_are_given_back_as_the_tensors_that_they_are(harness):
    tensor = torch.ones(256, 256)
    harness.feed.push(Values(tensor))
    assert harness.feed.frame() is tensor

    harness.feed.push({"a": Values(tensor)})
    assert harness.feed.frame() == {"a": tensor}


def test_every_frame_is_shown_or_dropped_for_one_reason(harness):
    harness.feed.push(picture(1))  # unwatched
    harness.feed.push(picture(2))  # read by whoever joins, and superseded
    harness.feed.watch(True)
    harness.sink.wait_for(1)
    harness.feed.push(picture(2))
    harness.feed.push(picture(3))
    with pytest.raises(FrameError):
        harness.feed.push(object())
    harness.feed.drop("capturing")
    harness.feed.close()  # waits for the thread that reads
    stats = harness.feed.stats()

    assert (stats.n_pushed, stats.n_read) == (6, 3)
    dropped = stats.n_dropped_with(n_taken=2)
    assert dropped == {"capturing": 1, "failed": 1, "superseded": 1, "unwatched": 1}
    assert stats.n_dropped_with(n_taken=3) == stats.n_dropped


def test_a_closed_feed_takes_nothing_and_keeps_nothing(harness):
    harness.feed.push(picture(0))
    harness.feed.push(picture(0))
    harness.feed.close()
    harness.feed.close()

    assert not harness.feed.has_frame
    harness.feed.watch(True)
    with pytest.raises(StreamClosedError, match="the stream is closed"):
        harness.feed.push(picture(0))
    assert repr(harness.feed) == "<Feed closed pushed=3 read=0>"


def test_many_threads_push_and_no_frame_is_lost_count_of(harness):
    def push() -> None:
        for value in range(50):
            harness.feed.push(picture(value, 16))

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for is_watched in [True, False] * 20:
        harness.feed.watch(is_watched)
    for thread in threads:
        thread.join()
    harness.feed.watch(True)
    harness.feed.close()
    stats = harness.feed.stats()

    assert stats.n_pushed == 200
    assert stats.n_read + sum(stats.n_dropped.values()) == 200
    assert stats.n_read + stats.n_redrawn == len(harness.sink.published)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_not_kept_by_locks_of_the_parents_threads(harness):
    harness.feed.watch(True)
    harness.sink.gate.clear()
    reading = threading.Thread(target=harness.feed.push, args=(picture(1, 32),))
    reading.start()
    assert harness.sink.is_waiting.wait(TIMEOUT_S)

    def push_in_child() -> None:
        harness.feed.abandon(StreamClosedError("forked", expected="the parent", fix="go there"))
        with pytest.raises(StreamClosedError, match="forked"):
            harness.feed.push(picture(2, 32))
        harness.feed.watch(True)
        harness.feed.redraw()
        harness.feed.close()

    child = multiprocessing.get_context("fork").Process(target=push_in_child)
    with harness.feed._lock:  # as another thread may, for a moment
        child.start()
    child.join(TIMEOUT_S)
    exit_code = child.exitcode
    child.kill()
    child.join()
    child.close()
    harness.sink.gate.set()
    reading.join()

    assert exit_code == 0
    assert harness.sink.bytes() == [1]
