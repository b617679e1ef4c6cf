"""The TURN client, for the media process and the doctor; the only access to aioice's TURN client.

The internals of aioice that are used: ``connect``, ``request_with_retry``, ``send_data``,
``channel_bind``, ``receiver``, ``refresh_task`` and the channel tables; and ``_send``, because
``send_data`` is a coroutine, and a task per packet costs too much.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from aioice import stun
from aioice.turn import DEFAULT_ALLOCATION_LIFETIME, TurnClientTcpProtocol, TurnClientUdpProtocol

from gpuview.media.ice.sockets import Address
from gpuview.media.ice.stun_client import is_response, parse_stun
from gpuview.media.ice.udp_mux import UdpMux
from gpuview.webrtc.ice_url import IceServerUrl

__all__ = ["TurnClient", "TurnRefused", "allocate"]

T = TypeVar("T")
TurnRefused = stun.TransactionFailed

# RFC 8656: a permission lasts for 300 s, and a channel's refresh renews it.
_CHANNEL_REFRESH_S = 240
_ALLOCATION_MISMATCH = 437
_RELEASE_TIMEOUT_S = 0.5


async def allocate(server: IceServerUrl, address: Address, mux: UdpMux | None = None) -> TurnClient:
    """Make an allocation on a TURN server.

    Args:
        server: The server, with its login.
        address: One of its addresses.
        mux: Provides the socket for UDP, so that only configured ports are used. None: a separate
            socket, which is notified of an ICMP "port unreachable".

    Raises:
        TurnRefused: The server refused.
        OSError: It is silent (TimeoutError), there is no path to it, or its certificate is not
            trusted.
    """
    client = TurnClient(address, server.login, is_datagram=server.url.transport == "udp")
    if isinstance(client.protocol, TurnClientTcpProtocol):
        await _connect_stream(client, server, address)
    elif mux is not None:
        client.protocol.connection_made(mux.open_client(client.protocol, address))
    else:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: client.protocol, remote_addr=address)
    try:
        await client.allocate()
    except BaseException:
        await client.close()
        raise
    return client


async def _connect_stream(client: TurnClient, server: IceServerUrl, address: Address) -> None:
    is_secure = server.url.is_secure
    # On a thread, because loading all authorities takes 20 ms or more. It honours SSL_CERT_FILE.
    context = await asyncio.to_thread(ssl.create_default_context) if is_secure else None
    await asyncio.get_running_loop().create_connection(
        lambda: client.protocol,
        *address,
        ssl=context,
        server_hostname=server.url.host if is_secure else None,
    )


class _UdpProtocol(TurnClientUdpProtocol):
    def expects(self, data: bytes) -> bool:
        """Tell whether a datagram is channel data, an indication or a response for us."""
        if len(data) >= 4 and data[0] & 0xC0 == 0x40:
            return int.from_bytes(data[:2]) in self.channel_to_peer
        message = parse_stun(data)
        if message is None or not is_response(message):
            return message is not None and message.message_method is stun.Method.DATA
        return message.transaction_id in self.transactions

    def error_received(self, exc: Exception) -> None:
        if isinstance(self.receiver, TurnClient):
            self.receiver.error_received(exc)


class TurnClient(asyncio.DatagramProtocol):
    """One allocation on a TURN server.

    Open a transport with `protocol`, then call `allocate`.

    Args:
        server: The server's address.
        login: User name and credential.
        is_datagram: Whether the transport is UDP, and not TCP or TLS.
    """

    def __init__(self, server: Address, login: tuple[str, str], *, is_datagram: bool) -> None:
        kind = _UdpProtocol if is_datagram else TurnClientTcpProtocol
        self.protocol = kind(server, *login, DEFAULT_ALLOCATION_LIFETIME, _CHANNEL_REFRESH_S)
        self.protocol.receiver = self
        self.is_datagram = is_datagram
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when the path to the server breaks."""
        self.on_data: Callable[[bytes, Address], None] = lambda data, address: None
        """Called with each datagram from a peer to the relayed address."""
        self._closed = asyncio.Event()

    @property
    def relayed(self) -> Address:
        """The relayed address, to which peers send."""
        return cast(Address, self.protocol.relayed_address)

    @property
    def mapped(self) -> Address:
        """Our own address, as the server sees it."""
        return cast(Address, self.protocol.mapped_address)

    @property
    def unsent_nbytes(self) -> int:
        """The size of the send buffer over TCP or TLS."""
        if isinstance(self.protocol.transport, asyncio.WriteTransport):
            return self.protocol.transport.get_write_buffer_size()
        return 0

    async def allocate(self) -> None:
        """Make the allocation.

        Raises:
            TurnRefused: The server refused.
            OSError: It is silent (TimeoutError), or the path to it is broken.
        """
        try:
            await self._unless_broken(self.protocol.connect())
        except stun.TransactionFailed as exc:
            if exc.response.error_code != _ALLOCATION_MISMATCH:
                raise
            # A crashed media process left an allocation for this port behind.
            await self.refresh(0)
            await self._unless_broken(self.protocol.connect())
        if self.protocol.refresh_task is not None:
            self.protocol.refresh_task.cancel()  # every 500 s; `shared_relay` refreshes sooner
            self.protocol.refresh_task = None

    async def refresh(self, lifetime_s: int = DEFAULT_ALLOCATION_LIFETIME) -> None:
        """Extend the allocation; 0 s ends it. Raises the same as `allocate`."""
        message = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
        message.attributes["LIFETIME"] = lifetime_s
        await self._unless_broken(self.protocol.request_with_retry(message))

    async def send(self, data: bytes, address: Address) -> None:
        """Send one datagram to a peer, after binding a channel. Raises the same as `allocate`."""
        await self._unless_broken(self.protocol.send_data(data, address))

    def has_channel(self, address: Address) -> bool:
        """Tell whether a channel is bound to a peer."""
        return address in self.protocol.peer_to_channel

    def send_nowait(self, data: bytes, address: Address) -> None:
        """Send one datagram to a peer that has a channel."""
        channel = self.protocol.peer_to_channel[address]
        self.protocol._send(struct.pack("!HH", channel, len(data)) + data)

    def is_channel_due(self, address: Address) -> bool:
        """Tell whether a peer's channel is due for a refresh; True once for each refresh."""
        channel, now_s = self.protocol.peer_to_channel[address], time.time()
        if now_s <= self.protocol.channel_refresh_at[channel]:
            return False
        self.protocol.channel_refresh_at[channel] = now_s + _CHANNEL_REFRESH_S
        return True

    async def refresh_channel(self, address: Address) -> None:
        """Refresh a peer's channel. Raises the same as `allocate`."""
        channel = self.protocol.peer_to_channel[address]
        await self._unless_broken(self.protocol.channel_bind(channel, address))

    async def release(self) -> None:
        """End the allocation if the server still answers, and close the transport."""
        if not self.broken.done():
            with contextlib.suppress(OSError, TurnRefused):
                async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                    await self.refresh(0)
        await self.close()

    async def close(self) -> None:
        """Abort the transport, without TLS's long shutdown."""
        self.protocol.transport.abort()
        await self._closed.wait()

    async def _unless_broken(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for ``work``, but only as long as the path to the server holds."""
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, self.broken}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self.broken.result()
            return await task
        except stun.TransactionTimeout as exc:
            raise TimeoutError from exc
        finally:
            task.cancel()

    # --- called by aioice ---------------------------------------------------------------------

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        self.on_data(cast(bytes, data), addr)

    def error_received(self, exc: Exception) -> None:
        if not self.broken.done():
            self.broken.set_exception(exc)
            self.broken.exception()  # mark it as retrieved: perhaps no task waits for it

    def connection_lost(self, exc: Exception | None) -> None:
        self.error_received(exc or ConnectionError("the server closed the connection"))
        self._closed.set()
