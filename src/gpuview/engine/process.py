"""One media process, and our end of its pipe."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from gpuview.errors import MediaError

__all__ = ["MAX_LINE_NBYTES", "MediaProcess"]

MAX_LINE_NBYTES = 160_000
"""What a socket pair takes in one piece with Linux's default buffers."""

_READ_NBYTES = 256 * 1024
_STDERR_TAIL_NBYTES = 2000
_EXIT_TIMEOUT_S = 5.0
_SEND_BUFFER_NBYTES = 4 * 1024 * 1024  # while it starts, it reads nothing; the system may give less
_HANGS_AFTER_S = 5


class MediaProcess:
    """A running ``python -m gpuview.media``.

    Raises:
        MediaError: The system does not start one more process.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_NBYTES)
        # Not MSG_DONTWAIT: Python's `send_fds` does not pass it on.
        timeout = struct.pack("@ll", _HANGS_AFTER_S, 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._sock = ours
        self._lock = threading.Lock()  # no message may meet the descriptor's next owner
        # A file and not a pipe: nobody has to read it, and it is still there after a crash.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        command = [sys.executable, "-P", "-m", "gpuview.media"]
        try:
            with theirs:
                self._popen = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._stderr,
                    pass_fds=[theirs.fileno()],
                    # Jupyter interrupts and kills a kernel's whole process group.
                    start_new_session=True,
                )
        except OSError as exc:
            self.abandon()
            raise MediaError(
                f"cannot start the media process: {exc}",
                expected="memory for one more process of 75 MB",
                fix="end some processes, or restart the kernel",
            ) from exc

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, line: bytes, fds: Sequence[int] = ()) -> None:
        """Send one message, or none: a process that hangs or has died is replaced and told anew.

        Waits where many messages are still to be read, for 5 s at most; then it is one that hangs.
        """
        try:
            with self._lock:
                socket.send_fds(self._sock, [line], list(fds))
        except BlockingIOError:
            self._popen.kill()
        except OSError:
            pass  # it has died; the reading thread knows

    def receive(self) -> bytes:
        """Wait for one message; empty when the process has gone."""
        try:
            return self._sock.recv(_READ_NBYTES)
        except OSError:
            return b""

    def hang_up(self) -> None:
        """Close the pipe, at which the process ends, and `receive` returns."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def reap(self) -> str:
        """Wait for the process's end, and return its exit status and last words."""
        try:
            status = self._popen.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_NBYTES))
        last_words = self._stderr.read().decode(errors="replace").strip()
        with self._lock:
            self._sock.close()
        self._stderr.close()
        return f"exit status {status}" + (f": {last_words}" if last_words else "")

    def abandon(self) -> None:
        """Close our descriptors in a child that was forked; the process itself is the parent's."""
        self._sock.close()
        self._stderr.close()
