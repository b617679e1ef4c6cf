"""The ring: the newest frame wins, nobody waits, and nothing torn is taken for whole."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gpuview.errors import MediaError
from gpuview.protocol.fence import Fence
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import (
    CAPTURE_WORD,
    DEVICE_SLOTS,
    FORMAT_WORD,
    HEADER_NBYTES,
    HEIGHT_WORD,
    WIDTH_WORD,
    Reservation,
    RingReader,
    RingWriter,
    Slot,
    free_slot,
)

SIDE = 16
NBYTES = frame_nbytes(PixelFormat.RGB24, SIDE, SIDE)


def attached(writer: RingWriter) -> RingReader:
    return RingReader.attach(os.dup(writer.fd))


def fill(slot: memoryview, value: int) -> None:
    """Set every byte of a slot."""
    np.frombuffer(slot, np.uint8)[:] = value


def publish(writer: RingWriter, value: int, capture_ns: int | None = None) -> None:
    fill(writer.begin(NBYTES), value)
    writer.publish(PixelFormat.RGB24, SIDE, SIDE, capture_ns)


def taken(reader: RingReader) -> Slot:
    slot = reader.take()
    assert slot is not None
    return slot


def open_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def writer() -> Iterator[RingWriter]:
    with RingWriter.create(NBYTES) as ring:
        yield ring


@pytest.fixture
def reader(writer: RingWriter) -> Iterator[RingReader]:
    with attached(writer) as ring:
        yield ring


class TestNewestFrameWins:
    def test_before_the_first_frame_there_is_none(self, reader: RingReader) -> None:
        assert reader.take() is None

    def test_a_frame_arrives_with_all_that_was_said_about_it(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        writer.begin(32 * 27)[:] = bytes(index % 256 for index in range(32 * 27))
        writer.publish(PixelFormat.I420, 32, 18, capture_ns=7)
        slot = taken(reader)
        assert (slot.seq, slot.pixel_format, slot.width, slot.height) == (
            1,
            PixelFormat.I420,
            32,
            18,
        )
        assert slot.capture_ns == 7
        assert slot.data.tolist() == [index % 256 for index in range(32 * 27)]
        assert slot.is_whole()

    def test_of_many_frames_only_the_last_is_seen(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        for value in range(1, 101):
            publish(writer, value)
        slot = taken(reader)
        assert slot.seq == writer.seq == 100
        assert set(slot.data.tolist()) == {100}

    def test_a_frame_can_be_taken_again_until_there_is_a_newer_one(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1)
        assert [taken(reader).seq for _ in range(3)] == [1, 1, 1]
        publish(writer, 2)
        assert taken(reader).seq == 2

    def test_the_writer_never_waits_for_a_reader_that_holds_a_frame(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1)
        held = taken(reader)
        for value in range(2, 50):
            publish(writer, value)
        assert held.is_whole()
        assert set(held.data.tolist()) == {1}
        assert taken(reader).seq == 49

    def test_a_frame_begun_and_not_published_is_never_seen(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1)
        fill(writer.begin(NBYTES), 2)
        assert taken(reader).seq == 1
        publish(writer, 3)
        slot = taken(reader)
        assert slot.seq == 2
        assert set(slot.data.tolist()) == {3}


class TestSlots:
    def test_the_slot_begun_is_neither_the_newest_nor_the_marked_one(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1)
        marked = taken(reader)
        publish(writer, 2)
        begun = writer.begin(NBYTES)
        fill(begun, 3)
        assert marked.is_whole()
        assert set(marked.data.tolist()) == {1}
        assert set(taken(reader).data.tolist()) == {2}

    def test_a_torn_frame_is_seen_to_be_torn(self, writer: RingWriter, reader: RingReader) -> None:
        publish(writer, 1)
        stale = taken(reader)
        publish(writer, 2)
        taken(reader)  # moves the mark, so the first slot is free
        writer.begin(NBYTES)
        assert not stale.is_whole()
        writer.publish(PixelFormat.RGB24, SIDE, SIDE)
        assert not stale.is_whole()

    def test_a_frame_that_does_not_fit_is_refused(self, writer: RingWriter) -> None:
        with pytest.raises(ValueError, match="does not fit into"):
            writer.begin(writer.slot_nbytes + 1)

    def test_the_capture_time_is_now_where_none_is_given(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1)
        first = taken(reader).capture_ns
        publish(writer, 2)
        assert 0 < first <= taken(reader).capture_ns


def write(slot: Reservation, value: int) -> None:
    """Write a frame into a reserved slot as a device does: the record, then its number."""
    header = slot.memory[slot.record_at : slot.record_at + HEADER_NBYTES].cast("q")
    header[FORMAT_WORD] = PixelFormat.RGB24
    header[WIDTH_WORD] = header[HEIGHT_WORD] = SIDE
    header[CAPTURE_WORD] = 7
    start = slot.record_at + HEADER_NBYTES
    fill(slot.memory[start : start + NBYTES], value)
    slot.memory[slot.seq_at : slot.seq_at + 8].cast("q")[0] = slot.seq


class TestDevice:
    @pytest.fixture
    def writer(self) -> Iterator[RingWriter]:
        with RingWriter.create(NBYTES, DEVICE_SLOTS) as ring:
            yield ring

    def test_a_frame_is_expected_until_it_is_written(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        assert not reader.is_expecting()
        slot = writer.reserve(NBYTES)
        writer.announce(slot.seq)
        assert reader.is_expecting()
        assert reader.take() is None
        write(slot, 9)
        assert not reader.is_expecting()
        shown = taken(reader)
        assert (shown.seq, shown.width, shown.capture_ns) == (1, SIDE, 7)
        assert set(shown.data.tolist()) == {9}

    def test_a_frame_of_this_process_is_never_expected(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1)
        assert not reader.is_expecting()

    def test_a_device_frame_and_one_of_this_process_are_two_numbers(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        slot = writer.reserve(NBYTES)
        publish(writer, 2)
        assert taken(reader).seq == 2
        write(slot, 1)  # comes late, and is older
        assert set(taken(reader).data.tolist()) == {2}

    def test_slots_in_flight_are_taken_only_when_no_other_is_free(self, writer: RingWriter) -> None:
        slots = [writer.reserve(NBYTES) for _ in range(7)]
        assert [slot.is_in_flight for slot in slots] == [False] * 3 + [True] * 4
        assert all(one.index != later.index for one, later in pairwise(slots))

    def test_there_is_room_for_this_process_while_a_slot_is_not_in_flight(
        self, writer: RingWriter
    ) -> None:
        for _ in range(3):
            assert writer.has_room()
            slot = writer.reserve(NBYTES)
        assert not writer.has_room()
        write(slot, 1)
        assert writer.has_room()

    def test_a_frame_that_does_not_fit_is_not_reserved(self, writer: RingWriter) -> None:
        with pytest.raises(ValueError, match="does not fit into"):
            writer.reserve(writer.slot_nbytes + 1)
        assert writer.seq == 0

    def test_memory_is_there_for_a_device_when_the_ring_has_been_closed(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        slot = writer.reserve(NBYTES)
        writer.close()
        write(slot, 1)
        assert taken(reader).seq == slot.seq

    def test_numbers_go_on_where_an_earlier_ring_ended(self) -> None:
        with RingWriter.create(NBYTES, seq=41) as writer, attached(writer) as reader:
            assert reader.take() is None
            assert not reader.is_expecting()
            publish(writer, 1)
            assert taken(reader).seq == 42

    @pytest.mark.parametrize(
        ("seqs", "issued", "marked", "slot"),
        [
            ([0, 0, 0, 0], [0, 0, 0, 0], -1, 1),
            ([5, 4, 3, 2], [5, 4, 3, 2], 1, 2),
            ([5, 0, 0, 2], [5, 6, 7, 2], 0, 3),
            ([5, 0, 0, 0], [5, 8, 6, 7], 0, 2),
            ([5, 4, 0, 0], [5, 8, 6, 7], 0, 2),
            ([5, 4, 0, 0], [5, 8, 6, 7], 2, 3),
        ],
    )
    def test_the_slot_that_costs_the_reader_least_is_taken(
        self, seqs: list[int], issued: list[int], marked: int, slot: int
    ) -> None:
        assert free_slot(seqs, issued, marked) == slot


class Steps(Fence):
    """Stands in for a ring's fence, and takes a step wherever memory accesses are ordered."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.left = list(steps)

    def __call__(self) -> None:
        self.left.pop(0)()


class TestFences:
    """What is read or written on which side of a fence, as no x86 would show it missing."""

    def test_a_writer_has_one_on_both_sides_of_the_pixels(self, writer: RingWriter) -> None:
        publish(writer, 1)
        seqs: list[list[int]] = []
        writer._fence = Steps(*[lambda: seqs.append(writer._seqs())] * 2)
        publish(writer, 2)
        assert [max(each) for each in seqs] == [1, 1]
        assert max(writer._seqs()) == 2

    def test_a_header_is_read_after_one_and_the_number_again_after_the_next(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1, capture_ns=7)
        header = writer._header(writer._seqs().index(1))
        reader._fence = Steps(lambda: header.__setitem__(CAPTURE_WORD, 8), lambda: None)
        assert taken(reader).capture_ns == 8

        newer = [lambda: None, lambda: publish(writer, 2), lambda: None, lambda: None]
        reader._fence = fence = Steps(*newer)
        assert taken(reader).seq == 2
        assert fence.left == []

    def test_a_frame_is_called_whole_by_what_its_number_is_after_one(
        self, writer: RingWriter, reader: RingReader
    ) -> None:
        publish(writer, 1)
        reader._fence = fence = Steps(*[lambda: None] * 2)
        stale = taken(reader)
        publish(writer, 2)
        fence.left = [lambda: None] * 2
        taken(reader)  # moves the mark, so the first slot is free
        fence.left = [lambda: writer.begin(NBYTES)]
        assert not stale.is_whole()

    def test_one_is_a_release_and_an_acquire_of_a_lock_that_is_held(self) -> None:
        fence = Fence()
        for _ in range(2):
            assert fence._lock.locked()
            fence()


class TestMemory:
    def test_closing_both_ends_leaves_no_descriptor(self) -> None:
        before = open_descriptors()
        with RingWriter.create(NBYTES) as writer, attached(writer) as reader:
            publish(writer, 1)
            taken(reader)
        del writer, reader
        assert open_descriptors() == before

    def test_closing_twice_closes_once(self) -> None:
        ring = RingWriter.create(NBYTES)
        ring.close()
        other = os.open(os.devnull, os.O_RDONLY)  # gets the same number
        ring.close()
        os.close(other)
        assert not ring.is_open

    def test_a_frame_outlives_the_end_of_its_ring(self) -> None:
        with RingWriter.create(NBYTES) as writer, attached(writer) as reader:
            publish(writer, 1)
            slot = taken(reader)
        del writer, reader
        assert set(slot.data.tolist()) == {1}

    def test_each_end_says_what_it_is(self, writer: RingWriter, reader: RingReader) -> None:
        publish(writer, 1)
        assert repr(writer) == "<RingWriter open slot_nbytes=4032 seq=1>"
        assert repr(reader) == "<RingReader open slot_nbytes=4032>"
        reader.close()
        assert repr(reader) == "<RingReader closed slot_nbytes=4032>"

    @pytest.mark.parametrize("nbytes", [0, 100, 4096, 4 * 4096])
    def test_memory_that_holds_no_ring_is_refused(self, nbytes: int) -> None:
        fd = os.memfd_create("garbage")
        os.truncate(fd, nbytes)
        before = open_descriptors()
        with pytest.raises(MediaError, match="cannot read a ring"):
            RingReader.attach(fd)
        assert open_descriptors() == before
        os.close(fd)

    def test_a_ring_of_another_size_than_it_says_is_refused(self, writer: RingWriter) -> None:
        os.ftruncate(writer.fd, 3 * 4096)
        with pytest.raises(MediaError, match="cannot read a ring"):
            RingReader.attach(writer.fd)

    def test_a_ring_without_slots_is_refused(self, writer: RingWriter) -> None:
        writer._words[2] = 0
        os.ftruncate(writer.fd, 4096)
        with pytest.raises(MediaError, match="cannot read a ring"):
            RingReader.attach(writer.fd)

    def test_what_cannot_be_mapped_is_refused(self) -> None:
        ends = os.pipe()
        with pytest.raises(MediaError, match="cannot read a ring"):
            RingReader.attach(ends[0])
        for end in ends:
            os.close(end)

    def test_more_memory_than_there_is_is_refused(self) -> None:
        before = open_descriptors()
        with pytest.raises(MediaError, match="bytes of shared memory"):
            RingWriter.create(1 << 50)
        assert open_descriptors() == before


WIDTH, HEIGHT, FRAMES = 320, 180, 300

READER = f"""
import sys
import numpy as np
from gpuview.protocol.ring import RingReader

with RingReader.attach(int(sys.argv[1])) as ring:
    print("attached", flush=True)
    last = whole = 0
    while whole < {FRAMES}:
        slot = ring.take()
        if slot is None or slot.seq == last:
            continue
        assert slot.seq > last, (slot.seq, last)
        last = slot.seq
        data = np.array(slot.data)
        if slot.is_whole():
            whole += 1
            assert (data == slot.seq % 251).all(), (slot.seq, np.unique(data))
    del slot
"""


class TestTwoProcesses:
    def test_no_whole_frame_is_a_mix_of_two(self) -> None:
        nbytes = frame_nbytes(PixelFormat.RGB24, WIDTH, HEIGHT)
        with RingWriter.create(nbytes) as writer:
            command = [sys.executable, "-c", READER, str(writer.fd)]
            with subprocess.Popen(command, pass_fds=[writer.fd], stdout=subprocess.PIPE) as reading:
                assert reading.stdout is not None
                assert reading.stdout.readline() == b"attached\n"
                # Hammers on until the reader has seen its share, so it is frames that bound this.
                while reading.poll() is None:
                    fill(writer.begin(nbytes), (writer.seq + 1) % 251)
                    writer.publish(PixelFormat.RGB24, WIDTH, HEIGHT)
            assert reading.returncode == 0
            assert writer.seq >= FRAMES


@settings(max_examples=60, stateful_step_count=30)
class RingMachine(RuleBasedStateMachine):
    """One writer and one reader in any order of steps, against a model of three variables."""

    published: list[int]
    begun: int | None = None
    held: Slot | None = None

    @initialize()
    def make(self) -> None:
        self.writer = RingWriter.create(NBYTES)
        self.reader = attached(self.writer)
        self.published = []

    @rule(value=st.integers(0, 255))
    def begin(self, value: int) -> None:
        fill(self.writer.begin(NBYTES), value)
        self.begun = value

    @precondition(lambda self: self.begun is not None)
    @rule()
    def publish(self) -> None:
        self.writer.publish(PixelFormat.RGB24, SIDE, SIDE)
        self.published.append(self.begun)
        self.begun = None

    @rule()
    def take(self) -> None:
        self.held = self.reader.take()
        assert (self.held is None) == (not self.published)
        if self.held is not None:
            assert self.held.seq == len(self.published)

    @invariant()
    def what_is_held_stays_whole(self) -> None:
        if self.held is not None:
            assert self.held.is_whole()
            assert set(self.held.data.tolist()) == {self.published[self.held.seq - 1]}

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()


TestAnyOrder = RingMachine.TestCase
