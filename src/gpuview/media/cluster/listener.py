"""The notebook's TCP port for workers: who gets in, and whole messages with each of them.

CURVE encrypts, and shows each side that the other has the key that it should have. Before a first
message, `zap_authentication` answers whether a key may come in. Lives on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable

import zmq

from gpuview.errors import NetworkError
from gpuview.media.cluster.connection_limit import Gate
from gpuview.media.cluster.loop_socket import LoopSocket, watch_events
from gpuview.media.cluster.port import Port
from gpuview.media.cluster.zap_authentication import ZapAuthenticator
from gpuview.media.internal_error import log_fault
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.worker_channels import MAX_CONTENT_NBYTES, ChannelMessage

__all__ = ["Listener", "Peer"]

logger = logging.getLogger("gpuview.media")

_HANDSHAKE_MS = 3000  # whoever connects and does not say who it is
_SAYS_WHO_S = 5.0  # whoever has a key, and says nothing, or begins a message that does not end
_UNREAD_MESSAGES = 32  # of one worker; then TCP holds it up
_UNSENT_MESSAGES = 256  # to one worker; none is large
_GATE_LOOK_S = 1.0
_HEARS_WHY_S = 1.0


class Peer:
    """One worker's connection.

    Args:
        listener: It came to.
        identity: As below.
        key: It has shown that it has.
        fd: Of its TCP connection.
    """

    def __init__(self, listener: Listener, identity: bytes, key: str, fd: int) -> None:
        self.key = key
        """Its public key."""
        self.is_dismissed = False
        """Whether what it sends is not read any more."""
        self._listener = listener
        self.identity = identity
        """What ZeroMQ calls it."""
        self.fd = fd
        """Of its TCP connection, while it is there."""

    def send(self, message: ChannelMessage) -> bool:
        """Send a message; return False if it takes nothing at present, or has gone."""
        return self._listener.send(self.identity, message)

    def dismiss(self) -> None:
        """Read nothing more of it, and end its connection when it has heard why."""
        self.is_dismissed = True
        asyncio.get_running_loop().call_later(_HEARS_WHY_S, self.cut)

    def cut(self) -> None:
        """End its connection. A worker that is well dials again."""
        self._listener.cut(self.identity, self.fd)

    def __repr__(self) -> str:
        return f"<Peer {self.identity.hex()} fd={self.fd}>"


class Listener:
    """Listens from its construction to `close`.

    Args:
        public_key: The notebook's key pair.
        secret_key: Its other half.
        port: None takes any free one.
        is_known: Tells whether who has this public key may come in.
        on_message: Called with each message of those, and who sent it.
        on_gone: Called when a connection has ended, whosever it was.

    Raises:
        NetworkError: The port cannot be had, or a key is none.
    """

    def __init__(
        self,
        *,
        public_key: str,
        secret_key: str,
        port: int | None,
        is_known: Callable[[str], bool],
        on_message: Callable[[Peer, list[bytes]], None],
        on_gone: Callable[[], None],
    ) -> None:
        self.gate = Gate()
        self._on_message = on_message
        self._on_gone = on_gone
        self._peers: dict[bytes, Peer] = {}
        self._came_s: dict[int, float] = {}  # by descriptor, until `_end_nameless` has looked
        if not zmq.has("curve"):
            raise NetworkError(
                "cannot listen for workers: this libzmq was built without CURVE",
                expected="a libzmq that encrypts, as in pyzmq's wheels",
                fix="pip install --force-reinstall pyzmq",
            )
        self._context = zmq.Context()
        try:
            router = _new_router(self._context, public_key, secret_key)
            self._port = Port(port)
        except (OSError, zmq.ZMQError, ValueError, OverflowError) as exc:
            self._context.destroy(linger=0)
            raise NetworkError(
                f"cannot listen for workers on TCP port {port or 'any'}: {exc}",
                expected="a port that is free",
                fix="give another port, or none",
            ) from exc
        self._authenticator = ZapAuthenticator(self._context, is_known)
        events = zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED
        self._events = watch_events(router, events, self._count)
        router.set(zmq.USE_FD, self._port.descriptor())
        router.bind(f"tcp://*:{self.port}")
        self._router = LoopSocket(router, self._hear)
        self._tasks = BackgroundTasks()
        self._tasks.spawn(self._look_at_gate())

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._port.number

    def send(self, identity: bytes, message: ChannelMessage) -> bool:
        """See `Peer.send`."""
        return self._router.send([identity, *message.pack()])

    def cut(self, identity: bytes, fd: int) -> None:
        """See `Peer.cut`."""
        if self._peers.pop(identity, None) is None:
            return
        self._end(fd)

    async def close(self) -> None:
        """Cut everybody off, and free the port."""
        await self._tasks.cancel()
        self._peers.clear()
        for each in (self._events, self._router, self._authenticator):
            each.close()
        self._port.close()
        await asyncio.to_thread(self._context.destroy, 0)

    def _end(self, fd: int) -> None:
        # There is no call for it. By its descriptor, the connection is ended as if the other side
        # had ended it; the number may have another owner by now, so it is looked at before.
        with contextlib.suppress(OSError):
            _shut_down(os.dup(fd), self.port)

    def _hear(self, frames: list[zmq.Frame]) -> None:
        identity, *content = frames
        key = content[-1].get("User-Id") if content else None
        if not isinstance(key, str):
            return
        name = identity.bytes
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = Peer(self, name, key, int(content[-1].get(zmq.SRCFD)))
        if not peer.is_dismissed:
            self._on_message(peer, [frame.bytes for frame in content])

    # --- who may come in ------------------------------------------------------------------------

    def _count(self, event: zmq.Event, fd: int) -> None:
        if event == zmq.Event.ACCEPTED:
            self._came_s[fd] = time.monotonic()
            self.gate.came(time.monotonic())
            self._turn_gate()
        else:
            self._came_s.pop(fd, None)
            self.gate.went()
            self._on_gone()

    def _turn_gate(self) -> None:
        """Shut the port or open it again, as `Gate` says."""
        is_open = self.gate.is_open(time.monotonic())
        if is_open and self._port.is_shut:
            self._port.open()
        elif not is_open and not self._port.is_shut:
            self._port.shut()
            logger.warning("the workers' port %d is shut for a while: too many come", self.port)

    async def _look_at_gate(self) -> None:
        while True:
            await asyncio.sleep(_GATE_LOOK_S)
            try:
                self._end_nameless()
                self._turn_gate()
            except Exception as exc:  # the next look is as needed as this one
                log_fault(exc)

    def _end_nameless(self) -> None:
        """End connections that have not said a whole message in time."""
        before_s = time.monotonic() - _SAYS_WHO_S
        known = {peer.fd for peer in self._peers.values()}
        for fd in [fd for fd, came_s in self._came_s.items() if came_s < before_s]:
            del self._came_s[fd]
            if fd not in known:
                self._end(fd)

    def __repr__(self) -> str:
        return f"<Listener port={self.port} {self.gate}>"


def _shut_down(fd: int, port: int) -> None:
    """Shut a connection down if it is one of a port's; the descriptor is closed in any case.

    Raises:
        OSError: It is no connection, or has ended.
    """
    try:
        connection = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        raise
    with connection:
        is_tcp = connection.proto == socket.IPPROTO_TCP
        if is_tcp and connection.getsockname()[1] == port:
            connection.shutdown(socket.SHUT_RDWR)


def _new_router(
    context: zmq.Context[zmq.Socket[bytes]], public_key: str, secret_key: str
) -> zmq.Socket[bytes]:
    router = context.socket(zmq.ROUTER)
    router.set(zmq.CURVE_SERVER, 1)
    router.set(zmq.CURVE_PUBLICKEY, public_key.encode())
    router.set(zmq.CURVE_SECRETKEY, secret_key.encode())
    router.set(zmq.ZAP_DOMAIN, b"gpuview")
    router.set(zmq.ROUTER_MANDATORY, 1)
    router.set(zmq.MAXMSGSIZE, MAX_CONTENT_NBYTES)
    router.set(zmq.RCVHWM, _UNREAD_MESSAGES)
    router.set(zmq.SNDHWM, _UNSENT_MESSAGES)
    router.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    router.set(zmq.LINGER, 0)
    return router
