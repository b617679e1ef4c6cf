"""The TURN client against a real coturn; these tests fail when aioice's client changes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gpuview.media.ice import turn_client
from gpuview.media.ice.sockets import Address, bind_sockets
from gpuview.media.ice.turn_client import TurnClient, allocate
from gpuview.media.ice.udp_mux import UdpMux
from gpuview.webrtc.ice_url import IceServerUrl, parse_ice_url
from tests.ports import free_port
from tests.turnserver import LOOPBACK, TurnServer, needs_coturn

PORT = free_port()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TurnServer]:
    login = "lt-cred-mech\nuser=me:swordfish\nrealm=test"
    with TurnServer(tmp_path, f"listening-port={PORT}\n{login}\n{LOOPBACK}") as running:
        yield running


@asynccontextmanager
async def allocated(transport: str) -> AsyncIterator[tuple[TurnClient, UdpMux]]:
    """Yield a client that has an allocation, over UDP by the mux."""
    mux = UdpMux(asyncio.get_running_loop(), bind_sockets(None, None))
    text = f"turn:127.0.0.1:{PORT}?transport={transport}"
    url = IceServerUrl(text, parse_ice_url(text), ("me", "swordfish"))
    client = await allocate(url, ("127.0.0.1", PORT), mux)
    try:
        yield client, mux
    finally:
        with contextlib.suppress(OSError):
            await client.refresh(0)
        await client.close()
        mux.close()


@needs_coturn
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_data_goes_both_ways_and_needs_a_channel(server: TurnServer, transport: str) -> None:
    async def exchange() -> None:
        loop = asyncio.get_running_loop()
        received: asyncio.Future[tuple[bytes, Address]] = loop.create_future()
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.setblocking(False)
            address = peer.getsockname()
            async with asyncio.timeout(60), allocated(transport) as (client, mux):
                client.on_data = lambda data, source: received.set_result((data, source))
                assert not client.has_channel(address)
                await client.send(b"binds", address)
                assert client.has_channel(address)
                client.send_nowait(b"is bound", address)
                assert await loop.sock_recv(peer, 100) == b"binds"
                assert await loop.sock_recv(peer, 100) == b"is bound"
                await loop.sock_sendto(peer, b"answer", client.relayed)
                assert await received == (b"answer", address)
                # By UDP it is the shared socket that the server sees.
                assert (client.mapped[1] == mux.port) == client.is_datagram
                assert not mux.dropped

    asyncio.run(exchange())


@needs_coturn
def test_channel_is_refreshed_once_when_it_is_due(
    server: TurnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = ("127.0.0.1", 9)

    async def wait() -> list[bool]:
        async with asyncio.timeout(60), allocated("udp") as (client, _):
            await client.send(b"binds", peer)
            due = [client.is_channel_due(peer)]
            later_s = time.time() + 250
            monkeypatch.setattr(turn_client.time, "time", lambda: later_s)
            due += [client.is_channel_due(peer), client.is_channel_due(peer)]
            await client.refresh_channel(peer)
            return due

    assert asyncio.run(wait()) == [False, True, False]


@needs_coturn
def test_nothing_but_our_own_refresh_keeps_the_allocation(server: TurnServer) -> None:
    async def look() -> None:
        async with asyncio.timeout(60), allocated("udp"):
            await asyncio.sleep(0)  # aioice's own refresh has been cancelled
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(look())


@needs_coturn
def test_server_that_hangs_up_breaks_the_client(server: TurnServer) -> None:
    async def lose() -> None:
        async with asyncio.timeout(60):
            async with allocated("tcp") as (client, _):
                server.restart()
                with pytest.raises(ConnectionError, match=r"closed the connection|reset by peer"):
                    await client.broken

    asyncio.run(lose())
