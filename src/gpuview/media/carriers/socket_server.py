"""The media process's socket for the jupyter-server extension: its files, and who may connect.

The socket takes the place of one that a killed process has left. If it cannot be made, there is one
carrier less, and all else works.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from gpuview.errors import SignalError
from gpuview.media.carriers.connection import Connection
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.local_socket import TEXT, Hello, is_private, short_path
from gpuview.protocol.page_messages import Refusal

__all__ = ["MAX_CONNECTIONS", "SocketServer"]

logger = logging.getLogger("gpuview.media")

MAX_CONNECTIONS = 256
"""Views that may be connected at a time."""

HELLO_TIMEOUT_S = 5.0
"""A peer that has not said who it is by then is sent away."""

_BACKLOG = 64
_TOKEN_NBYTES = 32

OnMessage = Callable[[int, bytes], None]


class SocketServer:
    """Listens from its construction to `close`.

    Args:
        path: Of the socket; the token's file is beside it.
        admit: Called for each connection that said the token, with the stream that it names;
            returns what is to be called with its further messages, and what when it has ended.
            A SignalError refuses it.

    Raises:
        OSError: The files cannot be made, or are not ours.
    """

    def __init__(
        self,
        path: Path,
        admit: Callable[[Connection, str], tuple[OnMessage, Callable[[], None]]],
    ) -> None:
        self._path = path
        self._token_path = path.with_suffix(".token")
        self._token = secrets.token_urlsafe(_TOKEN_NBYTES)
        self._admit = admit
        self._peers: dict[Connection, _Peer] = {}
        self._loop = asyncio.get_running_loop()
        _make_folder(path.parent)
        try:
            self._write_token()
            self._sock = self._bind()
        except OSError:
            self._remove(self._token_path)
            raise
        self._loop.add_reader(self._sock.fileno(), self._accept)
        self._tasks = BackgroundTasks()

    def __len__(self) -> int:
        return len(self._peers)

    def close(self) -> None:
        """Remove the files, unless another process's have taken their place; cut everybody off."""
        self._remove(self._token_path, self._path)
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        for connection in list(self._peers):
            connection.close()

    # --- the files ------------------------------------------------------------------------------

    def _write_token(self) -> None:
        with _replacing(self._token_path) as new:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, 0o600), "w") as file:
                file.write(self._token)

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with _replacing(self._path) as new:
                with short_path(new) as address:
                    sock.bind(address)
                os.chmod(new, 0o600)  # nobody can connect before: the folder is ours alone
                sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
        return sock

    def _remove(self, *paths: Path) -> None:
        """Remove these files unless a successor's are there, which writes its token first."""
        with contextlib.suppress(OSError):
            if self._token_path.read_text() == self._token:
                for path in paths:
                    path.unlink()

    # --- the connections ------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:  # it has gone, or no descriptor is left
            return
        if len(self._peers) >= MAX_CONNECTIONS:
            logger.warning("a page is sent away: %d are connected", len(self._peers))
            sock.close()
            return
        sock.setblocking(False)
        connection = Connection(self._hear, self._forget)
        timer = self._loop.call_later(HELLO_TIMEOUT_S, connection.close)
        self._peers[connection] = _Peer(timer)
        self._tasks.spawn(self._connect(connection, sock))

    async def _connect(self, connection: Connection, sock: socket.socket) -> None:
        await self._loop.connect_accepted_socket(lambda: connection, sock)

    def _hear(self, connection: Connection, kind: int, content: bytes) -> None:
        peer = self._peers[connection]
        if peer.on_message is not None:
            peer.on_message(kind, content)
            return
        peer.timer.cancel()
        try:
            peer.on_message, peer.on_closed = self._admit(
                connection, self._stream_of(kind, content)
            )
        except SignalError as exc:
            parts = {"problem": exc.problem, "expected": exc.expected, "fix": exc.fix}
            connection.send(Refusal(view="", seq=0, **parts))
            connection.close_soon()

    def _stream_of(self, kind: int, content: bytes) -> str:
        """Return the stream that a peer's first message names.

        Raises:
            SignalError: It is no `Hello`, or has another token.
        """
        try:
            if kind != TEXT:
                raise ValueError("not a text")
            hello = Hello.decode(content)
            is_known = hmac.compare_digest(hello.token.encode(), self._token.encode())
        except (ValueError, RecursionError):
            is_known = False
        if not is_known:
            raise SignalError(
                "the first message is no greeting with this process's token",
                expected="the token in the file beside the socket",
                fix="read it anew: the media process may have been replaced",
            )
        return hello.stream

    def _forget(self, connection: Connection) -> None:
        peer = self._peers.pop(connection)
        peer.timer.cancel()
        peer.on_closed()

    def __repr__(self) -> str:
        return f"<SocketServer connections={len(self._peers)}>"


class _Peer:
    """One connection; without `on_message` until it has said the token."""

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.timer = timer
        self.on_message: OnMessage | None = None
        self.on_closed: Callable[[], None] = lambda: None


def _make_folder(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not folder.is_dir() or not is_private(folder):
        raise PermissionError(f"{folder} is not ours alone")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` for what takes its place, all at once, if nothing is raised."""
    if os.path.lexists(path) and not is_private(path):
        raise PermissionError(f"{path} is not ours alone")
    new = path.with_name(f".{secrets.token_hex(8)}")
    try:
        yield new
        os.replace(new, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
