"""Asks STUN and TURN servers, and listens for what comes back: for the doctor.

Everything here has sockets of its own and lasts for seconds. What the media process asks, from its
shared socket and again and again, is in `network`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from aioice import stun
from aioice.turn import (
    DEFAULT_ALLOCATION_LIFETIME,
    DEFAULT_CHANNEL_REFRESH_TIME,
    TurnClientTcpProtocol,
    TurnClientUdpProtocol,
)

from gpuview.errors import NetworkError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.server_errors import explain
from gpuview.media.ice.sockets import Address
from gpuview.webrtc.ice_url import IceUrl

__all__ = [
    "Datagram",
    "Ear",
    "Relay",
    "StunAnswer",
    "allocate_turn",
    "ask_stun",
    "insist",
    "listening",
    "listening_to",
]

T = TypeVar("T")
Datagram = tuple[bytes, Address]

_RETRY_S = 0.4
_CHANGE_ADDRESS_AND_PORT = 0x06
_DELETE_TIMEOUT_S = 0.5


# --- a socket that several questions share ----------------------------------------------------


class Ear(asyncio.DatagramProtocol):
    """A UDP socket that hands each datagram to whoever expects the token in it.

    Made by `listening` and `listening_to`.
    """

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport
        self._expected: dict[bytes, asyncio.Future[Datagram]] = {}

    @property
    def port(self) -> int:
        """Its own."""
        return int(self._transport.get_extra_info("sockname")[1])

    async def send(self, data: bytes, address: Address | None = None) -> None:
        """Send one datagram; without an address to the one that the socket is connected to."""
        self._transport.sendto(data, address)

    def hear(self, token: bytes) -> asyncio.Future[Datagram]:
        """Return what will be the first datagram from now on that holds ``token``; cancel it."""
        expected: asyncio.Future[Datagram] = asyncio.get_running_loop().create_future()
        self._expected[token] = expected
        return expected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for token, expected in self._expected.items():
            if token in data and not expected.done():
                expected.set_result((data, (str(addr[0]), int(addr[1]))))

    def error_received(self, exc: Exception) -> None:
        # Only a socket that is connected hears of an ICMP "port unreachable".
        for expected in self._expected.values():
            if not expected.done():
                expected.set_exception(exc)


@asynccontextmanager
async def listening(sock: socket.socket) -> AsyncIterator[Ear]:
    """Listen at a UDP socket, which is closed at the end."""
    loop = asyncio.get_running_loop()
    transport, ear = await loop.create_datagram_endpoint(Ear, sock=sock)
    try:
        yield ear
    finally:
        transport.close()


@asynccontextmanager
async def listening_to(address: Address) -> AsyncIterator[Ear]:
    """Listen to one address only; a port that is closed there is then heard to be.

    Raises:
        OSError: There is no route to it.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    async with listening(sock) as ear:
        yield ear


async def insist(send: Callable[[], Awaitable[None]], answer: asyncio.Future[T]) -> T:
    """Send, and send again every 0.4 s, until ``answer`` is there. Cancels it at the end."""
    try:
        while not answer.done():
            await send()
            await asyncio.wait({answer}, timeout=_RETRY_S)
        return answer.result()
    finally:
        answer.cancel()


# --- STUN ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StunAnswer:
    """What a STUN server says."""

    mapped: Address
    """Our socket, as the server sees it."""
    other: Address | None
    """The server's second address, from which it can be asked to answer."""
    source: Address
    """From where it has answered."""


async def ask_stun(
    ear: Ear, server: Address | None = None, *, from_other: bool = False
) -> StunAnswer:
    """Ask a STUN server how ``ear`` is seen; the caller bounds the time.

    Args:
        ear: The socket that asks.
        server: Whom; None for the one that the socket is connected to.
        from_other: Ask it to answer from its second address and port.

    Raises:
        ConnectionError: The server answers with an error, or nothing listens there.

    Source:
        RFC 8489; RFC 5780 section 7.2 (CHANGE-REQUEST).
    """
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    if from_other:
        request.attributes["CHANGE-REQUEST"] = _CHANGE_ADDRESS_AND_PORT
    answer = ear.hear(request.transaction_id)
    return _read_binding(*await insist(lambda: ear.send(bytes(request), server), answer))


def _read_binding(data: bytes, source: Address) -> StunAnswer:
    try:
        attributes = stun.parse_message(data).attributes
    except Exception as exc:  # struct.error and others: the parser trusts lengths
        raise ConnectionError(f"its answer cannot be read: {exc}") from exc
    mapped = attributes.get("XOR-MAPPED-ADDRESS") or attributes.get("MAPPED-ADDRESS")
    if mapped is None:
        code, reason = attributes.get("ERROR-CODE", (0, "no mapped address"))
        raise ConnectionError(f"it answers {code} {reason}")
    return StunAnswer(mapped, attributes.get("OTHER-ADDRESS"), source)


# --- TURN ---------------------------------------------------------------------------------------


class _Watched:
    """Tells when the way to the server breaks, which aioice's clients keep to themselves."""

    broken: asyncio.Future[None]
    """Fails when it does."""
    gone: asyncio.Event
    """Set when the socket is closed."""

    def error_received(self, exc: Exception) -> None:
        if not self.broken.done():
            self.broken.set_exception(exc)
            self.broken.exception()  # nobody need be waiting: asyncio is not to complain

    def connection_lost(self, exc: Exception | None) -> None:
        self.error_received(exc or ConnectionError("it closed the connection"))
        self.gone.set()


class _UdpClient(_Watched, TurnClientUdpProtocol): ...


class _TcpClient(_Watched, TurnClientTcpProtocol): ...


class Relay:
    """An allocation on a TURN server; made by `allocate_turn`."""

    def __init__(self, client: _UdpClient | _TcpClient) -> None:
        self._client = client

    @property
    def address(self) -> Address:
        """The relayed address, from which `send` sends."""
        return cast(Address, self._client.relayed_address)

    @property
    def mapped(self) -> Address:
        """Our own address, as the server sees it."""
        return cast(Address, self._client.mapped_address)

    async def send(self, data: bytes, address: Address) -> None:
        """Send one datagram to ``address`` by way of the relay.

        Raises:
            NetworkError: The server does not relay to that address, or the way to it is broken.
        """
        try:
            await _unless_broken(self._client, self._client.send_data(data, address))
        except (OSError, stun.TransactionError) as exc:
            reason = str(exc).replace("\0", "")  # coturn's padding
            raise NetworkError(
                f"the TURN server does not relay to {address[0]}: {reason}",
                expected="a relay to the address under which browsers reach this machine",
                fix=f"put allowed-peer-ip={address[0]} into its turnserver.conf",
            ) from exc


@asynccontextmanager
async def allocate_turn(
    text: str, url: IceUrl, login: tuple[str, str], *, timeout_s: float
) -> AsyncIterator[Relay]:
    """Make an allocation, and give it back at the end.

    Args:
        text: The URL as it was configured, for people.
        url: What it says.
        login: User name and credential.
        timeout_s: After which the server counts as silent.

    Raises:
        NetworkError: It refuses, is silent, cannot be resolved or connected to, or its certificate
            is not trusted: which one, in three parts.
    """
    try:
        async with asyncio.timeout(timeout_s):
            client = await _connect(url, login)
            try:
                await _unless_broken(client, client.connect())
            except BaseException:
                await _hang_up(client)
                raise
    except (OSError, stun.TransactionError) as exc:  # TimeoutError is an OSError
        raise explain(text, exc) from exc
    try:
        yield Relay(client)
    finally:
        await _give_back(client)


async def _connect(url: IceUrl, login: tuple[str, str]) -> _UdpClient | _TcpClient:
    """Connect to the first of the server's addresses that there is a way to."""
    error: OSError = OSError("it has no address")
    for address in await resolve(url.host, url.port):
        try:
            return await _connect_to(address, url, login)
        except OSError as exc:
            error = exc
    raise error


async def _connect_to(
    address: Address, url: IceUrl, login: tuple[str, str]
) -> _UdpClient | _TcpClient:
    loop = asyncio.get_running_loop()
    kind = _UdpClient if url.transport == "udp" else _TcpClient
    client = kind(address, *login, DEFAULT_ALLOCATION_LIFETIME, DEFAULT_CHANNEL_REFRESH_TIME)
    client.broken, client.gone = loop.create_future(), asyncio.Event()
    if isinstance(client, _UdpClient):
        await loop.create_datagram_endpoint(lambda: client, remote_addr=address)
    elif url.is_secure:
        # Honours SSL_CERT_FILE.
        context = ssl.create_default_context()
        await loop.create_connection(
            lambda: client, *address, ssl=context, server_hostname=url.host
        )
    else:
        await loop.create_connection(lambda: client, *address)
    return client


async def _unless_broken(client: _UdpClient | _TcpClient, work: Awaitable[T]) -> T:
    """Wait for ``work``, but not when the way to the server breaks meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        either: set[asyncio.Future[Any]] = {task, client.broken}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            client.broken.result()
        return await task
    finally:
        task.cancel()


async def _give_back(client: _UdpClient | _TcpClient) -> None:
    # A server that has gone in the meantime forgets the allocation by itself.
    with contextlib.suppress(OSError, stun.TransactionError):
        async with asyncio.timeout(_DELETE_TIMEOUT_S):
            await _unless_broken(client, client.delete())
    await _hang_up(client)


async def _hang_up(client: _UdpClient | _TcpClient) -> None:
    """Close the socket, without TLS's long goodbye."""
    client.transport.abort()
    await client.gone.wait()
