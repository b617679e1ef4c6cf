"""Frames between whoever gives them and the ring."""

import multiprocessing
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gpuview.errors import FrameError, StreamClosedError
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.frames.feed import Feed
from gpuview.frames.picture.layout import Values
from gpuview.frames.picture.look import Look
from gpuview.protocol.ring import PixelFormat
from gpuview.sources.select import as_select

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

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.published) >= count, TIMEOUT_S)

    def bytes(self) -> list[int]:
        return [each.first_byte for each in self.published]


def picture(value: int, side: int = 256) -> torch.Tensor:
    return torch.full((side, side, 3), value, dtype=torch.uint8)


class Bench:
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
def bench():
    bench = Bench()
    yield bench
    bench.sink.gate.set()
    bench.feed.close()


def test_every_frame_is_read_while_somebody_watches(bench):
    bench.feed.watch(True)
    for value in range(3):
        bench.feed.push(picture(value))

    assert bench.sink.bytes() == [0, 1, 2]
    assert bench.dropped() == {}


def test_the_first_frame_is_read_and_the_next_ones_are_kept_while_nobody_watches(bench):
    frames = [picture(value) for value in range(3)]
    for frame in frames:
        bench.feed.push(frame)

    assert bench.sink.bytes() == [0]
    assert bench.feed.frame() is frames[2]
    assert bench.dropped() == {"unwatched": 2}


def test_the_newest_kept_frame_is_read_on_another_thread_when_somebody_joins(bench):
    for value in range(3):
        bench.feed.push(picture(value))
    bench.feed.watch(True)
    bench.sink.wait_for(2)

    assert bench.sink.bytes() == [0, 2]
    assert bench.sink.published[1].thread is not threading.current_thread()
    bench.feed.close()  # waits for the thread
    assert bench.dropped() == {"unwatched": 1}


def test_a_frame_that_somebody_saw_is_not_read_again(bench):
    bench.feed.watch(True)
    bench.feed.push(picture(1))
    bench.feed.watch(False)
    bench.feed.watch(True)
    bench.feed.close()

    assert bench.sink.bytes() == [1]


def test_an_overwritten_frame_is_shown_as_it_is_when_somebody_joins(bench):
    frame = picture(1)
    bench.feed.push(frame)
    bench.feed.push(frame)
    frame.fill_(7)
    bench.feed.watch(True)
    bench.sink.wait_for(2)

    assert bench.sink.bytes() == [1, 7]


def test_a_kept_frame_never_comes_after_a_newer_one(bench):
    bench.feed.push(picture(0))
    bench.feed.push(picture(1))
    bench.sink.gate.clear()
    bench.feed.watch(True)
    assert bench.sink.is_waiting.wait(TIMEOUT_S)
    pushing = threading.Thread(target=bench.feed.push, args=(picture(2),))
    pushing.start()
    bench.sink.gate.set()
    pushing.join()

    assert bench.sink.bytes() == [0, 1, 2]


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
def test_a_frame_of_another_kind_is_read_once_although_nobody_watches(bench, other):
    bench.feed.push(picture(0))
    bench.feed.push(other)
    bench.feed.push(other)

    assert len(bench.sink.published) == 2


def test_kinds_are_remembered_when_they_alternate(bench):
    for _ in range(3):
        bench.feed.push(picture(0))
        bench.feed.push(picture(0, side=300))

    assert len(bench.sink.published) == 2


def test_a_frame_that_cannot_be_shown_is_refused_at_once_and_the_feed_lives_on(bench):
    bench.feed.push(picture(1))
    with pytest.raises(FrameError):
        bench.feed.push(torch.zeros(2, 3, 4, 5, 6))

    assert bench.feed.frame()[0, 0, 0] == 1
    bench.feed.watch(True)
    bench.feed.push(picture(2))
    assert bench.sink.bytes() == [1, 2]
    assert bench.dropped() == {"failed": 1}


def test_a_kept_frame_that_cannot_be_shown_is_told_and_the_next_good_one_takes_it_back(bench):
    select = as_select(lambda frame: frame if frame.max() < 9 else None)
    bench.feed.push(picture(1), select)
    bench.feed.push(picture(9), select)
    bench.feed.watch(True)
    assert bench.has_told.wait(TIMEOUT_S)
    assert isinstance(bench.told[0], FrameError)
    assert bench.dropped() == {"failed": 1}
    bench.feed.push(picture(2), select)

    assert bench.told[1:] == ["over"]
    assert bench.sink.bytes() == [1, 2]


def test_no_tensor_with_a_graph_is_touched_while_a_fake_mode_is_active(bench):
    frame = torch.ones(256, 256, requires_grad=True) * 0.5

    with FakeTensorMode(), pytest.raises(FrameError, match="FakeTensorMode"):
        bench.feed.push(frame)


def test_what_is_shown_is_selected_when_it_is_read(bench):
    asked = []
    select = as_select(lambda frame: (asked.append(frame), frame["depth"])[1])
    for value in (5, 6):
        bench.feed.push({"rgb": picture(0), "depth": picture(value)}, select)

    assert len(asked) == 1
    assert bench.sink.bytes() == [5]
    assert bench.feed.selected()[0, 0, 0] == 6
    assert list(bench.feed.frame()) == ["rgb", "depth"]


def test_what_select_raises_is_raised_by_the_push(bench):
    with pytest.raises(FrameError, match="select raised IndexError"):
        bench.feed.push(picture(0), as_select(999))

    assert bench.dropped() == {"failed": 1}
    assert not bench.feed.has_frame


def test_the_stream_follows_a_change_of_size_and_dtype(bench):
    bench.feed.watch(True)
    for frame in (picture(1, 256), picture(1, 300), torch.ones(400, 500), picture(1, 256)):
        bench.feed.push(frame)

    sizes = [(each.width, each.height) for each in bench.sink.published]
    assert sizes == [(256, 256), (300, 300), (500, 400), (256, 256)]


def test_the_newest_tensor_is_kept_without_its_graph_and_shares_its_memory(bench):
    weight = torch.ones(256, 256, requires_grad=True)
    frame = weight * 0.5
    bench.feed.push(frame)
    kept = bench.feed.frame()

    assert not kept.requires_grad
    assert kept.data_ptr() == frame.data_ptr()
    bench.feed.push({"a": frame, "b": np.zeros((256, 256))})
    assert not bench.feed.frame()["a"].requires_grad


def test_values_are_given_back_as_the_tensors_that_they_are(bench):
    tensor = torch.ones(256, 256)
    bench.feed.push(Values(tensor))
    assert bench.feed.frame() is tensor

    bench.feed.push({"a": Values(tensor)})
    assert bench.feed.frame() == {"a": tensor}


def test_every_frame_is_shown_or_dropped_for_one_reason(bench):
    bench.feed.push(picture(0))  # read, and superseded
    bench.feed.push(picture(1))  # unwatched
    bench.feed.push(picture(2))  # read by whoever joins
    bench.feed.watch(True)
    bench.sink.wait_for(2)
    bench.feed.push(picture(3))
    with pytest.raises(FrameError):
        bench.feed.push(object())
    bench.feed.drop("capturing")
    bench.feed.close()  # waits for the thread that reads
    stats = bench.feed.stats()

    assert (stats.n_pushed, stats.n_read) == (6, 3)
    dropped = stats.n_dropped_with(n_shown=2)
    assert dropped == {"capturing": 1, "failed": 1, "superseded": 1, "unwatched": 1}
    assert stats.n_dropped_with(n_shown=3) == stats.n_dropped


def test_a_closed_feed_takes_nothing_and_keeps_nothing(bench):
    bench.feed.push(picture(0))
    bench.feed.push(picture(0))
    bench.feed.close()
    bench.feed.close()

    assert not bench.feed.has_frame
    bench.feed.watch(True)
    with pytest.raises(StreamClosedError, match="the stream is closed"):
        bench.feed.push(picture(0))
    assert repr(bench.feed) == "<Feed closed pushed=3 read=1>"


def test_many_threads_push_and_no_frame_is_lost_count_of(bench):
    def push() -> None:
        for value in range(50):
            bench.feed.push(picture(value, 16))

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for is_watched in [True, False] * 20:
        bench.feed.watch(is_watched)
    for thread in threads:
        thread.join()
    bench.feed.watch(True)
    bench.feed.close()
    stats = bench.feed.stats()

    assert stats.n_pushed == 200
    assert stats.n_read + sum(stats.n_dropped.values()) == 200
    assert stats.n_read == len(bench.sink.published)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_not_kept_by_locks_of_the_parents_threads(bench):
    bench.feed.watch(True)
    bench.sink.gate.clear()
    reading = threading.Thread(target=bench.feed.push, args=(picture(1, 32),))
    reading.start()
    assert bench.sink.is_waiting.wait(TIMEOUT_S)

    def push_in_child() -> None:
        bench.feed.renew_locks()
        bench.sink.gate.set()
        bench.feed.push(picture(2, 32))  # larger ones need torch's threads, which a child lacks
        assert bench.sink.bytes() == [2]
        assert bench.feed.stats().n_read == 1
        bench.feed.close()

    child = multiprocessing.get_context("fork").Process(target=push_in_child)
    with bench.feed._lock:  # as another thread may, for a moment
        child.start()
    child.join(TIMEOUT_S)
    exit_code = child.exitcode
    child.kill()
    child.join()
    child.close()
    bench.sink.gate.set()
    reading.join()

    assert exit_code == 0
    assert bench.sink.bytes() == [1]
