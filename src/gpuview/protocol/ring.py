"""The shared ring: how a frame goes from the kernel to the media process, newest frame wins.

One writer, one reader, a few slots in memory that both have mapped; nobody ever waits.

    writer   takes a slot that is neither the newest nor marked, writes it, then its number
    reader   marks the slot with the greatest number, reads it in place, and checks at the end that
             it is still whole

The slots' numbers make a torn frame visible (a seqlock): 0 while a slot is written, the frame's
number after that. The mark only makes torn frames rare, as a writer may miss a mark that was set in
the same instant. Reading therefore ends with `Slot.is_whole`. Numbers and pixels are kept in order
by fences, see Note [fences] in ``gpuview.protocol.fence``.

Note [in flight]: a GPU writes long after the kernel's Python has told it to, and in the order in
which it was told. So the kernel only reserves a slot (`RingWriter.reserve`). The GPU then writes a
whole record into it, with its header, and the frame's number last. Until then the slot is in
flight: its number is not the one that was reserved. Of four slots, nearly always one is free and
not in flight. If all are, as after a thousand frames behind a slow computation, the frame takes the
slot that has waited longest for its number, and the GPU first writes 0 there, in order.

The memory has no name, so nothing is left behind when both processes die, whatever killed them. The
ring wakes nobody. The stream's eventfd does that (``engine``); it outlives the ring, which is
replaced when frames outgrow it. A GPU writes to no eventfd, so the reader has to look again while
`RingReader.is_expecting`.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gpuview.errors import MediaError, system_refusal
from gpuview.protocol.fence import Fence
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.shared_memory import allocate

__all__ = [
    "CAPTURE_WORD",
    "DEVICE_SLOTS",
    "FORMAT_WORD",
    "HEADER_NBYTES",
    "HEIGHT_WORD",
    "HOST_SLOTS",
    "SEQ_WORD",
    "WIDTH_WORD",
    "Reservation",
    "RingReader",
    "RingWriter",
    "Slot",
    "free_slot",
]

HOST_SLOTS = 3
"""The newest slot, the slot that is read, and the slot that is written."""

DEVICE_SLOTS = 4
"""One more, in flight: see Note [in flight]."""

HEADER_NBYTES = 64
"""The header of a record, before the pixels."""

FORMAT_WORD, WIDTH_WORD, HEIGHT_WORD, CAPTURE_WORD, SEQ_WORD = range(5)
"""Indices of a record's first 64-bit words. Only a device uses the last."""

_MAGIC = 0x67707576_00000002  # "gpuv", version 2
_PAGE = 4096
_WORD_NBYTES = 8

# Words of the ring's own page.
_W_MAGIC, _W_SLOT_NBYTES, _W_SLOTS, _W_ISSUED, _W_MARK = range(5)
_W_SEQS, _W_SEQ_STEP = 8, 8  # the slots' numbers, each in a cache line of its own


@dataclass(frozen=True, slots=True)
class Slot:
    """One frame in the ring, read in place.

    Valid until the next `RingReader.take`. Copy what must live longer, then check `is_whole`.
    """

    seq: int
    """The frame's number, from 1; gaps are frames that were never taken."""
    pixel_format: PixelFormat
    width: int
    """Pixels, even."""
    height: int
    """Pixels, even."""
    capture_ns: int
    """When the frame was pushed, on ``time.monotonic_ns``, which all processes share."""
    data: memoryview
    """The pixels, ``frame_nbytes`` bytes of them."""
    _seq_word: memoryview
    _fence: Fence

    def is_whole(self) -> bool:
        """Tell whether the writer has left this slot alone since it was taken."""
        self._fence()
        return bool(self._seq_word[0] == self.seq)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot for a device to write: first the record, then the number."""

    seq: int
    """The frame's number."""
    index: int
    """Which slot it is."""
    is_in_flight: bool
    """Whether an older frame is still on its way there; then the device writes 0 first."""
    record_at: int
    """Where the record goes, in bytes from the start of ``memory``."""
    seq_at: int
    """Where the number goes, 8 bytes, once the record is there."""
    memory: memoryview
    """All of the ring; the same object for each frame, and valid when the ring has been closed."""


def free_slot(seqs: Sequence[int], issued: Sequence[int], marked: int) -> int:
    """Decide which slot the next frame takes.

    Args:
        seqs: The number in each slot; 0 while it is written.
        issued: The number that each slot was last reserved for. If it differs from ``seqs``, a
            frame is on its way there.
        marked: The slot that the reader reads; -1 if there is none.

    Returns:
        Neither the newest whole slot nor the marked one. The first slot that no frame is on its way
        to; otherwise the slot that waits for the oldest number. So a frame that has arrived stays
        until a newer one has.
    """
    newest = max(range(len(seqs)), key=seqs.__getitem__)
    free = [index for index in range(len(seqs)) if index not in (newest, marked)]
    idle = [index for index in free if seqs[index] == issued[index]]
    return idle[0] if idle else min(free, key=issued.__getitem__)


class _Ring:
    """The mapping, as both ends have it."""

    def __init__(self, fd: int, slot_nbytes: int, n_slots: int) -> None:
        self.fd = fd
        self.slot_nbytes = slot_nbytes
        self.n_slots = n_slots
        # No NumPy views: the media process would have to import it, a fifth of its start-up.
        self._bytes = memoryview(mmap.mmap(fd, _total_nbytes(slot_nbytes, n_slots)))
        self._words = self._bytes[:_PAGE].cast("q")
        self._fence = Fence()

    def _seqs(self) -> list[int]:
        end = _W_SEQS + self.n_slots * _W_SEQ_STEP
        return self._words[_W_SEQS:end:_W_SEQ_STEP].tolist()

    def _seq_word(self, index: int) -> memoryview:
        at = _W_SEQS + index * _W_SEQ_STEP
        return self._words[at : at + 1]

    def _header(self, index: int) -> memoryview:
        start = self._record_at(index)
        return self._bytes[start : start + HEADER_NBYTES].cast("q")

    def _pixels(self, index: int, nbytes: int) -> memoryview:
        start = self._record_at(index) + HEADER_NBYTES
        return self._bytes[start : start + nbytes]

    def _record_at(self, index: int) -> int:
        return _PAGE + index * _stride(self.slot_nbytes)

    @property
    def is_open(self) -> bool:
        return self.fd >= 0

    def close(self) -> None:
        """Close the descriptor, and drop the memory, which is freed with its last `Slot`."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._bytes = memoryview(b"")
            self._words = memoryview(b"").cast("q")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RingWriter(_Ring):
    """The kernel's end. One thread at a time."""

    @classmethod
    def create(cls, slot_nbytes: int, n_slots: int = HOST_SLOTS, seq: int = 0) -> Self:
        """Make a ring whose slots hold frames of up to ``slot_nbytes`` bytes.

        Args:
            slot_nbytes: Rounded up.
            n_slots: `HOST_SLOTS`, or `DEVICE_SLOTS` for one that a device writes to.
            seq: The number of the last frame in the stream's earlier ring.

        Raises:
            MediaError: No memory or no descriptor is left, or this system has no shared memory.
        """
        slot_nbytes = _stride(slot_nbytes) - HEADER_NBYTES
        fd = -1
        try:
            fd = allocate(_total_nbytes(slot_nbytes, n_slots))
            ring = cls(fd, slot_nbytes, n_slots)
        except OSError as exc:
            if fd >= 0:
                os.close(fd)
            action = f"make a ring of {n_slots} x {slot_nbytes} bytes of shared memory"
            raise system_refusal(action, exc) from exc
        ring._seq = seq
        ring._words[_W_SLOT_NBYTES] = slot_nbytes
        ring._words[_W_SLOTS] = n_slots
        ring._words[_W_MARK] = -1
        ring._words[_W_MAGIC] = _MAGIC
        return ring

    def __init__(self, fd: int, slot_nbytes: int, n_slots: int) -> None:
        super().__init__(fd, slot_nbytes, n_slots)
        self._seq = 0
        self._open_slot = -1
        self._issued = [0] * n_slots

    @property
    def seq(self) -> int:
        """The newest frame's number, which counts on from the stream's earlier rings."""
        return self._seq

    # --- from this process --------------------------------------------------------------------

    def has_room(self) -> bool:
        """Tell whether `begin` finds a slot that no device is about to write."""
        index = self._free_slot()
        return bool(self._seq_word(index)[0] == self._issued[index])

    def begin(self, nbytes: int) -> memoryview:
        """Return the bytes of a free slot to write a frame of ``nbytes`` into; then `publish`.

        To give the slot up, as after an error, call `begin` again instead of `publish`.
        """
        self._check_fits(nbytes)
        index = self._open_slot = self._free_slot()
        self._issued[index] = self._seq_word(index)[0] = 0
        self._fence()
        return self._pixels(index, nbytes)

    def publish(
        self,
        pixel_format: PixelFormat,
        width: int,
        height: int,
        capture_ns: int | None = None,
    ) -> None:
        """Make the slot that `begin` gave the newest frame."""
        index, self._open_slot = self._open_slot, -1
        header = self._header(index)
        header[FORMAT_WORD] = pixel_format
        header[WIDTH_WORD] = width
        header[HEIGHT_WORD] = height
        header[CAPTURE_WORD] = time.monotonic_ns() if capture_ns is None else capture_ns
        self._seq += 1
        self._fence()
        self._issued[index] = self._seq_word(index)[0] = self._seq
        self.announce(self._seq)

    # --- from a device ------------------------------------------------------------------------

    def reserve(self, nbytes: int) -> Reservation:
        """Choose the slot in which a device is to write the next frame; then `announce` it.

        A frame that is never written costs the ring nothing: its slot is reused before slots with
        newer numbers.
        """
        self._check_fits(nbytes)
        index = self._free_slot()
        seq_word = self._seq_word(index)
        is_in_flight = bool(seq_word[0] != self._issued[index])
        if not is_in_flight:
            seq_word[0] = 0
        self._seq += 1
        self._issued[index] = self._seq
        seq_at = (_W_SEQS + index * _W_SEQ_STEP) * _WORD_NBYTES
        return Reservation(
            self._seq, index, is_in_flight, self._record_at(index), seq_at, self._bytes
        )

    def announce(self, seq: int) -> None:
        """Let the reader expect the frame with this number."""
        self._words[_W_ISSUED] = seq

    def _free_slot(self) -> int:
        return free_slot(self._seqs(), self._issued, self._words[_W_MARK])

    def _check_fits(self, nbytes: int) -> None:
        if nbytes > self.slot_nbytes:
            raise ValueError(f"{nbytes = } does not fit into {self.slot_nbytes = }")

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<RingWriter {state} slot_nbytes={self.slot_nbytes} seq={self._seq}>"


class RingReader(_Ring):
    """The media process's end. One thread at a time."""

    @classmethod
    def attach(cls, fd: int) -> Self:
        """Map a ring that was made elsewhere; owns the descriptor from now on, unless it raises.

        Raises:
            MediaError: The memory does not hold a ring of this version, or cannot be mapped now.
        """
        magic, slot_nbytes, n_slots = _read_head(fd)
        nbytes = _total_nbytes(slot_nbytes, n_slots)
        is_whole = os.fstat(fd).st_size == nbytes
        if magic != _MAGIC or n_slots < HOST_SLOTS or not is_whole:
            raise MediaError(
                f"cannot read a ring with {magic = :#x}",
                expected=f"magic = {_MAGIC:#x}, and memory of the size that it says",
                fix="restart the kernel, so that both processes run one version of gpuview",
            )
        try:
            return cls(fd, slot_nbytes, n_slots)
        except OSError as exc:
            action = f"map a ring of {nbytes} bytes in the media process"
            raise system_refusal(action, exc) from exc

    def take(self) -> Slot | None:
        """Return the newest frame, also if it was taken before; None before the first frame."""
        while True:
            index, seq = self._newest()
            if seq == 0:
                return None
            self._words[_W_MARK] = index
            self._fence()
            code, width, height, capture_ns = self._header(index)[: CAPTURE_WORD + 1]
            self._fence()
            # The writer does not see a mark that was set too late, and may be in this slot by now.
            if self._newest() != (index, seq):
                continue
            return Slot(
                seq,
                pixel_format := PixelFormat(code),
                width,
                height,
                capture_ns,
                self._pixels(index, frame_nbytes(pixel_format, width, height)),
                self._seq_word(index),
                self._fence,
            )

    def is_expecting(self) -> bool:
        """Tell whether a device still writes a frame that is newer than the newest one here."""
        return bool(self._words[_W_ISSUED] > self._newest()[1])

    def _newest(self) -> tuple[int, int]:
        """Return the newest whole slot and its number."""
        seqs = self._seqs()
        seq = max(seqs)
        return seqs.index(seq), seq

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<RingReader {state} slot_nbytes={self.slot_nbytes}>"


def _read_head(fd: int) -> tuple[int, int, int]:
    """Return the magic, slot size and number of slots; zeros if the file is too short or a pipe."""
    try:
        magic, slot_nbytes, n_slots = struct.unpack("3q", os.pread(fd, 3 * _WORD_NBYTES, 0))
    except (OSError, struct.error):
        return 0, 0, 0
    return magic, slot_nbytes, n_slots


def _stride(slot_nbytes: int) -> int:
    """Return the bytes from one slot to the next: its header and pixels, in whole pages."""
    return -(-(HEADER_NBYTES + slot_nbytes) // _PAGE) * _PAGE


def _total_nbytes(slot_nbytes: int, n_slots: int) -> int:
    return _PAGE + n_slots * _stride(slot_nbytes)
