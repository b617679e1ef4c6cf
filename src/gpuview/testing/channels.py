"""The sockets between this process and a kernel, owned by one thread."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.client import KernelClient

from gpuview.protocol.event_fd import EventFd

__all__ = ["Channels", "JupyterMessage"]

JupyterMessage = dict[str, Any]


class Channels:
    """Sends to a kernel from any thread; calls back with its messages, in one thread.

    A ØMQ socket may be used by one thread only, yet a viewer must be able to signal while the test
    waits for a cell. So one thread owns the sockets, and `send` hands messages to it.

    Args:
        connection_file: As Jupyter writes it.
        on_message: Called in the thread with the channel ("shell", "iopub", "control") and the
            message, in the order in which they arrive. Must not block.
    """

    def __init__(
        self, connection_file: Path, on_message: Callable[[str, JupyterMessage], None]
    ) -> None:
        client = KernelClient(connection_file=str(connection_file))
        client.load_connection_file()
        self._client = client
        self._session = client.session
        # pyzmq starts a thread that never ends when it sends a message without copying it.
        self._session.copy_threshold = sys.maxsize
        # Or what a kernel publishes faster than Python reads is lost, such as the end of a cell.
        client.context.setsockopt(zmq.RCVHWM, 0)
        identity = self._session.bsession
        self._sockets = {
            "shell": client.connect_shell(identity=identity),
            "iopub": client.connect_iopub(),
            "control": client.connect_control(identity=identity),
        }
        self._on_message = on_message
        self._outgoing: queue.SimpleQueue[tuple[str, JupyterMessage] | None] = queue.SimpleQueue()
        self._event_fd = EventFd.create()
        self._thread = threading.Thread(target=self._pump, name="gpuview-kernel-channels")
        self._thread.daemon = True
        self._thread.start()

    def send(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        *,
        metadata: dict[str, Any] | None = None,
        subshell_id: str | None = None,
    ) -> str:
        """Send a message and return its id; never blocks."""
        message = self._session.msg(msg_type, content, metadata=metadata)
        if subshell_id is not None:
            message["header"]["subshell_id"] = subshell_id
        self._outgoing.put((channel, message))
        self._event_fd.wake()
        return str(message["header"]["msg_id"])

    def close(self) -> None:
        """Send the messages that are left, then close the sockets and end the thread."""
        self._outgoing.put(None)
        self._event_fd.wake()
        self._thread.join()
        self._event_fd.close()
        self._client.context.destroy(linger=0)

    def _pump(self) -> None:
        names = {socket: name for name, socket in self._sockets.items()}
        poller = zmq.Poller()
        wake_fd = self._event_fd.fileno()
        poller.register(wake_fd, zmq.POLLIN)
        for socket in names:
            poller.register(socket, zmq.POLLIN)
        while True:
            for source, _ in poller.poll():
                if source == wake_fd:
                    self._event_fd.clear()
                    if not self._send_queued():
                        return
                else:
                    _, parts = self._session.feed_identities(source.recv_multipart())
                    self._on_message(names[source], self._session.deserialize(parts))

    def _send_queued(self) -> bool:
        """Send the queued messages; return whether more may come."""
        while True:
            try:
                item = self._outgoing.get_nowait()
            except queue.Empty:
                return True
            if item is None:
                return False
            channel, message = item
            self._session.send(self._sockets[channel], message)
