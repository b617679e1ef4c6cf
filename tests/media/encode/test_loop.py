"""The encode thread and frames that a device writes, which wake nobody."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.loop import EncodeLoop
from gpuview.media.encode.still import Still
from gpuview.media.encode.timestamp import timestamp_of
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import (
    DEVICE_SLOTS,
    FORMAT_WORD,
    HEADER_NBYTES,
    HEIGHT_WORD,
    WIDTH_WORD,
    Reservation,
    RingWriter,
)
from tests.waiting import wait_until

WAIT_S = 30
VP8 = Codec("VP8")
WIDTH, HEIGHT = 64, 48
NBYTES = frame_nbytes(PixelFormat.I420, WIDTH, HEIGHT)


class Stream:
    """The kernel's end and the packets that come out at the other one."""

    def __init__(self) -> None:
        self.event_fd = os.eventfd(0)
        self.packets: queue.Queue[Packet] = queue.Queue()
        self.errors: queue.Queue[Problem | None] = queue.Queue()
        self.stills: queue.Queue[Still | None] = queue.Queue()
        self.loop = EncodeLoop(
            self.event_fd,
            fps=200,
            max_bitrate_bps=10**6,
            on_packet=lambda codec, tier, packet: self.packets.put(packet),
            on_error=self.errors.put,
            on_still=self.stills.put,
        )
        self.attach()
        self.loop.start(VP8)

    def attach(self, seq: int = 0) -> None:
        """Go on with a ring of its own."""
        self.ring = RingWriter.create(NBYTES, DEVICE_SLOTS, seq)
        self.loop.attach(os.dup(self.ring.fd))

    def announce(self) -> Reservation:
        """Push a frame that a device has still to write."""
        slot = self.ring.reserve(NBYTES)
        self.ring.announce(slot.seq)
        os.eventfd_write(self.event_fd, 1)
        return slot

    def publish(self) -> None:
        """Push a frame that is there."""
        self.ring.begin(NBYTES)[:] = bytes(NBYTES)
        self.ring.publish(PixelFormat.I420, WIDTH, HEIGHT)
        os.eventfd_write(self.event_fd, 1)

    def packet(self) -> Packet:
        return self.packets.get(timeout=WAIT_S)

    def error(self) -> Problem | None:
        return self.errors.get(timeout=WAIT_S)

    def wait_for_frames(self, n: int) -> None:
        while self.loop.frames_taken < n:
            self.packet()


def write(slot: Reservation) -> None:
    """Write a frame as a device does, and tell nobody."""
    header = slot.memory[slot.record_at : slot.record_at + HEADER_NBYTES].cast("q")
    header[FORMAT_WORD] = PixelFormat.I420
    header[WIDTH_WORD], header[HEIGHT_WORD] = WIDTH, HEIGHT
    slot.memory[slot.seq_at : slot.seq_at + 8].cast("q")[0] = slot.seq


@pytest.fixture
def stream(caplog: pytest.LogCaptureFixture) -> Iterator[Stream]:
    stream = Stream()
    yield stream
    stream.loop.close()
    stream.ring.close()
    caplog.get_records("call").clear()  # a logged traceback keeps the ring's memory


def test_frame_that_a_device_writes_is_found_although_nobody_is_woken(stream: Stream) -> None:
    write(stream.announce())
    stream.packet()
    slot = stream.announce()
    stream.packet()  # the first one is repeated while the second one is waited for
    assert stream.loop.frames_taken == 1

    write(slot)

    stream.wait_for_frames(2)


def test_first_frame_of_a_device_is_found_too(stream: Stream) -> None:
    slot = stream.announce()
    stream.loop.request_keyframe(VP8, 0.0)
    write(slot)

    assert stream.packet().is_keyframe


def encode_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "gpuview-encode"]


def stop(stream: Stream) -> None:
    stream.loop.stop(VP8)
    for thread in encode_threads():
        thread.join(WAIT_S)


def test_there_is_a_thread_only_while_there_is_a_codec(stream: Stream) -> None:
    stream.publish()
    stream.packet()
    assert len(encode_threads()) == 1
    stop(stream)
    assert not encode_threads()

    stream.publish()
    stream.loop.start(VP8)

    stream.wait_for_frames(2)


@pytest.mark.parametrize("is_encoding", [True, False])
def test_ring_that_is_detached_is_freed_with_its_last_frame(
    stream: Stream, is_encoding: bool
) -> None:
    stream.publish()
    stream.packet()
    if not is_encoding:
        stop(stream)
    stream.loop.detach()
    wait_until(lambda: stream.loop._ring is None and stream.loop._frame is None, "no ring")

    stream.ring.close()
    stream.attach(seq=1)
    stream.loop.start(VP8)
    stream.publish()
    stream.wait_for_frames(2)


def test_ring_that_is_detached_while_the_last_codec_stops_is_freed(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, may_go_on = threading.Event(), threading.Event()

    def hold(_packet: Packet) -> None:
        has_begun.set()
        may_go_on.wait(WAIT_S)

    monkeypatch.setattr(stream.packets, "put", hold)
    stream.publish()
    assert has_begun.wait(WAIT_S)
    stream.loop.stop(VP8)
    stream.loop.detach()
    may_go_on.set()
    for thread in encode_threads():
        thread.join(WAIT_S)

    assert stream.loop._ring is None
    assert stream.loop._frame is None


def test_other_limits_begin_with_a_keyframe(stream: Stream) -> None:
    stream.publish()
    assert stream.packet().is_keyframe
    stream.loop.set_limits(5, 10**5)
    stream.publish()

    while not stream.packet().is_keyframe:
        pass
    (output,) = stream.loop._outputs.values()
    assert output._encoder is not None
    assert output._encoder.ceiling_bps <= 10**5


def test_repeats_are_no_frames(stream: Stream) -> None:
    stream.publish()
    for _ in range(4):
        stream.packet()

    assert stream.loop.frames_taken == 1


def test_repeat_has_the_picture_s_capture_time_and_a_timestamp_of_its_own(stream: Stream) -> None:
    stream.publish()
    first, repeat = stream.packet(), stream.packet()

    assert repeat.capture_ns == first.capture_ns > 0
    assert repeat.timestamp > first.timestamp == timestamp_of(first.capture_ns, 1, after=0)


def test_frames_are_counted_from_one_ring_to_the_next(stream: Stream) -> None:
    stream.publish()
    stream.wait_for_frames(1)
    stream.ring.close()
    stream.attach(seq=1)
    stream.publish()

    stream.wait_for_frames(2)


def test_viewer_that_joins_before_a_new_ring_has_a_frame_is_shown_the_last_one(
    stream: Stream,
) -> None:
    stream.publish()
    assert stream.packet().is_keyframe
    stream.ring.close()
    stream.attach(seq=1)
    stream.announce()

    stream.loop.request_keyframe(VP8, 0.0)

    while not stream.packet().is_keyframe:
        pass
    assert stream.loop.frames_taken == 1


def failing_once(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``call``, which fails the first time as nobody foresaw."""
    n_calls = 0

    def fail_once(*args: Any, **options: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            raise ZeroDivisionError("a fault of ours")
        return call(*args, **options)

    return fail_once


def expect_recovery(stream: Stream) -> None:
    """Expect that viewers are told of the fault and of its end, and are then shown the frame."""
    stream.loop.request_keyframe(VP8, 0.0)
    stream.publish()
    error = stream.error()
    assert error is not None
    assert "ZeroDivisionError: a fault of ours" in error.problem
    assert stream.packet().is_keyframe
    assert stream.error() is None


def test_fault_of_the_conversion_is_told_and_tried_again(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    stream.loop._converter.convert = failing_once(stream.loop._converter.convert)  # type: ignore[method-assign]
    expect_recovery(stream)
    assert "please report it" in caplog.text


def test_fault_of_an_encoder_is_told_and_tried_again(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Encoder, "encode", failing_once(Encoder.encode))
    expect_recovery(stream)


def test_fault_of_who_takes_the_packets_is_told_and_tried_again(stream: Stream) -> None:
    stream.loop._on_packet = failing_once(stream.loop._on_packet)
    expect_recovery(stream)


def test_fault_of_an_error_handler_costs_no_picture(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.loop._on_error = failing_once(stream.loop._on_error)
    monkeypatch.setattr(Encoder, "encode", failing_once(Encoder.encode))
    stream.publish()
    stream.packet()
    assert stream.error() is None


def test_counters_can_be_read_while_an_encoder_comes_and_goes(stream: Stream) -> None:
    stream.publish()
    stream.packet()
    (output,) = stream.loop._outputs.values()
    encoder, is_over = output._encoder, threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            output._encoder = None
            output._encoder = encoder

    thread = threading.Thread(target=come_and_go)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        for _ in range(20_000):
            assert stream.loop.stats()[0].width in (0, WIDTH)
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval_s)


def test_loop_that_is_closed_writes_nothing_into_the_file_that_has_its_number(
    stream: Stream,
) -> None:
    ours, theirs = socket.socketpair()
    ring_fd = os.dup(stream.ring.fd)
    stream.loop.close()
    with ours, theirs:
        theirs.setblocking(False)
        os.dup2(ours.fileno(), stream.event_fd)
        try:
            stream.loop.start(VP8)
            stream.loop.request_keyframe(VP8, 0.0)
            stream.loop.stop(VP8)
            stream.loop.set_limits(5, 10**5)
            stream.loop.want_stills(is_wanted=True)
            stream.loop.attach(ring_fd)
            stream.loop.detach()
            stream.loop.close()
        finally:
            os.close(stream.event_fd)
        with pytest.raises(BlockingIOError):
            theirs.recv(8)
    assert not encode_threads()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(ring_fd)
