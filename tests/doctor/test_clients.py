"""STUN and TURN servers are asked: real ones, dead ones, and ones that refuse."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gpuview.doctor.clients import allocation, open_stun_client, send_through
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import Address
from gpuview.media.ice.stun_client import StunResponse
from gpuview.webrtc.ice_url import IceServerUrl, parse_ice_url
from tests.names import resolve_nothing
from tests.ports import free_port
from tests.turnserver import LOOPBACK, TurnServer, certificate, needs_coturn

T = TypeVar("T")
LOGIN = ("me", "swordfish")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``, and fail if it leaves a task behind."""

    async def alone() -> T:
        result = await work
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(alone())


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def turn_at(text: str, login: tuple[str, str] = LOGIN) -> IceServerUrl:
    return IceServerUrl(text, parse_ice_url(text), login)


async def relayed(text: str, login: tuple[str, str] = LOGIN, timeout_s: float = 30.0) -> Address:
    async with allocation(turn_at(text, login), timeout_s=timeout_s) as client:
        assert client.mapped[0] == "127.0.0.1"
        return client.relayed


@pytest.fixture(scope="module")
def certificate_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("certificate"), "127.0.0.1")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificate_files: tuple[Path, Path]
) -> Iterator[tuple[int, int]]:
    """A coturn; yields its port, and that for TLS."""
    port, tls_port = free_port(), free_port()
    chain, key = certificate_files
    configuration = f"""
        listening-port={port}
        tls-listening-port={tls_port}
        cert={chain}
        pkey={key}
        lt-cred-mech
        user={LOGIN[0]}:{LOGIN[1]}
        realm=test
        no-multicast-peers
        {LOOPBACK}
        listening-ip=127.0.0.2
    """
    lines = "\n".join(line.strip() for line in configuration.splitlines())
    with TurnServer(tmp_path_factory.mktemp("coturn"), lines):
        yield port, tls_port


# --- STUN ---------------------------------------------------------------------------------------


@needs_coturn
def test_stun_server_tells_our_address_and_its_second_one(server: tuple[int, int]) -> None:
    async def ask() -> tuple[StunResponse, int]:
        async with asyncio.timeout(30), open_stun_client(sock=bound()) as client:
            return await client.query(("127.0.0.1", server[0])), client.port

    answer, port = run(ask())
    assert answer.mapped == ("127.0.0.1", port)
    assert answer.source == ("127.0.0.1", server[0])
    assert answer.other is not None
    assert answer.other[0] == "127.0.0.2"


@needs_coturn
def test_stun_server_answers_from_its_second_address_when_asked(server: tuple[int, int]) -> None:
    async def ask() -> StunResponse:
        async with asyncio.timeout(30), open_stun_client(sock=bound()) as client:
            return await client.query(("127.0.0.1", server[0]), from_other=True)

    assert run(ask()).source[0] == "127.0.0.2"


def test_closed_stun_port_is_heard_at_once() -> None:
    async def ask() -> StunResponse:
        async with (
            asyncio.timeout(30),
            open_stun_client(server=("127.0.0.1", free_port())) as client,
        ):
            return await client.query()

    with pytest.raises(ConnectionRefusedError):
        run(ask())


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (bytes.fromhex("00090002000400"), "is malformed"),
        (bytes.fromhex("000900080000041456616c65"), "it answers 420 Vale"),
        (b"", "it answers 0 no mapped address"),
    ],
)
def test_odd_stun_answer_is_a_connection_error(body: bytes, match: str) -> None:
    class Odd(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            kind, size = b"\x01\x11", len(body).to_bytes(2, "big")
            self.transport.sendto(kind + size + data[4:20] + body, addr)

    async def ask() -> StunResponse:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Odd, local_addr=("127.0.0.1", 0))
        try:
            async with (
                asyncio.timeout(30),
                open_stun_client(server=transport.get_extra_info("sockname")) as client,
            ):
                return await client.query()
        finally:
            transport.close()

    with pytest.raises(ConnectionError, match=match):
        run(ask())


def test_lost_datagrams_are_sent_again() -> None:
    async def ask() -> int:
        async with asyncio.timeout(30), open_stun_client(sock=bound()) as client:
            sent = 0

            def send_but_lose_the_first(data: bytes) -> None:
                nonlocal sent
                sent += 1
                if sent > 1:
                    client.transport.sendto(data, ("127.0.0.1", client.port))

            await client.transact(send_but_lose_the_first)
            return sent

    assert run(ask()) == 2


# --- TURN ---------------------------------------------------------------------------------------


@needs_coturn
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_relay_is_allocated_and_relays(server: tuple[int, int], transport: str) -> None:
    text = f"turn:127.0.0.1:{server[0]}?transport={transport}"

    async def relay_one() -> tuple[Address, Address]:
        async with asyncio.timeout(60), open_stun_client(sock=bound()) as local:
            target = ("127.0.0.1", local.port)
            async with allocation(turn_at(text), timeout_s=30) as client:
                _, source = await local.transact(lambda data: send_through(client, data, target))
                return source, client.relayed

    source, address = run(relay_one())
    assert source == address


@needs_coturn
def test_address_that_may_not_be_relayed_to_is_an_error(server: tuple[int, int]) -> None:
    text = f"turn:127.0.0.1:{server[0]}"

    async def relay_one() -> None:
        async with allocation(turn_at(text), timeout_s=30) as client:
            await send_through(client, b"x", ("224.0.0.1", 9999))

    with pytest.raises(NetworkError, match=r"does not relay to 224.0.0.1: .*403") as caught:
        run(relay_one())
    assert "allowed-peer-ip=224.0.0.1" in caught.value.fix


@needs_coturn
def test_certificate_has_to_be_trusted(
    server: tuple[int, int],
    certificate_files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = f"turns:127.0.0.1:{server[1]}"
    with pytest.raises(NetworkError, match="no certificate that this machine trusts"):
        run(relayed(text))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files[0]))
    assert run(relayed(text))[0] == "127.0.0.1"


@needs_coturn
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_wrong_password_is_named_and_not_repeated(server: tuple[int, int], transport: str) -> None:
    text = f"turn:127.0.0.1:{server[0]}?transport={transport}"
    with pytest.raises(NetworkError, match="refuses the username or the credential: 401") as caught:
        run(relayed(text, ("me", "marlin")))
    assert "marlin" not in str(caught.value)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_closed_port_is_named(transport: str) -> None:
    text = f"turn:127.0.0.1:{free_port()}?transport={transport}"
    with pytest.raises(NetworkError, match="nothing listens at turn:127"):
        run(relayed(text))


def test_silent_server_is_named_after_the_time_given() -> None:
    with bound() as dead, pytest.raises(NetworkError, match="does not answer"):
        run(relayed(f"turn:127.0.0.1:{dead.getsockname()[1]}", timeout_s=0.3))


@pytest.mark.parametrize("scheme", ["turn", "turns"])
def test_server_that_accepts_and_says_nothing_is_silent(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as dead:
        text = f"{scheme}:127.0.0.1:{dead.getsockname()[1]}?transport=tcp"
        with pytest.raises(NetworkError, match="does not answer"):
            run(relayed(text, timeout_s=0.3))


def test_server_that_hangs_up_is_not_waited_for() -> None:
    async def ask() -> None:
        closer = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with closer:
            port = closer.sockets[0].getsockname()[1]
            await relayed(f"turn:127.0.0.1:{port}?transport=tcp", timeout_s=60)

    with pytest.raises(NetworkError, match="closed the connection"):
        run(ask())


def test_name_that_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_nothing(monkeypatch)
    with pytest.raises(NetworkError, match="does not resolve"):
        run(relayed("turn:nowhere.invalid"))


def test_no_certificate_at_all_is_a_tls_error() -> None:
    async def ask() -> None:
        async def chat(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        plain = await asyncio.start_server(chat, "127.0.0.1", 0)
        async with plain:
            await relayed(f"turns:127.0.0.1:{plain.sockets[0].getsockname()[1]}")

    with pytest.raises(NetworkError) as caught:
        run(ask())
    assert isinstance(caught.value.__cause__, ssl.SSLError)
