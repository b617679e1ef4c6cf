"""One MP4 file of packets that are encoded already.

It is written in fragments, each whole: a file that was cut off between two writes plays up to
there. `Mp4File.close` adds the index that makes it an ordinary file, since Chromium shows the
length of the first few fragments for one without.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime

import av

from gpuview.media.encode.codec import TIME_BASE, Packet

__all__ = ["Mp4File"]

_FRAGMENT_US = 500_000
_OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+hybrid_fragmented",
    "frag_duration": str(_FRAGMENT_US),
    "flush_packets": "1",
}


class Mp4File:
    """A file that packets of one size are written to. One thread at a time.

    The muxer keeps some 75 bytes of memory a packet for the index.

    Args:
        fd: The descriptor of an empty file; owned once this returns.
        first: The packet that will be added first, a keyframe of H.264.
    """

    def __init__(self, fd: int, first: Packet) -> None:
        self.nbytes = 0
        """What has been written: whole fragments."""
        self.size = (first.width, first.height)
        self._fd = fd
        self._has_failed = False
        self._start = first.timestamp
        self._memory = _Memory()
        self._container = av.open(self._memory, "w", format="mp4", options=_OPTIONS)
        self._container.metadata["creation_time"] = datetime.now(UTC).isoformat()
        self._stream = self._container.add_mux_stream(
            "h264", width=first.width, height=first.height, time_base=TIME_BASE
        )
        self._last: Packet | None = None  # how long it is shown, the next one tells

    def add(self, packet: Packet) -> None:
        """Add a packet; a fragment is written when half a second has been collected.

        Raises:
            OSError: The file cannot be written. It ends with the last whole fragment.
        """
        self._mux_last(packet.timestamp)
        self._last = packet

    def close(self, end: int) -> None:
        """Write what has been collected, and the index, unless writing has failed before.

        The descriptor is closed in any case.

        Args:
            end: Until when the last picture was shown, as a packet's timestamp.

        Raises:
            OSError: As `add`.
        """
        try:
            if not self._has_failed:
                self._mux_last(end)
                self._container.close()
                self._write()
        finally:
            os.close(self._fd)

    def _mux_last(self, end: int) -> None:
        last, self._last = self._last, None
        if last is None:
            return
        packet = av.Packet(last.data)
        packet.stream = self._stream
        packet.time_base = TIME_BASE
        packet.pts = packet.dts = last.timestamp - self._start
        packet.duration = max(1, end - last.timestamp)
        packet.is_keyframe = last.is_keyframe
        self._container.mux(packet)
        self._write()

    def _write(self) -> None:
        try:
            for offset, data in self._memory.take():
                _write_all(self._fd, data, offset)
        except OSError:
            self._has_failed = True  # an index would name what is not there
            with suppress(OSError):
                os.ftruncate(self._fd, self.nbytes)
            raise
        self.nbytes = self._memory.nbytes

    def __repr__(self) -> str:
        width, height = self.size
        return f"<Mp4File {width}x{height} {self.nbytes} bytes>"


class _Memory:
    """The file that the muxer writes to: keeps what was written since the last `take`."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._at = 0
        self._writes: list[tuple[int, bytes]] = []

    def write(self, data: bytes) -> int:
        self._writes.append((self._at, bytes(data)))
        self._at += len(data)
        self.nbytes = max(self.nbytes, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = (
            offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.nbytes}[whence]
        )
        return self._at

    def tell(self) -> int:
        return self._at

    def take(self) -> list[tuple[int, bytes]]:
        """Return each write's offset and bytes, in order."""
        writes, self._writes = self._writes, []
        return writes


def _write_all(fd: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        n_written = os.pwrite(fd, rest, offset)
        rest, offset = rest[n_written:], offset + n_written
