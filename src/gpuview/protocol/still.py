"""How a still picture goes to a page: a PNG in pieces, over a reliable data channel of its own.

The page opens the channel if it can show stills; ``js/src/still_assembler.ts`` is its half.
Each binary message is a piece: a header of three big-endian 32-bit numbers, then a part of the PNG.

    timestamp   the RTP timestamp of a frame that shows the picture
    nbytes      of the whole PNG
    offset      of this piece in it

A piece at offset 0 begins another still, whether or not the last one was whole. The text message
``moved`` with a timestamp says from which frame on the video shows another picture; it only
confirms what the timestamps say, see Note [picture number] in ``gpuview.media.encode.timestamp``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "MAX_STILL_NBYTES",
    "PIECE_NBYTES",
    "STILL_CHANNEL",
    "StillAssembler",
    "moved_message",
    "still_pieces",
]

STILL_CHANNEL = "gpuview-still"
"""The data channel's label."""

MAX_STILL_NBYTES = 8 * 1024 * 1024
"""No page gets or takes a larger PNG."""

PIECE_NBYTES = 16 * 1024
"""Of the PNG in one message."""

_HEADER = struct.Struct(">III")


def still_pieces(timestamp: int, png: bytes) -> Iterator[bytes]:
    """Return the messages for one still.

    Args:
        timestamp: Of a frame that shows the picture; its low 32 bits are used.
        png: The whole PNG.
    """
    for offset in range(0, len(png), PIECE_NBYTES):
        header = _HEADER.pack(timestamp & 0xFFFFFFFF, len(png), offset)
        yield header + png[offset : offset + PIECE_NBYTES]


def moved_message(timestamp: int) -> str:
    """Return the message that frames from this timestamp on show another picture."""
    return f"moved {timestamp & 0xFFFFFFFF}"


class StillAssembler:
    """Puts pieces together again, as a page does."""

    def __init__(self) -> None:
        self._timestamp = 0
        self._nbytes = 0
        self._png = bytearray()

    def take(self, piece: bytes) -> tuple[int, bytes] | None:
        """Take the next piece; return a still's timestamp and PNG when it is whole.

        Raises:
            ValueError: It is no piece, or not the next one.
        """
        if len(piece) <= _HEADER.size:
            raise ValueError(f"{len(piece) = } is no piece of a still")
        timestamp, nbytes, offset = _HEADER.unpack_from(piece)
        if offset == 0:
            self._timestamp, self._nbytes, self._png = timestamp, nbytes, bytearray()
        is_next = (timestamp, nbytes, offset) == (self._timestamp, self._nbytes, len(self._png))
        end = offset + len(piece) - _HEADER.size
        if not is_next or end > nbytes or nbytes > MAX_STILL_NBYTES:
            raise ValueError(f"{(timestamp, nbytes, offset, end) = } is not the next piece")
        self._png += piece[_HEADER.size :]
        return (timestamp, bytes(self._png)) if end == nbytes else None
