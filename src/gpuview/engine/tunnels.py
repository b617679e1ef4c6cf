"""Tunnels from pages through the kernel to the media process, for pages that only the comm reaches.

A tunnel is a socket pair: the media process has one end, which looks to it like any page's
connection. What a page says is written to the other end by the thread that hears it. What the media
process says is read by one thread for all tunnels of the kernel, which lives from the first tunnel
on as long as the engine.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuview.errors import system_refusal
from gpuview.protocol.event_fd import EventFd
from gpuview.protocol.local_socket import (
    MAX_FROM_MEDIA_NBYTES,
    TEXT,
    MessageReader,
    frame_message,
)
from gpuview.protocol.media_messages import OpenCarrier

if TYPE_CHECKING:
    from gpuview.engine.stream import StreamHandle

__all__ = ["MAX_TUNNELS", "MAX_UNSENT_NBYTES", "Tunnels"]

logger = logging.getLogger("gpuview")

MAX_TUNNELS = 64
"""Of one kernel."""

MAX_UNSENT_NBYTES = 1024 * 1024
"""The most of a page's words that wait for the media process."""

_READ_NBYTES = 256 * 1024


@dataclass(slots=True, eq=False)
class _Tunnel:
    stream: StreamHandle
    view: str
    sock: socket.socket
    reader: MessageReader = field(default_factory=lambda: MessageReader(MAX_FROM_MEDIA_NBYTES))
    unsent: bytearray = field(default_factory=bytearray)
    events: int = 0
    """What the thread waits for."""
    is_over: bool = False


class Tunnels:
    """All tunnels of one kernel. Any thread; a stream's listener is told of what comes, and of the
    end of a tunnel that ends by itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the rest; no listener is called with it
        self._tunnels: dict[tuple[str, str], _Tunnel] = {}  # by stream and view
        self._sockets: set[_Tunnel] = set()  # those whose socket is open
        self._is_closed = False
        self._event_fd = EventFd(-1)  # wakes the thread
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._tunnels)

    def open(self, stream: StreamHandle, view: str) -> bool:
        """Open a view's tunnel, in place of the one that it may have, if it can be. Never waits."""
        try:
            theirs = self._make(stream, view)
        except OSError as exc:
            logger.warning("view %s is not reached through the kernel: %s", view, exc)
            theirs = None
        if theirs is None:
            return False
        with theirs:
            stream.send(OpenCarrier(view=view), [theirs.fileno()])
        return True

    def send(self, stream: StreamHandle, view: str, text: str) -> bool:
        """Send a page's message through its tunnel; return False if it has none. Never waits; too
        much of it ends the tunnel."""
        data = frame_message(TEXT, text.encode(errors="replace"))
        with self._lock:
            tunnel = self._tunnels.get((stream.name, view))
            if tunnel is not None:
                tunnel.unsent += data
                if not self._flush(tunnel):
                    self._drop(tunnel)
                    tunnel = None
            self._event_fd.wake()
        return tunnel is not None

    def close_view(self, stream: StreamHandle, view: str) -> None:
        """Close a view's tunnel, if it has one."""
        with self._lock:
            tunnel = self._tunnels.get((stream.name, view))
            if tunnel is not None:
                self._drop(tunnel)
                self._event_fd.wake()

    def close_stream(self, name: str) -> None:
        """Close all tunnels of a stream."""
        with self._lock:
            for tunnel in [each for each in self._sockets if each.stream.name == name]:
                self._drop(tunnel)
            self._event_fd.wake()

    def close(self) -> None:
        """Close all tunnels, and wait for the thread. No other can be opened."""
        with self._lock:
            self._is_closed = True
            for tunnel in self._sockets:
                self._drop(tunnel)
            self._event_fd.wake()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def abandon(self) -> None:
        """Close our descriptors in a forked child: the tunnels belong to the parent."""
        self._lock = threading.Lock()
        for tunnel in self._sockets:
            tunnel.sock.close()
        self._tunnels, self._sockets = {}, set()
        self._event_fd.abandon()
        self._thread, self._is_closed = None, True

    def _make(self, stream: StreamHandle, view: str) -> socket.socket | None:
        """Return the media process's end of a new tunnel; None if there may be no other.

        Raises:
            OSError: No descriptor is left.
        """
        with self._lock:
            earlier = self._tunnels.get((stream.name, view))
            if earlier is not None:
                self._drop(earlier)
            # The thread closes what was dropped, and may be late with that.
            is_full = len(self._tunnels) >= MAX_TUNNELS or len(self._sockets) >= 2 * MAX_TUNNELS
            if self._is_closed or is_full:
                return None
            self._start()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            tunnel = _Tunnel(stream, view, ours)
            self._tunnels[stream.name, view] = tunnel
            self._sockets.add(tunnel)
            self._event_fd.wake()
        return theirs

    def _start(self) -> None:
        if self._thread is not None:
            return
        try:
            self._event_fd = EventFd.create()
        except AttributeError as exc:
            raise OSError(str(system_refusal("open a tunnel", exc))) from exc
        self._thread = threading.Thread(target=self._run, name="gpuview-tunnels", daemon=True)
        self._thread.start()

    def _flush(self, tunnel: _Tunnel) -> bool:
        """Write what can be written; return False if the tunnel is of no use any more."""
        try:
            while tunnel.unsent:
                del tunnel.unsent[: tunnel.sock.send(tunnel.unsent)]
        except BlockingIOError:
            return len(tunnel.unsent) <= MAX_UNSENT_NBYTES
        except OSError:
            return False
        return True

    def _drop(self, tunnel: _Tunnel) -> None:
        """Forget a tunnel, whose socket the thread will close."""
        tunnel.is_over = True
        self._tunnels.pop((tunnel.stream.name, tunnel.view), None)

    # --- on the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._event_fd, selectors.EVENT_READ)
                while self._arrange(selector):
                    for key, events in selector.select():
                        self._serve(key.data, events)
        except Exception:
            logger.exception("gpuview failed inside, please report it")
        finally:
            self._end()

    def _arrange(self, selector: selectors.BaseSelector) -> bool:
        """Close what is over, and wait for what is to come; return False if that is nothing."""
        with self._lock:
            for tunnel in list(self._sockets):
                if tunnel.is_over:
                    if tunnel.events:
                        selector.unregister(tunnel.sock)
                    tunnel.sock.close()
                    self._sockets.discard(tunnel)
                    continue
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if tunnel.unsent else 0)
                if not tunnel.events:
                    selector.register(tunnel.sock, events, tunnel)
                elif tunnel.events != events:
                    selector.modify(tunnel.sock, events, tunnel)
                tunnel.events = events
            return not self._is_closed

    def _serve(self, tunnel: _Tunnel | None, events: int) -> None:
        if tunnel is None:
            self._event_fd.clear()
            return
        is_good = True
        if events & selectors.EVENT_WRITE:
            with self._lock:
                is_good = self._flush(tunnel)
        if events & selectors.EVENT_READ:
            is_good = is_good and self._read(tunnel)
        if not is_good:
            self._fail(tunnel)

    def _read(self, tunnel: _Tunnel) -> bool:
        """Pass on what has come; return False at the end."""
        try:
            data = tunnel.sock.recv(_READ_NBYTES)
            for kind, content in tunnel.reader.feed(data):
                self._pass_on(tunnel, content.decode() if kind == TEXT else content)
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            return False
        return bool(data)

    def _pass_on(self, tunnel: _Tunnel, content: str | bytes) -> None:
        if not tunnel.is_over:
            tunnel.stream.tell(lambda listener: listener.carried(tunnel.view, content))

    def _fail(self, tunnel: _Tunnel) -> None:
        with self._lock:
            was_over = tunnel.is_over
            if not was_over:
                self._drop(tunnel)
        if not was_over:
            tunnel.stream.tell(lambda listener: listener.carrier_closed(tunnel.view))

    def _end(self) -> None:
        with self._lock:
            self._is_closed = True
            for tunnel in self._sockets:
                tunnel.sock.close()
            self._tunnels, self._sockets = {}, set()
        self._event_fd.close()

    def __repr__(self) -> str:
        return f"<Tunnels {list(self._tunnels)}>"
