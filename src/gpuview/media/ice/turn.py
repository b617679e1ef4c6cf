"""One allocation on a TURN server, which all viewers of the kernel share.

Over UDP it is made from the shared socket, so that nothing leaves the configured port range; over
TCP and TLS it has a connection of its own. It is refreshed every 5 s: that keeps the way through a
NAT open, and shows within seconds that a server was restarted, which nothing else would tell. A
server that says nothing may only be behind a bad link, or behind what waits to be sent: it is given
up when nothing at all has come from it for 10 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import struct
import time
from typing import Any, cast

from aioice import stun
from aioice.turn import (
    DEFAULT_ALLOCATION_LIFETIME,
    TurnClientProtocol,
    TurnClientTcpProtocol,
    TurnClientUdpProtocol,
)

from gpuview.media.ice import upstream
from gpuview.media.ice.sockets import Address
from gpuview.media.ice.udp_mux import SocketLeg, UdpMux

__all__ = ["Relay", "open_relay"]

logger = logging.getLogger("gpuview.media")

_REFRESH_EVERY_S = 5.0
_REFRESH_TIMEOUT_S = 3.5
_SILENT_AFTER_S = 10.0
_GOODBYE_TIMEOUT_S = 0.5
# A permission lasts 300 s by RFC 8656, and a channel's refresh renews it.
_CHANNEL_REFRESH_S = 240
_ALLOCATION_MISMATCH = 437
_MAX_UNSENT_NBYTES = 1024 * 1024  # of a TCP connection: beyond it packets are lost, as on any path


class Relay:
    """A TURN allocation; a `gpuview.media.ice.udp_mux.Leg`. Made by `open_relay`."""

    def __init__(self, mux: UdpMux, client: TurnClientProtocol, url: str) -> None:
        self._mux = mux
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard_s = time.monotonic()
        self.url = url
        self.lost = asyncio.Event()
        """Set when the allocation has gone, whoever ended it."""

    @property
    def address(self) -> Address:
        """The relayed address: where browsers send to."""
        return cast(Address, self._client.relayed_address)

    @property
    def mapped(self) -> Address:
        """Our own address, as the server sees it."""
        return cast(Address, self._client.mapped_address)

    @property
    def is_datagram(self) -> bool:
        """Whether it runs over UDP, from the shared socket."""
        return isinstance(self._client, TurnClientUdpProtocol)

    async def allocate(self) -> None:
        """Make the allocation.

        Raises:
            stun.TransactionFailed: The server refuses.
            stun.TransactionTimeout: The server is silent.
        """
        try:
            await self._client.connect()
        except stun.TransactionFailed as exc:
            if exc.response.error_code != _ALLOCATION_MISMATCH:
                raise
            # A media process that crashed has left one behind that was made from this port.
            await self._client.request_with_retry(_refresh(0))
            await self._client.connect()
        if self._client.refresh_task is not None:
            self._client.refresh_task.cancel()  # it comes every 500 s; ours every 5 s
            self._client.refresh_task = None
        self._client.receiver = cast(asyncio.DatagramProtocol, self)
        self._spawn(self._keep_alive())

    async def close(self) -> None:
        """Give the allocation back, if the server still listens."""
        for task in self._tasks:
            task.cancel()
        self._client.receiver = None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_GOODBYE_TIMEOUT_S):
                await self._client.delete()
        self._client.transport.close()
        self._end()

    # --- as a leg -----------------------------------------------------------------------------

    def send(self, data: bytes, address: Address) -> None:
        if self.lost.is_set():
            return
        channel = self._client.peer_to_channel.get(address)
        if channel is None:
            self._spawn(self._bind_and_send(data, address))
        elif self._is_congested():
            self._mux.dropped["relay congested"] += 1
        else:
            self._refresh_if_due(channel, address)
            upstream.send_to_turn_server(
                self._client, struct.pack("!HH", channel, len(data)) + data
            )

    def believe(self, address: Address, asked: str) -> None:
        """A relay answers from its own address alone."""

    def disbelieve(self, address: Address) -> None:
        """A channel runs out by itself."""

    # --- what the TURN client tells its receiver ----------------------------------------------

    def datagram_received(self, data: bytes, address: Address) -> None:
        self._heard_s = time.monotonic()
        self._mux.receive(self, data, address, lambda: self.address[0])

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    # --- inside -------------------------------------------------------------------------------

    def _refresh_if_due(self, channel: int, address: Address) -> None:
        now_s = time.time()
        if now_s > self._client.channel_refresh_at[channel]:
            self._client.channel_refresh_at[channel] = now_s + _CHANNEL_REFRESH_S
            self._spawn(self._refresh_channel(channel, address))

    async def _refresh_channel(self, channel: int, address: Address) -> None:
        # Where it fails, packets stop, and the page makes a new connection.
        with contextlib.suppress(stun.TransactionError):
            await self._client.channel_bind(channel, address)

    async def _bind_and_send(self, data: bytes, address: Address) -> None:
        try:
            await self._client.send_data(data, address)
        except stun.TransactionError as exc:
            # A server need not relay to every address: private ones are often forbidden.
            self._mux.dropped["relay refused"] += 1
            logger.debug("%s does not relay to %s:%d: %s", self.url, *address, exc)
        except ConnectionError:
            self._end()  # it has no channel left; a new allocation has

    async def _keep_alive(self) -> None:
        with contextlib.suppress(stun.TransactionFailed):
            await asyncio.sleep(_REFRESH_EVERY_S)
            # Asked before it is given up: it may be this process that stood still.
            while (is_refreshed := await self._is_refreshed()) or not self._is_silent():
                if is_refreshed:
                    await asyncio.sleep(_REFRESH_EVERY_S)
        self._end()

    def _is_silent(self) -> bool:
        return time.monotonic() - self._heard_s >= _SILENT_AFTER_S

    async def _is_refreshed(self) -> bool:
        """Refresh the allocation; False where the server has said nothing."""
        try:
            async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                await self._client.request_with_retry(_refresh(DEFAULT_ALLOCATION_LIFETIME))
        except (stun.TransactionTimeout, TimeoutError):
            return False
        self._heard_s = time.monotonic()
        return True

    def _is_congested(self) -> bool:
        if self.is_datagram:
            return False
        transport = cast(asyncio.Transport, self._client.transport)
        return transport.get_write_buffer_size() > _MAX_UNSENT_NBYTES

    def _end(self) -> None:
        if not self.lost.is_set():
            self.lost.set()
            self._mux.close_doorways(self)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __repr__(self) -> str:
        return f"<Relay {self.url} {'lost' if self.lost.is_set() else 'open'}>"


async def open_relay(
    mux: UdpMux, url: str, server: Address, *, host: str, transport: str, login: tuple[str, str]
) -> Relay:
    """Make an allocation.

    Args:
        mux: Takes what comes through it.
        url: The server, for people.
        server: Its address.
        host: Its name, which a certificate has to bear.
        transport: ``"udp"``, ``"tcp"`` or ``"tls"``.
        login: User name and credential.

    Raises:
        stun.TransactionFailed: The server refuses.
        stun.TransactionTimeout: The server is silent.
        OSError: There is no connection to it, or its certificate is not trusted.
    """
    client = await _connect(mux, server, host, transport, login)
    relay = Relay(mux, client, url)
    try:
        await relay.allocate()
    except BaseException:
        client.transport.close()
        raise
    return relay


async def _connect(
    mux: UdpMux, server: Address, host: str, transport: str, login: tuple[str, str]
) -> TurnClientProtocol:
    protocol = TurnClientUdpProtocol if transport == "udp" else TurnClientTcpProtocol
    client = protocol(server, *login, DEFAULT_ALLOCATION_LIFETIME, _CHANNEL_REFRESH_S)
    if isinstance(client, TurnClientUdpProtocol):
        leg = mux.leg(server[0])
        if leg is None:
            raise OSError(f"no socket for {server[0]}")
        client.connection_made(_ServerTransport(mux, leg, server, client))
        return client
    is_tls = transport == "tls"
    # On a thread: it reads all the authorities that there are, for 20 ms and more.
    context = await asyncio.to_thread(ssl.create_default_context) if is_tls else None
    await asyncio.get_running_loop().create_connection(
        lambda: client,
        *server,
        ssl=context,
        server_hostname=host if is_tls else None,
    )
    return client


def _refresh(lifetime_s: int) -> stun.Message:
    message = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
    message.attributes["LIFETIME"] = lifetime_s
    return message


class _ServerTransport(asyncio.DatagramTransport):
    """What a TURN client takes for its socket: the shared one, as far as it goes to its server."""

    def __init__(
        self, mux: UdpMux, leg: SocketLeg, server: Address, client: TurnClientUdpProtocol
    ) -> None:
        super().__init__()
        self._mux = mux
        self._leg = leg
        self._server = server
        self._client = client
        self._is_closing = False
        mux.hear_server(server, self._hear)

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._is_closing:
            self._leg.send(data, self._server)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._mux.forget_server(self._server, self._hear)
            asyncio.get_running_loop().call_soon(self._client.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def _hear(self, data: bytes) -> bool:
        try:
            self._client.datagram_received(data, self._server)
        except Exception:
            # struct.error, KeyError and the like: the parser trusts attribute lengths.
            return False
        return True
