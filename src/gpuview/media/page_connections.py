"""How pages that WebRTC does not reach come to a stream: the process's socket, and the kernel's."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from gpuview.errors import SignalError
from gpuview.media.carriers.connection import Connection
from gpuview.media.carriers.socket_server import OnMessage, SocketServer
from gpuview.media.negotiation import no_stream
from gpuview.media.page_sessions import PageSession
from gpuview.media.stream import Stream
from gpuview.protocol.media_messages import Health

__all__ = ["PageConnections"]

logger = logging.getLogger("gpuview.media")


class PageConnections:
    """Leads each connection to the stream that it is for. Lives on the event loop.

    Args:
        streams: All open streams, by name; the owner's, which changes them.
    """

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._server: SocketServer | None = None

    def listen(self, path: Path) -> None:
        """Listen for the jupyter-server extension; without its socket, all else works."""
        try:
            self._server = SocketServer(path, self._admit)
        except OSError as exc:
            logger.warning("no view can use the jupyter-server extension: %s", exc)

    async def take(self, stream: Stream, sock: socket.socket) -> None:
        """Hear a page that the kernel passes on. The socket is owned from here."""
        sessions: list[PageSession] = []
        connection = Connection(
            lambda _, kind, content: sessions[0].take(kind, content),
            lambda _: sessions[0].ended(),
        )
        try:
            sessions.append(stream.pages.open(connection, "comm"))
        except SignalError as exc:
            logger.warning("a view cannot be reached through the kernel: %s", exc)
            sock.close()
            return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock)
        except BaseException:
            sock.close()
            sessions[0].ended()
            raise
        sessions[0].begin()

    def close(self) -> None:
        """Close the socket and its connections."""
        if self._server is not None:
            self._server.close()

    def _admit(self, connection: Connection, name: str) -> tuple[OnMessage, Callable[[], None]]:
        """Hear a page of a stream, or tell the extension how all streams are.

        Raises:
            SignalError: There is no such stream, or too many pages.
        """
        if not name:
            connection.send(self._health())
            connection.close_soon()
            return lambda kind, content: None, lambda: None
        stream = self._streams.get(name)
        if stream is None:
            raise no_stream(name)
        session = stream.pages.open(connection, "socket")
        session.begin()
        return session.take, session.ended

    def _health(self) -> Health:
        return Health(
            pid=os.getpid(), streams=[stream.health() for stream in self._streams.values()]
        )

    def __repr__(self) -> str:
        return f"<PageConnections {self._server}>"
