"""A ZeroMQ socket on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence

import zmq
from zmq.utils.monitor import parse_monitor_message

from gpuview.media.internal_error import log_fault

__all__ = ["LoopSocket", "watch_events"]

_numbers = itertools.count()
_AT_ONCE = 32  # messages; then others have their turn on the event loop


class LoopSocket:
    """Reads messages when they come, and sends without waiting.

    The socket's descriptor says only that something has happened to it since it was used last,
    for whatever. So it is read until it is empty, and looked at once more after it was used.

    Args:
        sock: Owned from now on.
        on_message: Called with the parts of each message.
        on_event: Called when anything has happened, after all messages: there may be room again.
            Exceptions from both are logged.
    """

    def __init__(
        self,
        sock: zmq.Socket[bytes],
        on_message: Callable[[list[zmq.Frame]], None],
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        self.raw = sock
        self._on_message = on_message
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        self._is_reading = False
        self._is_open = True
        self._fd = int(sock.fileno())
        self._loop.add_reader(self._fd, self._read)
        self._read_soon()

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send a message; return False if there is no room for it, or the peer has gone."""
        if not self._is_open:
            return False
        try:
            self.raw.send_multipart(parts, zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        finally:
            self._read_soon()
        return True

    def close(self) -> None:
        """Close it; what is unsent is dropped. Safe to call twice."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._fd)
            self.raw.close(linger=0)

    def _read_soon(self) -> None:
        if not self._is_due and not self._is_reading:
            self._is_due = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._is_due, self._is_reading = False, True
        is_empty = False
        for _ in range(_AT_ONCE):
            is_empty = not self._is_open or not self._read_one()
            if is_empty:
                break
        self._is_reading = False
        if not is_empty:
            self._read_soon()

    def _read_one(self) -> bool:
        """Read a message; return whether there may be another."""
        try:
            frames = self.raw.recv_multipart(zmq.DONTWAIT, copy=False)
        except zmq.ZMQError:  # nothing is there
            self._call(self._on_event)
            # What has come while `on_event` used the socket is not announced any more.
            return self._is_open and bool(int(self.raw.get(zmq.EVENTS)) & zmq.POLLIN)
        self._call(lambda: self._on_message(frames))
        return True

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as exc:
            log_fault(exc)


def watch_events(
    sock: zmq.Socket[bytes], events: int, on_event: Callable[[zmq.Event, int], None]
) -> LoopSocket:
    """Call back with what happens to a socket's connections, until what is returned is closed.

    With each event comes its value, for most of them the connection's descriptor.
    """
    address = f"inproc://events-{next(_numbers)}"
    sock.monitor(address, events)
    pair = sock.context.socket(zmq.PAIR)
    # Without a limit: where it is full, the thread that writes waits with a lock that `unbind`
    # needs.
    pair.set(zmq.RCVHWM, 0)
    pair.connect(address)

    def hear(frames: list[zmq.Frame]) -> None:
        with contextlib.suppress(RuntimeError, ValueError):  # of a libzmq that says something else
            parsed = parse_monitor_message([frame.bytes for frame in frames])
            on_event(zmq.Event(parsed["event"]), parsed["value"])

    return _Events(sock, pair, hear)


class _Events(LoopSocket):
    """Reads what happens to a socket.

    ZeroMQ's thread writes it, and waits for ever where nobody is there to read. So it is told
    before that there is nothing more to write; close this before the socket itself.
    """

    def __init__(
        self,
        watched: zmq.Socket[bytes],
        pair: zmq.Socket[bytes],
        on_message: Callable[[list[zmq.Frame]], None],
    ) -> None:
        super().__init__(pair, on_message)
        self._watched = watched

    def close(self) -> None:
        if self._is_open:
            self._watched.disable_monitor()
        super().close()
