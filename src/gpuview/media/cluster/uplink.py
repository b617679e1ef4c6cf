"""The worker's end: each of the notebook's channels is a page of the stream. On the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from gpuview.errors import SignalError
from gpuview.media.carriers.connection import MAX_UNSENT_NBYTES, ROOM_NBYTES
from gpuview.media.cluster.worker_dialler import Dialler
from gpuview.media.page_sessions import PageSession, PageSessions
from gpuview.protocol.cluster_messages import JoinChanged, JoinRun
from gpuview.protocol.local_socket import BINARY, TEXT
from gpuview.protocol.page_messages import Message, Problem
from gpuview.protocol.wire import encode_text
from gpuview.protocol.worker_channels import END, ChannelMessage

__all__ = ["Uplink"]

logger = logging.getLogger("gpuview.media")

_MAX_CHANNELS = 64


class Uplink:
    """Joins a run, and shows it a stream when it asks, from its construction to `close`.

    Args:
        joining: The run.
        pages: The stream's.
        send: Tells the kernel.
    """

    def __init__(
        self, joining: JoinRun, pages: PageSessions, send: Callable[[JoinChanged], None]
    ) -> None:
        self._pages = pages
        self._send = send
        self._last_sent: JoinChanged | None = None
        self._channels: dict[int, _Channel] = {}
        self._unsent: deque[ChannelMessage] = deque()
        self._unsent_nbytes = 0
        self._dialler = Dialler(
            joining,
            on_joined=self._joined,
            on_lost=self._lost,
            on_message=self._take,
            on_room=self._flush,
            on_problem=self._failed,
        )

    async def close(self) -> None:
        """Leave the run."""
        await self._dialler.close()
        self._end_all()

    @property
    def unsent_nbytes(self) -> int:
        """What ZeroMQ has not taken yet."""
        return self._unsent_nbytes

    def send(self, message: ChannelMessage) -> None:
        """Send a message now, or when there is room. Never waits."""
        self._unsent.append(message)
        self._unsent_nbytes += len(message.content)
        self._flush()
        if self._unsent_nbytes > MAX_UNSENT_NBYTES:  # its packets are bounded; this is no notebook
            self._drop_unsent()

    def forget(self, number: int) -> None:
        """Forget a channel that has ended."""
        self._channels.pop(number, None)

    def _flush(self) -> None:
        was_full = self._unsent_nbytes > ROOM_NBYTES
        while self._unsent and self._dialler.send(self._unsent[0]):
            self._unsent_nbytes -= len(self._unsent.popleft().content)
        if was_full and self._unsent_nbytes <= ROOM_NBYTES:
            for channel in list(self._channels.values()):
                channel.on_room()

    def _drop_unsent(self) -> None:
        self._unsent.clear()
        self._unsent_nbytes = 0

    # --- called by the dialler ------------------------------------------------------------------

    def _joined(self) -> None:
        self._tell(JoinChanged(is_connected=True))

    def _failed(self, problem: Problem) -> None:
        if self._last_sent is None or self._last_sent.problem != problem:
            logger.warning("%s", problem.problem)
        self._tell(JoinChanged(is_connected=False, problem=problem))

    def _lost(self) -> None:
        self._end_all()
        self._tell(JoinChanged(is_connected=False))

    def _take(self, message: ChannelMessage) -> None:
        channel = self._channels.get(message.channel)
        if channel is None and message.kind != END:
            channel = self._open(message.channel)
        if channel is None:
            return
        if message.kind == END:
            channel.end()
        else:
            channel.session.take(message.kind, message.content)

    def _open(self, number: int) -> _Channel | None:
        if len(self._channels) >= _MAX_CHANNELS:
            return None
        try:
            channel = _Channel(self, number, self._pages)
        except SignalError as exc:
            logger.warning("the notebook gets no more: %s", exc.problem)
            self.send(ChannelMessage(number, END, b""))
            return None
        self._channels[number] = channel
        channel.session.begin()
        return channel

    def _end_all(self) -> None:
        self._drop_unsent()
        for channel in list(self._channels.values()):
            channel.end()

    def _tell(self, message: JoinChanged) -> None:
        if message != self._last_sent:
            self._last_sent = message
            self._send(message)

    def __repr__(self) -> str:
        return f"<Uplink {self._dialler} channels={list(self._channels)}>"


class _Channel:
    """One channel, an `AnyConnection`.

    Raises:
        SignalError: The stream has too many pages.
    """

    def __init__(self, uplink: Uplink, number: int, pages: PageSessions) -> None:
        self.on_room: Callable[[], None] = lambda: None
        self.is_open = True
        self._uplink = uplink
        self._number = number
        self.session: PageSession = pages.open(self, "cluster")

    @property
    def unsent_nbytes(self) -> int:
        return self._uplink.unsent_nbytes

    @property
    def has_room(self) -> bool:
        return self.unsent_nbytes <= ROOM_NBYTES

    def send(self, message: Message) -> None:
        self._send(TEXT, encode_text(message).encode())

    def send_binary(self, content: bytes) -> None:
        self._send(BINARY, content)

    def close(self) -> None:
        """End the channel, and tell the notebook."""
        self._send(END, b"")
        self.end()

    def end(self) -> None:
        """End the channel, which the notebook has ended, or which has gone with it."""
        if self.is_open:
            self.is_open = False
            self._uplink.forget(self._number)
            # Later: the session or its viewer may be what ends it.
            asyncio.get_running_loop().call_soon(self.session.ended)

    def _send(self, kind: int, content: bytes) -> None:
        if self.is_open:
            self._uplink.send(ChannelMessage(self._number, kind, content))

    def __repr__(self) -> str:
        return f"<channel {self._number} {'open' if self.is_open else 'ended'}>"
