"""The shared ring: how a frame goes from the kernel to the media process, newest frame wins.

One writer, one reader, three slots in memory that both have mapped; nobody ever waits.

    writer   takes the slot that is neither the newest nor marked, writes it, makes it the newest
    reader   marks the newest slot, reads it in place, and checks at the end that it is still whole

The slots' sequence numbers make a torn frame visible (a seqlock): 0 while a slot is written, the
frame's number after that. The mark only makes it rare: without memory barriers, which Python does
not have, a writer may miss a mark that was set in the same instant. Reading therefore ends with
`Slot.is_whole`.

The memory is a memfd and has no name, so nothing is left behind when both processes die, whatever
killed them. The ring wakes nobody: the stream's eventfd does that (``engine``), as it outlives a
ring, which is replaced when frames outgrow it.
"""

from __future__ import annotations

import enum
import mmap
import os
import time
from dataclasses import dataclass
from typing import Self

from gpuview.errors import MediaError

__all__ = ["MIN_SIDE", "PixelFormat", "RingReader", "RingWriter", "Slot", "frame_nbytes"]

MIN_SIDE = 16
"""Frames in the ring have even sides of at least this many pixels: below, codecs refuse."""

_MAGIC = 0x67707576_00000001  # "gpuv", version 1
_SLOTS = 3
_PAGE = 4096
_FIELDS = 8  # 64-bit words of a slot's header

# Words of the ring's header.
_W_MAGIC, _W_SLOT_NBYTES, _W_NEWEST, _W_MARK = range(4)
# Words of a slot's header.
_S_SEQ, _S_FORMAT, _S_WIDTH, _S_HEIGHT, _S_CAPTURE = range(5)


class PixelFormat(enum.IntEnum):
    """How a slot's bytes are to be read."""

    RGB24 = 1
    """``(H, W, 3)`` uint8, gamma-encoded, full range."""
    I420 = 2
    """``(H, W)`` luma, then two ``(H/2, W/2)`` chroma planes; uint8, BT.601 limited range."""


def frame_nbytes(pixel_format: PixelFormat, width: int, height: int) -> int:
    """Return the size in bytes of one frame; ``width`` and ``height`` are even."""
    pixels = width * height
    return pixels * 3 if pixel_format is PixelFormat.RGB24 else pixels * 3 // 2


@dataclass(frozen=True, slots=True)
class Slot:
    """One frame in the ring, read in place.

    Valid until the next `RingReader.take`. Copy what must live longer, then ask `is_whole`.
    """

    seq: int
    """The frame's number, from 1; gaps are frames that nobody has seen."""
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

    def is_whole(self) -> bool:
        """Tell whether the writer has left this slot alone since it was taken."""
        return bool(self._seq_word[0] == self.seq)


class _Ring:
    """The mapping that both ends have."""

    def __init__(self, fd: int, slot_nbytes: int) -> None:
        self.fd = fd
        self.slot_nbytes = slot_nbytes
        # Views of bytes and of 64-bit words, and not NumPy's, which the media process would have to
        # import: a fifth of its start-up.
        self._bytes = memoryview(mmap.mmap(fd, _total_nbytes(slot_nbytes)))
        self._words = self._bytes[:_PAGE].cast("q")

    def _slot_words(self, index: int) -> memoryview:
        start = _FIELDS * (index + 1)
        return self._words[start : start + _FIELDS]

    def _slot_bytes(self, index: int, nbytes: int) -> memoryview:
        start = _PAGE + index * self.slot_nbytes
        return self._bytes[start : start + nbytes]

    @property
    def is_open(self) -> bool:
        return self.fd >= 0

    def close(self) -> None:
        """Close the descriptor and let go of the memory, which goes with its last slot."""
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
    def create(cls, slot_nbytes: int) -> Self:
        """Make a ring whose slots hold frames of up to ``slot_nbytes`` bytes.

        Raises:
            MediaError: This system has no memfd, or no memory is left.
        """
        slot_nbytes = -(-slot_nbytes // _PAGE) * _PAGE
        fd = -1
        try:
            fd = os.memfd_create("gpuview-ring", os.MFD_CLOEXEC)
            os.ftruncate(fd, _total_nbytes(slot_nbytes))
            ring = cls(fd, slot_nbytes)
        except (AttributeError, OSError) as exc:
            if fd >= 0:
                os.close(fd)
            raise MediaError(
                f"cannot make a ring of {_SLOTS} x {slot_nbytes} bytes of shared memory: {exc}",
                expected="Linux, and that much memory free",
                fix="free some memory, or push smaller frames",
            ) from exc
        ring._words[_W_SLOT_NBYTES] = slot_nbytes
        ring._words[_W_NEWEST] = ring._words[_W_MARK] = -1
        ring._words[_W_MAGIC] = _MAGIC
        return ring

    def __init__(self, fd: int, slot_nbytes: int) -> None:
        super().__init__(fd, slot_nbytes)
        self._seq = 0
        self._open_slot = -1

    @property
    def seq(self) -> int:
        """How many frames have been published."""
        return self._seq

    def begin(self, nbytes: int) -> memoryview:
        """Return the bytes of a free slot to write a frame of ``nbytes`` into; then `publish`.

        Beginning again without `publish` gives the slot up, as after an error.
        """
        if nbytes > self.slot_nbytes:
            raise ValueError(f"{nbytes = } does not fit into {self.slot_nbytes = }")
        taken = {self._words[_W_NEWEST], self._words[_W_MARK]}
        self._open_slot = next(index for index in range(_SLOTS) if index not in taken)
        self._slot_words(self._open_slot)[_S_SEQ] = 0
        return self._slot_bytes(self._open_slot, nbytes)

    def publish(
        self,
        pixel_format: PixelFormat,
        width: int,
        height: int,
        capture_ns: int | None = None,
    ) -> None:
        """Make the slot that `begin` gave the newest frame."""
        words = self._slot_words(self._open_slot)
        words[_S_FORMAT] = pixel_format
        words[_S_WIDTH] = width
        words[_S_HEIGHT] = height
        words[_S_CAPTURE] = time.monotonic_ns() if capture_ns is None else capture_ns
        self._seq += 1
        words[_S_SEQ] = self._seq
        self._words[_W_NEWEST] = self._open_slot
        self._open_slot = -1

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<RingWriter {state} slot_nbytes={self.slot_nbytes} seq={self._seq}>"


class RingReader(_Ring):
    """The media process's end. One thread at a time."""

    @classmethod
    def attach(cls, fd: int) -> Self:
        """Map a ring that was made elsewhere; owns the descriptor from now on, unless it raises.

        Raises:
            MediaError: The memory does not hold a ring of this version.
        """
        magic, slot_nbytes = _read_head(fd)
        if magic != _MAGIC or os.fstat(fd).st_size != _total_nbytes(slot_nbytes):
            raise MediaError(
                f"cannot read a ring with {magic = :#x}",
                expected=f"magic = {_MAGIC:#x}, and memory of the size that it says",
                fix="restart the kernel, so that both processes run one version of gpuview",
            )
        return cls(fd, slot_nbytes)

    def take(self) -> Slot | None:
        """Return the newest frame, also when it was taken before; None before the first one."""
        while True:
            index = self._words[_W_NEWEST]
            if index < 0:
                return None
            self._words[_W_MARK] = index
            words = self._slot_words(index)
            seq, code, width, height, capture_ns = words[: _S_CAPTURE + 1]
            # A mark set too late was not seen by the writer, who may be in this slot by now.
            if seq == 0 or self._words[_W_NEWEST] != index or words[_S_SEQ] != seq:
                continue
            pixel_format = PixelFormat(code)
            nbytes = frame_nbytes(pixel_format, width, height)
            data = self._slot_bytes(index, nbytes)
            return Slot(seq, pixel_format, width, height, capture_ns, data, words[:1])

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<RingReader {state} slot_nbytes={self.slot_nbytes}>"


def _read_head(fd: int) -> tuple[int, int]:
    """Return the magic and the slot size at the start of a memory; zeros where it has none."""
    try:
        with mmap.mmap(fd, _PAGE, access=mmap.ACCESS_READ) as head:
            words = memoryview(head[:_PAGE]).cast("q")
    except (OSError, ValueError):
        return 0, 0
    return words[_W_MAGIC], words[_W_SLOT_NBYTES]


def _total_nbytes(slot_nbytes: int) -> int:
    return _PAGE + _SLOTS * slot_nbytes
