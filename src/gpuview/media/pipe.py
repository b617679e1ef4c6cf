"""The media process's end of the pipe to the kernel."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from gpuview.protocol.interaction_messages import FromView
from gpuview.protocol.media_messages import Log
from gpuview.protocol.page_messages import Message
from gpuview.protocol.wire import encode

__all__ = ["Pipe", "PipeLogHandler"]

logger = logging.getLogger("gpuview.media")

_MAX_MESSAGE_NBYTES = 256 * 1024  # longer than any message of the kernel
_MAX_MESSAGE_FDS = 2  # a recording's file and its folder
# Of what views say while the kernel reads nothing, in a long call of C: moves are dropped first.
_MAX_UNSENT, _MAX_UNSENT_LOOSE = 1000, 100

OnLine = Callable[[bytes, list[int]], None]


class Pipe:
    """Reads and writes whole messages, with their file descriptors, on the event loop.

    Args:
        sock: Our end of a ``SOCK_SEQPACKET`` pair; the pipe owns it.
        on_line: Called with each message and its descriptors.
        on_end: Called once, when the kernel closes its end or dies.
    """

    def __init__(self, sock: socket.socket, on_line: OnLine, on_end: Callable[[], None]) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._on_line = on_line
        self._on_end = on_end
        self.n_dropped = 0
        """What views said while the kernel read nothing."""
        self._unsent: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._read)

    def send(self, stream: str, message: Message) -> None:
        """Send a message, or queue it until the kernel has read older ones. Never blocks.

        Of what views say, only so much is queued.
        """
        if isinstance(message, FromView):
            limit = _MAX_UNSENT_LOOSE if message.may_be_lost else _MAX_UNSENT
            if len(self._unsent) >= limit:
                self.n_dropped += 1
                return
        self._unsent.append(encode(stream, message))
        self._flush()

    def close(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()

    def _read(self) -> None:
        try:
            line, fds, _, _ = socket.recv_fds(self._sock, _MAX_MESSAGE_NBYTES, _MAX_MESSAGE_FDS)
        except BlockingIOError:
            return
        except OSError:
            line, fds = b"", []
        if line:
            self._on_line(line, fds)
        else:
            self._loop.remove_reader(self._sock.fileno())
            self._on_end()

    def _flush(self) -> None:
        while self._unsent:
            try:
                self._sock.send(self._unsent[0])
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError as exc:
                if exc.errno != errno.EMSGSIZE:
                    self._unsent.clear()  # the kernel has ended; `on_end` follows
                    break
                logger.error("a message of %d bytes is too long to send", len(self._unsent[0]))
            del self._unsent[0]
        self._loop.remove_writer(self._sock.fileno())


class PipeLogHandler(logging.Handler):
    """Sends log records to the kernel, from any thread."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = Log(level=record.levelno, text=self.format(record))
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._pipe.send, "", message)
        except Exception:  # logging must not raise in its caller
            self.handleError(record)
