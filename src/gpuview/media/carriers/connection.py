"""Whole messages over one stream socket. Lives on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from gpuview.protocol.local_socket import (
    BINARY,
    MAX_FROM_PAGE_NBYTES,
    TEXT,
    MessageReader,
    frame_message,
)
from gpuview.protocol.page_messages import Message
from gpuview.protocol.wire import encode_text

__all__ = ["MAX_UNSENT_NBYTES", "ROOM_NBYTES", "AnyConnection", "Connection"]

logger = logging.getLogger("gpuview.media")

ROOM_NBYTES = 64 * 1024
"""While more than this is unsent, no further packet is."""

MAX_UNSENT_NBYTES = 16 * 1024 * 1024
"""A peer that lets more wait than the largest message and some replies is cut off."""


class AnyConnection(Protocol):
    """One page's connection, or what stands for it."""

    on_room: Callable[[], None]
    """Called when there is room again, after `has_room` was False."""

    @property
    def is_open(self) -> bool: ...

    @property
    def unsent_nbytes(self) -> int:
        """What the peer has not taken yet."""

    @property
    def has_room(self) -> bool:
        """Whether the peer takes what is sent."""

    def send(self, message: Message) -> None:
        """Send a message as text. Never waits."""

    def send_binary(self, content: bytes) -> None:
        """Send a packet or a piece of a still. Never waits."""

    def close(self) -> None:
        """End the connection; what is unsent may be dropped. Safe to call twice."""


class Connection(asyncio.Protocol):
    """One page's connection, an `AnyConnection`.

    Args:
        on_message: Called with the kind and the content of each message. An exception from it ends
            this connection only.
        on_closed: Called once, when the connection has ended, whoever ended it.
    """

    def __init__(
        self,
        on_message: Callable[[Connection, int, bytes], None],
        on_closed: Callable[[Connection], None],
    ) -> None:
        self.on_room: Callable[[], None] = lambda: None
        """Called when there is room again, after `has_room` was False."""
        self._on_message = on_message
        self._on_closed = on_closed
        self._reader = MessageReader(MAX_FROM_PAGE_NBYTES)
        self._transport: asyncio.Transport | None = None
        self._is_over = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._is_over

    @property
    def unsent_nbytes(self) -> int:
        """What the peer has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def has_room(self) -> bool:
        """Whether the peer takes what is sent."""
        return self.unsent_nbytes <= ROOM_NBYTES

    def send(self, message: Message) -> None:
        """Send a message as text. Never waits."""
        self._write(TEXT, encode_text(message).encode())

    def send_binary(self, content: bytes) -> None:
        """Send a packet or a piece of a still. Never waits."""
        self._write(BINARY, content)

    def close(self) -> None:
        """End the connection; what is unsent is dropped. Safe to call twice."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()

    def close_soon(self) -> None:
        """End the connection when the peer has taken what was sent."""
        self._is_over = True
        if self._transport is not None:
            self._transport.close()

    def _write(self, kind: int, content: bytes) -> None:
        if self._transport is None or self._is_over:
            return
        self._transport.write(frame_message(kind, content))
        if self.unsent_nbytes > MAX_UNSENT_NBYTES:
            logger.warning("a page's connection takes nothing any more, and is closed")
            self.close()

    # --- called by asyncio ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=ROOM_NBYTES // 2)
        if self._is_over:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for kind, content in self._reader.feed(data):
                if self._is_over:
                    return
                self._on_message(self, kind, content)
        except ValueError as exc:
            logger.warning("a page's connection is closed, which sent %s", exc)
            self.close()
        except Exception:
            logger.exception("gpuview failed inside, please report it")
            self.close()

    def resume_writing(self) -> None:
        self.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._on_closed(self)

    def __repr__(self) -> str:
        return f"<Connection {'open' if self.is_open else 'closed'} unsent={self.unsent_nbytes}>"
