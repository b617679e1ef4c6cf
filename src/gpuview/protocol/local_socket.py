"""The media process's socket for the jupyter-server extension, and how messages cross it.

The socket is ``<runtime dir>/gpuview/<kernel id>.sock``, with a token in ``<kernel id>.token``
beside it. Both are readable by their owner only. The extension opens one connection for each page.
Its first message is a `Hello`, as JSON text. If the media process takes it, what follows both ways
are the messages of `gpuview.protocol.carrier_packets`, and the extension passes them on unread.
Otherwise one text message, a `Refusal`, says why, and the connection ends.

Each message is a length of 32 bits, big-endian, then one byte for its kind, then its content. The
kernel speaks the same over a socket pair for pages that are reached by the widget's comm only; no
`Hello` is needed there.

The extension also tells the kernels that its server starts that it is there, by their environment.

This module is also imported where only the extension is installed: the standard library is enough.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import struct
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BINARY",
    "MAX_FROM_MEDIA_NBYTES",
    "MAX_FROM_PAGE_NBYTES",
    "TEXT",
    "Hello",
    "MessageReader",
    "SocketFiles",
    "announce_extension",
    "frame_message",
    "is_extension_announced",
    "is_private",
    "short_path",
    "socket_files",
]

TEXT, BINARY = 0, 1
"""The kinds of messages."""

MAX_FROM_PAGE_NBYTES = 256 * 1024
"""The longest message to the media process; an offer has 6,000 bytes."""

MAX_FROM_MEDIA_NBYTES = 8 * 1024 * 1024
"""The longest message from the media process: a keyframe, or less."""

_SERVER_VARIABLE, _STARTED_BY_VARIABLE = "JUPYTER_GPUVIEW_PID", "JPY_PARENT_PID"

_PREFIX = struct.Struct(">IB")
_KERNEL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class SocketFiles:
    """Where the media process of one kernel is found."""

    socket: Path
    token: Path


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a connection."""

    token: str
    stream: str
    """The stream's name; empty to ask about the media process as a whole."""

    def encode(self) -> bytes:
        return json.dumps({"token": self.token, "stream": self.stream}).encode()

    @classmethod
    def decode(cls, text: bytes) -> Hello:
        """Read what `encode` wrote.

        Raises:
            ValueError: It is something else.
        """
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("no object")
        token, stream = fields.get("token"), fields.get("stream")
        if not (isinstance(token, str) and isinstance(stream, str)):
            raise ValueError("no token, or no stream")
        return cls(token, stream)

    def __repr__(self) -> str:
        return f"Hello(stream={self.stream!r})"


def socket_files(runtime_dir: str | os.PathLike[str], kernel_id: str) -> SocketFiles:
    """Return the files of a kernel's media process, which need not exist.

    Raises:
        ValueError: ``kernel_id`` is no kernel's id.
    """
    if not _KERNEL_ID.match(kernel_id):
        raise ValueError("a kernel's id has 1 to 64 letters, digits, _ and -")
    folder = Path(runtime_dir) / "gpuview"
    return SocketFiles(folder / f"{kernel_id}.sock", folder / f"{kernel_id}.token")


def announce_extension(environment: MutableMapping[str, str]) -> None:
    """Let the kernels that this process starts know that the extension is in it."""
    environment[_SERVER_VARIABLE] = str(os.getpid())


def is_extension_announced(environment: Mapping[str, str]) -> bool:
    """Tell whether the server that started this kernel has the extension.

    Other servers may be started from a terminal of that one, with its environment: jupyter-client
    says which process has started the kernel.
    """
    server = environment.get(_SERVER_VARIABLE)
    return server is not None and server == environment.get(_STARTED_BY_VARIABLE)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a name of ``path`` that is short enough for a socket's address, 107 bytes.

    Raises:
        OSError: Its folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def is_private(path: Path) -> bool:
    """Tell whether ``path`` is ours and closed to all others. No link is followed."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    is_ours = status.st_uid == os.getuid() and not stat.S_ISLNK(status.st_mode)
    return is_ours and not stat.S_IMODE(status.st_mode) & 0o077


def frame_message(kind: int, content: bytes) -> bytes:
    """Return the bytes that carry a message over a stream socket."""
    return _PREFIX.pack(len(content), kind) + content


class MessageReader:
    """Cuts a stream of bytes into messages. Pure.

    Args:
        max_nbytes: The longest message that is accepted.
    """

    def __init__(self, max_nbytes: int) -> None:
        self._max_nbytes = max_nbytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take what was received; yield the kind and content of each message that is whole.

        Raises:
            ValueError: A message is too long, or of an unknown kind. Nothing more can be read.
        """
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            nbytes, kind = _PREFIX.unpack_from(self._buffer)
            if nbytes > self._max_nbytes or kind not in (TEXT, BINARY):
                raise ValueError(f"a message of kind {kind} and {nbytes} bytes")
            end = _PREFIX.size + nbytes
            if len(self._buffer) < end:
                return
            content = bytes(self._buffer[_PREFIX.size : end])
            del self._buffer[:end]
            yield kind, content
