"""One media process, and our end of its pipe."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
from array import array
from collections import deque
from collections.abc import Sequence
from typing import IO

from gpuview import child_python
from gpuview.errors import system_refusal
from gpuview.protocol.shared_memory import allocate

__all__ = ["MAX_LINE_NBYTES", "MediaProcess"]

MAX_LINE_NBYTES = 160_000
"""The longest message for a socket pair with Linux's default buffers."""

_READ_NBYTES = 256 * 1024
_STDERR_TAIL_NBYTES = 2000
_EXIT_TIMEOUT_S = 5.0
_SEND_BUFFER_NBYTES = 4 * 1024 * 1024  # it reads nothing while it starts; the system may grant less
_HANGS_AFTER_S = 5
_MAX_UNSENT = 1000


class MediaProcess:
    """A running ``python -m gpuview.media``.

    Raises:
        MediaError: The system cannot start another process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the rest; held only for calls that do not block
        self._unsent: deque[tuple[bytes, list[int]]] = deque()  # with duplicated descriptors
        self._sender: threading.Thread | None = None
        self._is_closed = False
        try:
            self._sock, self._stderr, self._popen = _start()
        except (OSError, AttributeError) as exc:
            raise system_refusal("start the media process", exc) from exc

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, line: bytes, fds: Sequence[int] = ()) -> None:
        """Send one message. From any thread; never blocks.

        If the pipe is full, a thread sends the message later, in order. A process that reads
        nothing for 5 s, or falls behind by 1000 messages, is killed. Messages to an ending process
        are dropped: the engine opens all streams again in the next process.
        """
        with self._lock:
            if self._is_closed or (not self._unsent and self._try_send(line, fds)):
                return
            try:
                self._unsent.append((line, [os.dup(fd) for fd in fds]))
            except OSError:  # no descriptor is left
                self._popen.kill()
                return
            if len(self._unsent) > _MAX_UNSENT:
                self._popen.kill()
                self._drop_unsent()
                return
            if len(self._unsent) == 1:
                self._sender = threading.Thread(
                    target=self._send_rest, name="gpuview-send", daemon=True
                )
                self._sender.start()

    def receive(self) -> bytes:
        """Wait for one message; empty once the process has ended."""
        try:
            return self._sock.recv(_READ_NBYTES)
        except OSError:
            return b""

    def close_pipe(self) -> None:
        """Close the pipe. The process then ends, and `receive` returns."""
        with self._lock:
            self._is_closed = True
            self._drop_unsent()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def reap(self) -> str:
        """Wait for the process to end; return its exit status and the end of its stderr."""
        self.close_pipe()
        try:
            status = self._popen.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        if self._sender is not None:
            self._sender.join()
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_NBYTES))
        stderr_tail = self._stderr.read().decode(errors="replace").strip()
        self._sock.close()
        self._stderr.close()
        return f"exit status {status}" + (f": {stderr_tail}" if stderr_tail else "")

    def abandon(self) -> None:
        """Close our descriptors in a forked child; the process belongs to the parent."""
        self._drop_unsent()
        self._sock.close()
        self._stderr.close()

    def _try_send(self, line: bytes, fds: Sequence[int]) -> bool:
        """Send a message; return False if the pipe is full."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([line], rights, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:  # it has died, or the system cannot send a descriptor
            self._popen.kill()
        return True

    def _send_rest(self) -> None:
        writable = select.poll()
        writable.register(self._sock, select.POLLOUT)
        while True:
            is_hanging = not writable.poll(_HANGS_AFTER_S * 1000)
            with self._lock:
                if is_hanging:
                    self._popen.kill()
                    self._drop_unsent()
                while self._unsent and self._try_send(*self._unsent[0]):
                    _close(self._unsent.popleft()[1])
                if not self._unsent:
                    return

    def _drop_unsent(self) -> None:
        while self._unsent:
            _close(self._unsent.popleft()[1])


def _start() -> tuple[socket.socket, IO[bytes], subprocess.Popen[bytes]]:
    """Return our end of a new process's pipe, its stderr, and the process.

    Raises:
        OSError: The system refuses; nothing is left open.
    """
    with contextlib.ExitStack() as opened:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.enter_context(ours)
        with theirs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_NBYTES)
            # A file, not a pipe: it needs no reader, and it survives a crash.
            stderr = opened.enter_context(os.fdopen(allocate(0), "r+b", buffering=0))
            popen = subprocess.Popen(
                child_python.command("gpuview.media", str(theirs.fileno()), str(os.getpid())),
                env=child_python.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[theirs.fileno()],
                # Jupyter interrupts and kills a kernel's whole process group.
                start_new_session=True,
            )
        opened.pop_all()
    return ours, stderr, popen


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
