"""The notebook's view of one worker that has joined: its channels, its clock. On the event loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gpuview.errors import SignalError
from gpuview.media.cluster.listener import Peer
from gpuview.media.cluster.timeline import WorkerClock
from gpuview.media.link.message_budget import Budget
from gpuview.protocol.cluster_messages import Join, Synced
from gpuview.protocol.interaction_messages import TO_VIEW, Interaction, SetKnob
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Message, Ping, Pong, Refusal, Status
from gpuview.protocol.wire import decode_text, encode_text
from gpuview.protocol.worker_channels import ABOUT_CONNECTION, END, ChannelMessage

__all__ = ["Channel", "WorkerLink"]

logger = logging.getLogger("gpuview.media")

_MAX_MESSAGES_PER_S = 2000.0  # packets of all sizes and codecs, and the pieces of stills
_MAX_SAID_NBYTES = 64 * 1024  # to the kernel: its pipe takes 160,000 bytes
_MAX_SIDE = 16_384  # of a picture
_MAX_CLOCK_MS = 1e15
_FROM_WORKER: tuple[type[Message], ...] = (
    Interaction,
    Pong,
    Refusal,
    Status,
    Synced,
    *TO_VIEW,
)


class Channel:
    """One channel to a worker."""

    def __init__(self, link: WorkerLink, number: int, take: Callable[[int, bytes], None]) -> None:
        self.take = take
        """Called with the kind and the content of each message; a ValueError from it says that the
        worker has lied."""
        self._link = link
        self._number = number

    def send(self, message: Message) -> None:
        """Send a message; it is lost where the worker reads nothing."""
        self._link.send(self._number, TEXT, encode_text(message).encode())

    def end(self) -> None:
        """End it, so that the worker sends no more."""
        self._link.send(self._number, END, b"")
        self._link.forget(self._number)


class WorkerLink:
    """A worker's connection, from its joining until it is cut.

    Args:
        peer: Its connection.
        join: What it said of itself.
        on_said: Called with what it says to all views, to one, or of its picture.
        does_sync: Tells whether it agrees with other ranks on the step at which knobs change.
        on_turned: Called in this case with each knob that a view turns.
    """

    def __init__(
        self,
        peer: Peer,
        join: Join,
        on_said: Callable[[Message], None],
        does_sync: Callable[[], bool],
        on_turned: Callable[[SetKnob], None],
    ) -> None:
        self.peer = peer
        self.join = join
        self.clock = WorkerClock()
        self.picture_size = (0, 0)
        """Of its stream, as it said last."""
        self.is_lost = False
        """Whether nothing can be sent to it any more."""
        self.does_sync = does_sync
        self._on_said = on_said
        self._on_turned = on_turned
        self._channels: dict[int, Channel] = {}
        self._next_number = ABOUT_CONNECTION + 1
        self._budget = Budget(time.monotonic(), _MAX_MESSAGES_PER_S)
        self._base = self.open(self._hear)

    def open(self, take: Callable[[int, bytes], None]) -> Channel:
        """Open another channel: it is there for the worker when something is sent over it."""
        number = self._next_number
        self._next_number += 1
        channel = self._channels[number] = Channel(self, number, take)
        return channel

    def ping(self) -> None:
        """Ask for a sign of life, and for the time."""
        self._base.send(Ping(sent_ms=time.monotonic() * 1000))

    def say(self, message: Message) -> None:
        """Pass on what a view says; if it syncs, a knob to all ranks that do."""
        if isinstance(message, SetKnob) and self.does_sync():
            self._on_turned(message)
        else:
            self._base.send(message)

    def take(self, message: ChannelMessage) -> None:
        """Act on a message of the worker.

        Raises:
            ValueError: It has lied, or sends what nobody has asked for.
        """
        if not self._budget.spend(time.monotonic(), 1):
            raise ValueError(f"more than {_MAX_MESSAGES_PER_S:.0f} messages in a second")
        if message.channel >= self._next_number or message.channel == ABOUT_CONNECTION:
            raise ValueError("something that nobody has asked for")
        channel = self._channels.get(message.channel)
        if channel is None:
            return  # it was under way when the channel was ended
        if message.kind == END:
            self.forget(message.channel)
        channel.take(message.kind, message.content)

    def send(self, number: int, kind: int, content: bytes) -> None:
        """Send a message over a channel."""
        if not self.peer.send(ChannelMessage(number, kind, content)):
            self.is_lost = True

    def forget(self, number: int) -> None:
        """Forget a channel that has ended."""
        self._channels.pop(number, None)

    def _hear(self, kind: int, content: bytes) -> None:
        if kind != TEXT:
            raise ValueError("something that nobody has asked for")
        match message := _decoded(content):
            case Pong():
                _check_size(message)
                _check_time(message.clock_ms)
                now_ms = time.monotonic() * 1000
                self.clock.take_pong(min(message.sent_ms, now_ms), now_ms, message.clock_ms)
                self.picture_size = message.width, message.height
                self._on_said(message)
            case Status() | Interaction() if len(content) > _MAX_SAID_NBYTES:
                raise ValueError(f"a {type(message).__name__} of {len(content)} bytes")
            case Status():
                _check_size(message)
                _check_time(message.made_ms)
                self._on_said(message.with_made_ms(self.clock.on_ours(message.made_ms)))
            case _:
                self._on_said(message)

    def __repr__(self) -> str:
        return f"<WorkerLink rank {self.join.rank} on {self.join.host}>"


def _check_size(message: Pong | Status) -> None:
    if not (0 <= message.width <= _MAX_SIDE and 0 <= message.height <= _MAX_SIDE):
        raise ValueError("a picture that cannot be")


def _check_time(clock_ms: float) -> None:
    if not 0 <= clock_ms <= _MAX_CLOCK_MS:
        raise ValueError("a time that cannot be")


def _decoded(content: bytes) -> Message:
    try:
        return decode_text(content.decode(), *_FROM_WORKER)
    except SignalError as exc:
        raise ValueError(exc.problem) from exc
