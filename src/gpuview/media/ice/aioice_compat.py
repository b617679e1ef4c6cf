"""The only access to aioice's ICE connections; `turn_client` is the one to its TURN client.

The internals of aioice that are used, and why:

- ``get_host_addresses``: to offer loopback on a machine without a network.
- The connection's ``get_component_candidates``, ``_protocols``, ``_local_candidates``,
  ``_check_list`` and ``_closing``: to give it candidates on the shared sockets and the shared
  relay, and to add new candidates while it runs; ``_remote_candidates``,
  ``_pair_remote_candidate`` and ``sort_check_list``: to pair these with the page's.
- ``_nominated``: to send many datagrams at once, without a coroutine for each.
- ``StunProtocol.transactions`` and ``.receiver``: to find the connection of a datagram in the mux.

aioice is pinned to one minor version, `install` refuses any other, and
``tests/media/ice/test_aioice_compat.py`` tests the behaviour of each name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import aioice.ice
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import RTCPeerConnection

from gpuview.media import aiortc_compat
from gpuview.media.ice.sockets import Address

__all__ = [
    "CandidateType",
    "IceProtocol",
    "LocalCandidate",
    "Pair",
    "gather_from",
    "gather_loopback_when_alone",
    "install",
    "local_candidates",
    "selected_pair",
    "send_datagrams",
    "ufrag",
    "update_candidates",
]

CandidateType = Literal["host", "srflx", "relay"]

_AIOICE = "0.13"


def install() -> None:
    """Extend this process's aiortc and aioice for gpuview. Does nothing the second time.

    Raises:
        MediaError: The internals of an installed version are unknown.
    """
    gather_loopback_when_alone()
    aiortc_compat.install()


def gather_loopback_when_alone() -> None:
    """Let ICE use 127.0.0.1 on a machine without another address; aioice never does.

    Raises:
        MediaError: aioice has another version.
    """
    aiortc_compat.check_version("aioice", _AIOICE)
    aioice.ice.get_host_addresses = _host_addresses_or_loopback


_get_host_addresses = aioice.ice.get_host_addresses


def _host_addresses_or_loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    return _get_host_addresses(use_ipv4, use_ipv6) or ["127.0.0.1"]


class IceProtocol(aioice.ice.StunProtocol):
    """The end of an ICE connection that receives datagrams."""

    is_by_tcp = False
    """As of its `LocalCandidate`."""

    @property
    def ufrag(self) -> str:
        return self.receiver.local_username

    @property
    def password(self) -> str:
        return self.receiver.local_password

    def awaits(self, transaction_id: bytes) -> bool:
        """Tell whether a STUN response is for this connection."""
        return transaction_id in self.transactions


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """A candidate that a connection can offer."""

    type: CandidateType
    address: Address
    related_address: Address | None = None
    """For srflx and relay: the base address."""
    open: Callable[[IceProtocol], asyncio.DatagramTransport] | None = None
    """Opens its transport; None for srflx, whose datagrams come through the host's."""
    is_by_tcp: bool = False
    """Whether it leads by TCP, where a late datagram holds up those behind it."""


def gather_from(
    connection: RTCPeerConnection, candidates: Callable[[list[str]], list[LocalCandidate]]
) -> None:
    """Replace a connection's gathering of candidates.

    Call it before ``setLocalDescription``.

    Args:
        connection: A viewer's connection.
        candidates: Returns the candidates. Its argument is this host's addresses, with loopback
            only if there is no other.
    """
    ice = _ice(connection)

    async def get_component_candidates(
        component: int, addresses: list[str]
    ) -> list[aioice.Candidate]:
        # A connection that was closed meanwhile would not close these transports.
        return [] if ice._closing else [_open(ice, each) for each in candidates(addresses)]

    vars(ice)["get_component_candidates"] = get_component_candidates


def update_candidates(connection: RTCPeerConnection, candidates: Sequence[LocalCandidate]) -> None:
    """Add the candidates that the connection does not have yet, and pair them.

    Args:
        connection: A viewer's connection.
        candidates: All current candidates except host candidates. Candidates that are no longer
            among them are removed; otherwise they would pile up over many hours.
    """
    ice = _ice(connection)
    if ice._closing:
        return
    _remove_closed(ice)
    present = {each.address for each in candidates}
    ice._local_candidates = [
        each
        for each in ice._local_candidates
        if each.type == "host" or (each.host, each.port) in present
    ]
    known = {(each.host, each.port) for each in ice._local_candidates}
    new = [each for each in candidates if each.address not in known]
    if not new:
        return
    ice._local_candidates += [_open(ice, each) for each in new]
    for remote in ice._remote_candidates:
        ice._pair_remote_candidate(remote)
    ice.sort_check_list()


def _remove_closed(ice: aioice.Connection) -> None:
    """Remove the candidates of a lost relay; the next relay may have the same address."""
    closed = [each for each in ice._protocols if each.transport.is_closing()]
    gone = [each.local_candidate for each in closed]
    ice._protocols = [each for each in ice._protocols if each not in closed]
    ice._local_candidates = [each for each in ice._local_candidates if each not in gone]
    ice._check_list = [
        pair for pair in ice._check_list if pair.protocol not in closed or pair.task is not None
    ]


def _open(ice: aioice.Connection, local: LocalCandidate) -> aioice.Candidate:
    host, port = local.address
    candidate = aioice.Candidate(
        foundation=candidate_foundation(local.type, "udp", host),
        component=1,
        transport="udp",
        priority=candidate_priority(1, local.type),
        host=host,
        port=port,
        type=local.type,
        related_address=local.related_address[0] if local.related_address else None,
        related_port=local.related_address[1] if local.related_address else None,
    )
    if local.open is not None:
        protocol = IceProtocol(ice)
        protocol.local_candidate = candidate
        protocol.is_by_tcp = local.is_by_tcp
        protocol.connection_made(local.open(protocol))
        ice._protocols.append(protocol)
    return candidate


def local_candidates(connection: RTCPeerConnection) -> list[str]:
    """Return our candidates, as in ``RTCIceCandidate.candidate``."""
    return [f"candidate:{each.to_sdp()}" for each in _ice(connection)._local_candidates]


def ufrag(connection: RTCPeerConnection) -> str:
    """Return the user name fragment by which the mux knows the connection."""
    return str(_ice(connection).local_username)


@dataclass(frozen=True, slots=True)
class Pair:
    """The candidate pair that carries a connection, as ``type address:port``."""

    local: str
    remote: str
    is_local: bool = False
    """Whether both ends are on this machine."""
    is_by_tcp: bool = False
    """Whether it leads through a TURN server that we talk to by TCP."""


def selected_pair(connection: RTCPeerConnection) -> Pair | None:
    """Return the pair that ICE selected; None before that."""
    is_answered = bool(connection.getTransceivers())
    pair = _ice(connection)._nominated.get(1) if is_answered else None
    if pair is None:
        return None
    local, remote = pair.local_candidate, pair.remote_candidate
    is_local = local.type == "host" and local.host == remote.host
    is_by_tcp = isinstance(pair.protocol, IceProtocol) and pair.protocol.is_by_tcp
    return Pair(_pair_end(local), _pair_end(remote), is_local, is_by_tcp)


def send_datagrams(connection: RTCPeerConnection, datagrams: Sequence[bytes]) -> None:
    """Send datagrams to the peer, in order. Never waits; any of them may be lost.

    Raises:
        ConnectionError: ICE has no route.
    """
    pair = _ice(connection)._nominated.get(1)
    if pair is None:
        raise ConnectionError("ICE has no route to the page")
    for data in datagrams:
        pair.protocol.transport.sendto(data, pair.remote_addr)


def _ice(connection: RTCPeerConnection) -> aioice.Connection:
    ice: aioice.Connection = aiortc_compat.ice_connection(connection)
    return ice


def _pair_end(candidate: aioice.Candidate) -> str:
    return f"{candidate.type} {candidate.host}:{candidate.port}"
