"""One connection to the media process of a kernel, over its unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from gpuview.protocol.local_socket import (
    MAX_FROM_MEDIA_NBYTES,
    TEXT,
    Hello,
    MessageReader,
    frame_message,
    is_private,
    short_path,
    socket_files,
)
from gpuview.server.refusal import CloseCode, Refused

__all__ = ["MediaConnection"]

_BUFFER_NBYTES = 64 * 1024
_CONNECT_S = 2.0
_MAX_TOKEN_CHARS = 1024


class MediaConnection:
    """A connection whose `Hello` is sent.

    What the media process sends waits in its own socket until `messages` is asked for more. Its
    methods belong to one event loop.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, runtime_dir: str, kernel_id: str, stream: str) -> Self:
        """Connect to a stream of a kernel; ``stream`` may be empty, see `Hello`.

        Raises:
            Refused: There is no media process, or its files are not private.
        """
        files = socket_files(runtime_dir, kernel_id)
        token = _read_token(files.socket, files.token)
        try:
            with short_path(files.socket) as path:
                async with asyncio.timeout(_CONNECT_S):
                    streams = await asyncio.open_unix_connection(path, limit=_BUFFER_NBYTES)
        except (OSError, TimeoutError) as exc:
            # A socket stays behind when its process is killed.
            raise _no_media_process() from exc
        connection = cls(*streams)
        connection._writer.write(frame_message(TEXT, Hello(token, stream).encode()))
        return connection

    async def send(self, kind: int, content: bytes) -> None:
        """Send one message, once the media process has taken most of those before it.

        Raises:
            OSError: The connection is lost.
        """
        self._writer.write(frame_message(kind, content))
        await self._writer.drain()

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the kind and content of each message until the media process ends the connection.

        Raises:
            OSError: The connection is lost.
            ValueError: What comes is no message.
        """
        reader = MessageReader(MAX_FROM_MEDIA_NBYTES)
        while data := await self._reader.read(_BUFFER_NBYTES):
            for message in reader.feed(data):
                yield message

    def close(self) -> None:
        """End the connection; what has not been sent is dropped. Closing again does nothing."""
        self._writer.transport.abort()


def _read_token(socket: Path, token: Path) -> str:
    if not socket.is_socket():
        raise _no_media_process()
    if not all(is_private(path) for path in (socket.parent, socket, token)):
        raise Refused(
            CloseCode.NOT_ALLOWED, "the media process's socket is not private to this server's user"
        )
    try:
        with token.open() as file:
            return file.read(_MAX_TOKEN_CHARS)
    except (OSError, UnicodeDecodeError) as exc:
        raise _no_media_process() from exc


def _no_media_process() -> Refused:
    return Refused(CloseCode.NO_MEDIA_PROCESS, "the kernel has no media process now")
