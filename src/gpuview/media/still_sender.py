"""Sends one viewer the picture that stands still, without loss, over a data channel or a carrier.

It starts when the viewer has been sent a frame of the picture, and stops as soon as a frame of
another one follows. Pieces are paced below the link's rate, so that a new frame finds the link
nearly free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiortc import RTCDataChannel

from gpuview.media.encode.codec import Packet
from gpuview.media.encode.still import Still, StillBoard
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.still import MAX_STILL_NBYTES, PIECE_NBYTES, moved_message, still_pieces

__all__ = [
    "MAX_BUFFERED_NBYTES",
    "StillChannel",
    "StillDataChannel",
    "StillSender",
    "is_worth_sending",
]

MAX_BUFFERED_NBYTES = 64 * 1024
"""The most that waits for one viewer's link; a page that never reads costs no more."""

_LONGEST_S = 2.0
_SHARE = 0.75
_MIN_RATE_BPS = 50_000.0


def is_worth_sending(nbytes: int, target_bps: float, *, stood_s: float, gap_s: float) -> bool:
    """Tell whether a still is likely to be seen, and does not cost the link too much.

    Args:
        nbytes: The PNG's size.
        target_bps: What may be sent.
        stood_s: How long the picture has stood still.
        gap_s: The time between the picture before and this one. In a stream that pushes regularly,
            the next picture comes so long after this one; then a longer still would be for nothing.
    """
    takes_s = nbytes * 8 / (_SHARE * max(target_bps, _MIN_RATE_BPS))
    if nbytes > MAX_STILL_NBYTES or takes_s > _LONGEST_S:
        return False
    return stood_s + takes_s < gap_s or stood_s > gap_s


class StillChannel(Protocol):
    """Where a viewer's stills go."""

    @property
    def buffered_nbytes(self) -> int:
        """What has not left yet."""

    def send(self, piece: bytes) -> None:
        """Send a piece; nothing happens if the channel is closed."""

    def say_moved(self, timestamp: int) -> None:
        """Say that from this timestamp on the video shows another picture."""

    def on_room(self, callback: Callable[[], None]) -> None:
        """Call back whenever there is room for another piece again."""


class StillDataChannel:
    """A `StillChannel` over WebRTC."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.bufferedAmountLowThreshold = MAX_BUFFERED_NBYTES - PIECE_NBYTES

    @property
    def buffered_nbytes(self) -> int:
        return int(self._channel.bufferedAmount)

    def send(self, piece: bytes | str) -> None:
        if self._channel.readyState == "open":
            self._channel.send(piece)

    def say_moved(self, timestamp: int) -> None:
        self.send(moved_message(timestamp))

    def on_room(self, callback: Callable[[], None]) -> None:
        self._channel.on("bufferedamountlow", callback)


class StillSender:
    """One viewer's stills. Lives on the event loop.

    Args:
        board: The stream's.
        target_bps: Returns what may be sent to the viewer.
    """

    def __init__(self, board: StillBoard, target_bps: Callable[[], float]) -> None:
        self.n_sent = 0
        """How many stills were sent whole."""
        self._board = board
        self._target_bps = target_bps
        self._channel: StillChannel | None = None
        self._has_room = asyncio.Event()
        self._tasks = BackgroundTasks()
        self._sending: asyncio.Task[None] | None = None
        # Of the picture in the last packet.
        self._capture_ns = 0
        self._timestamp = 0
        self._gap_s = 0.0
        self._is_begun = False  # its still, on the channel

    def open(self, channel: StillChannel) -> None:
        """Send stills over this channel. Only the first one counts."""
        if self._channel is not None:
            return
        self._channel = channel
        channel.on_room(self._has_room.set)
        self._board.listen(self._look)
        self._look()

    def follow(self, packet: Packet) -> None:
        """Note that the viewer is sent this packet now."""
        if packet.capture_ns != self._capture_ns:
            self._gap_s = (packet.capture_ns - self._capture_ns) / 1e9
            self._capture_ns, self._timestamp = packet.capture_ns, packet.timestamp
            self._move()
        self._look()

    async def close(self) -> None:
        """Send nothing more."""
        self._board.leave(self._look)
        await self._tasks.cancel()

    def _move(self) -> None:
        """Stop what belongs to the picture before."""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._is_begun and self._channel is not None:
            self._is_begun = False
            self._channel.say_moved(self._timestamp)

    def _look(self) -> None:
        """Begin with the still of the present picture, if it is there and worth it."""
        still = self._board.newest
        if self._channel is None or still is None or self._sending is not None or self._is_begun:
            return
        stood_s = asyncio.get_running_loop().time() - self._capture_ns / 1e9
        if still.capture_ns == self._capture_ns and is_worth_sending(
            len(still.png), self._target_bps(), stood_s=stood_s, gap_s=self._gap_s
        ):
            self._sending = self._tasks.spawn(self._send_all(self._channel, still, self._timestamp))

    async def _send_all(self, channel: StillChannel, still: Still, timestamp: int) -> None:
        for piece in still_pieces(timestamp, still.png):
            await self._wait_for_room(channel)
            self._is_begun = True
            channel.send(piece)
            rate_bps = max(self._target_bps(), _MIN_RATE_BPS)
            await asyncio.sleep(len(piece) * 8 / (_SHARE * rate_bps))
        self.n_sent += 1
        self._sending = None

    async def _wait_for_room(self, channel: StillChannel) -> None:
        while channel.buffered_nbytes > MAX_BUFFERED_NBYTES - PIECE_NBYTES:
            self._has_room.clear()
            await self._has_room.wait()

    def __repr__(self) -> str:
        state = "off" if self._channel is None else "sending" if self._sending else "idle"
        return f"<StillSender {state} sent={self.n_sent}>"
