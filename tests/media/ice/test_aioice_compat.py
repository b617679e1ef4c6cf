"""The seam to aioice's ICE connections works; these tests fail when aioice changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aioice
import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, VideoStreamTrack

from gpuview.media.ice import aioice_compat


@pytest.fixture(autouse=True)
def installed() -> None:
    aioice_compat.install()


def test_machine_without_a_network_still_has_its_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aioice_compat, "_get_host_addresses", lambda use_ipv4, use_ipv6: [])
    assert aioice.ice.get_host_addresses(True, True) == ["127.0.0.1"]


class Transport(asyncio.DatagramTransport):
    """Goes nowhere, and tells its protocol when it is closed."""

    def __init__(self, protocol: aioice_compat.IceProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._is_closing = False

    def sendto(self, data: object, addr: object = None) -> None: ...

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


async def answering(
    candidates: Callable[[list[str]], list[aioice_compat.LocalCandidate]],
) -> RTCPeerConnection:
    """Return a connection that has gathered ``candidates`` and answered."""
    page, ours = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    page.addTransceiver("video", direction="recvonly")
    ours.addTrack(VideoStreamTrack())
    await ours.setRemoteDescription(await page.createOffer())
    aioice_compat.gather_from(ours, candidates)
    await ours.setLocalDescription(await ours.createAnswer())
    await page.close()
    return ours


HOST = aioice_compat.LocalCandidate("host", ("192.0.2.7", 10111), open=Transport)
MAPPED = aioice_compat.LocalCandidate("srflx", ("203.0.113.10", 10111), ("0.0.0.0", 9))
RELAY = aioice_compat.LocalCandidate("relay", ("198.51.100.2", 50_000), ("0.0.0.0", 9), Transport)


def test_candidates_are_the_given_ones() -> None:
    async def gather() -> tuple[list[str], str]:
        asked: list[list[str]] = []
        ours = await answering(lambda addresses: [asked.append(addresses), HOST, MAPPED][1:])  # type: ignore[list-item, func-returns-value]
        assert asked
        assert all(asked)
        found = aioice_compat.local_candidates(ours), ours.localDescription.sdp
        await ours.close()
        return found

    candidates, sdp = asyncio.run(gather())
    types = [(text.split()[4], text.split()[7]) for text in candidates]
    assert types == [("192.0.2.7", "host"), ("203.0.113.10", "srflx")]
    assert all(f"a={text}" in sdp for text in candidates)


def test_late_candidates_are_paired_with_the_pages() -> None:
    async def pair() -> list[str]:
        ours = await answering(lambda addresses: [HOST])
        ice = ours.getTransceivers()[0].receiver.transport.transport._connection
        remote = "1 1 udp 1 198.51.100.20 4000 typ host"
        await ice.add_remote_candidate(aioice.Candidate.from_sdp(remote))
        aioice_compat.update_candidates(ours, [HOST, RELAY])
        aioice_compat.update_candidates(ours, [RELAY])
        pairs = [pair.local_candidate.type for pair in ice._check_list]
        assert len(aioice_compat.local_candidates(ours)) == 2
        assert len(aioice_compat.ufrag(ours)) >= 4
        await ours.close()
        aioice_compat.update_candidates(ours, [RELAY])
        assert not ice._protocols
        return pairs

    assert sorted(asyncio.run(pair())) == ["host", "relay"]


def test_candidates_that_have_gone_are_removed() -> None:
    """Else a NAT that changes its mind every minute would fill a message in an hour."""

    async def move() -> list[int]:
        ours = await answering(lambda addresses: [HOST])
        for port in range(1000):
            aioice_compat.update_candidates(
                ours,
                [aioice_compat.LocalCandidate("srflx", ("203.0.113.10", port), ("0.0.0.0", 9))],
            )
        ports = [int(text.split()[5]) for text in aioice_compat.local_candidates(ours)]
        await ours.close()
        return ports

    assert asyncio.run(move()) == [10111, 999]


def test_relay_with_the_address_of_a_lost_one_is_a_new_candidate() -> None:
    async def lose() -> None:
        ours = await answering(lambda addresses: [HOST, RELAY])
        ice = ours.getTransceivers()[0].receiver.transport.transport._connection
        host, first = ice._protocols
        first.transport.close()
        aioice_compat.update_candidates(ours, [])
        assert ice._protocols == [host]
        aioice_compat.update_candidates(ours, [RELAY])
        assert len(ice._protocols) == 2
        assert ice._protocols[1] is not first
        assert len(aioice_compat.local_candidates(ours)) == 2
        await ours.close()

    asyncio.run(lose())


def test_nothing_is_sent_before_there_is_a_route() -> None:
    async def send() -> None:
        ours = await answering(lambda _: [HOST])
        with pytest.raises(ConnectionError, match="no route"):
            aioice_compat.send_datagrams(ours, [b"frame"])
        await ours.close()

    asyncio.run(send())


def test_connection_without_a_transceiver_has_no_pair() -> None:
    async def ask() -> None:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        assert aioice_compat.selected_pair(connection) is None
        await connection.close()

    asyncio.run(ask())


def test_protocol_names_its_connection_and_knows_its_requests() -> None:
    """By these the mux finds the connection of a datagram."""

    async def look() -> None:
        opened: list[aioice_compat.IceProtocol] = []

        def open_transport(protocol: aioice_compat.IceProtocol) -> Transport:
            opened.append(protocol)
            return Transport(protocol)

        host = aioice_compat.LocalCandidate("host", ("192.0.2.7", 10111), open=open_transport)
        ours = await answering(lambda addresses: [host])
        (protocol,) = opened
        assert protocol.ufrag == aioice_compat.ufrag(ours)
        assert f"a=ice-pwd:{protocol.password}\r\n" in ours.localDescription.sdp
        request = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
        asking = asyncio.create_task(protocol.request(request, ("192.0.2.9", 9)))
        await asyncio.sleep(0)
        assert protocol.awaits(request.transaction_id)
        assert not protocol.awaits(b"t" * 12)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert not protocol.awaits(request.transaction_id)
        await ours.close()

    asyncio.run(look())
