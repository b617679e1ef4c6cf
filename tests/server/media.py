"""A media process as the Jupyter server sees it: a socket that the test speaks on."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from gpuview.protocol.local_socket import (
    MAX_FROM_PAGE_NBYTES,
    TEXT,
    Hello,
    MessageReader,
    frame_message,
    short_path,
    socket_files,
)

__all__ = ["FakeMedia", "Pages"]

_TIMEOUT_S = 30.0


class Pages:
    """One connection from the server."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(_TIMEOUT_S)
        self.connection = connection
        self._reader = MessageReader(MAX_FROM_PAGE_NBYTES)
        self._messages = self._read()
        _, hello = self.take()
        self.hello = Hello.decode(hello)

    def _read(self) -> Iterator[tuple[int, bytes]]:
        while data := self.connection.recv(65536):
            yield from self._reader.feed(data)

    def take(self) -> tuple[int, bytes]:
        """Return the next message."""
        return next(self._messages)

    def is_closed(self) -> bool:
        """Wait until the server has ended the connection; False if a message comes instead."""
        try:
            return next(self._messages, None) is None
        except ConnectionResetError:
            return True

    def send(self, content: bytes, kind: int = TEXT) -> None:
        """Send one message."""
        self.connection.sendall(frame_message(kind, content))

    def send_json(self, **fields: Any) -> None:
        """Send one text message."""
        self.send(json.dumps(fields).encode())


class FakeMedia:
    """Listens in the place of a kernel's media process."""

    def __init__(self, runtime_dir: Path, kernel_id: str) -> None:
        self.token = secrets.token_hex(16)
        self.files = socket_files(runtime_dir, kernel_id)
        self.files.socket.parent.mkdir(mode=0o700, exist_ok=True)
        self.files.token.write_text(self.token)
        self.files.token.chmod(0o600)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(_TIMEOUT_S)
        self._stack = ExitStack()
        self._stack.enter_context(self._listener)
        with short_path(self.files.socket) as path:
            self._listener.bind(path)
        self.files.socket.chmod(0o600)
        self._listener.listen()

    def accept(self) -> Pages:
        """Return the next connection, whose Hello has come."""
        connection, _ = self._listener.accept()
        self._stack.enter_context(connection)
        return Pages(connection)

    def close(self) -> None:
        """End, and take the files away."""
        self._stack.close()
        self.files.socket.unlink(missing_ok=True)
        self.files.token.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
