"""This kernel's candidates: its own addresses, its reflexive addresses, and a TURN relay.

They are gathered once for the whole kernel and then kept. A slow or dead server delays no viewer:
the answer has the candidates that are known, and the others follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address

from gpuview.errors import NetworkError
from gpuview.media.ice.aioice_compat import CandidateType, LocalCandidate
from gpuview.media.ice.server_session import ServerSession
from gpuview.media.ice.sockets import ALL_HOSTS, Address
from gpuview.media.ice.udp_mux import Transport, UdpMux
from gpuview.protocol.media_messages import Configure
from gpuview.protocol.stats import NetworkStats
from gpuview.webrtc.address_rewrite import PublicHost

__all__ = ["Network", "hosts_to_bind"]


def hosts_to_bind(configuration: Configure) -> Sequence[str]:
    """Return the addresses to bind: all, or loopback alone if browsers use no other. Pure.

    The same sockets send to STUN and TURN servers, which loopback cannot reach.
    """
    addresses = [ip_address(text) for text in configuration.public_ips]
    is_local = bool(addresses) and all(each.is_loopback for each in addresses)
    is_one_each = len({each.version for each in addresses}) == len(addresses)
    if not is_local or not is_one_each or configuration.has_ice_servers:
        return ALL_HOSTS
    return ALL_HOSTS if configuration.keep_private else sorted(map(str, addresses))


class Network:
    """The candidates of this kernel's socket, and its relay. Lives on one event loop.

    Args:
        mux: The shared socket.
        configuration: How browsers reach this machine.
        servers: Our STUN and TURN servers.
    """

    def __init__(self, mux: UdpMux, configuration: Configure, servers: ServerSession) -> None:
        self.mux = mux
        self.servers = servers
        self._configuration = configuration
        self._hosts = hosts_to_bind(configuration)

    @property
    def _is_relay_only(self) -> bool:
        return self._configuration.ice_transport_policy == "relay"

    @property
    def public_ips(self) -> list[str]:
        """The addresses that replace private addresses."""
        if not self._configuration.learns_public_ip:
            return self._configuration.public_ips
        return [address[0] for address in self.servers.mapped]

    @property
    def public_host(self) -> PublicHost:
        """How this host is reached from outside."""
        inside, outside = self._configuration.port_min, self._configuration.public_port_min
        port_map = {}
        if inside is not None and outside is not None:
            port_map = {self.mux.port: self.mux.port - inside + outside}
        return PublicHost(self.public_ips, port_map, keep_private=self._configuration.keep_private)

    def candidates(self, addresses: Sequence[str]) -> list[LocalCandidate]:
        """Return all candidates; ``addresses`` are this host's addresses."""
        if self._is_relay_only:
            return self.server_candidates()
        hosts = addresses if self._hosts is ALL_HOSTS else self._hosts
        found = [
            self._candidate("host", (host, self.mux.port), transport)
            for host in hosts
            if (transport := self.mux.transport_for(host)) is not None
        ]
        own = {each.address for each in found}
        return found + [each for each in self.server_candidates() if each.address not in own]

    def server_candidates(self) -> list[LocalCandidate]:
        """Return the candidates from STUN and TURN servers."""
        mapped = [] if self._is_relay_only else self.servers.mapped
        found = [self._candidate("srflx", address) for address in mapped]
        if self.servers.relay is not None:
            found.append(self._candidate("relay", self.servers.relay.address, self.servers.relay))
        return found

    def check_usable(self) -> None:
        """Check that there is a relay if only relays may be used.

        Raises:
            NetworkError: There is no relay; with the reason.
        """
        if not self._is_relay_only or self.servers.relay is not None:
            return
        for each in self.servers.problems:
            raise NetworkError(each.problem, expected=each.expected, fix=each.fix)
        raise NetworkError(
            "the kernel may use TURN relays only, and has no relay yet",
            expected="a TURN server that allocates one",
            fix="see what is wrong with it: gpuview doctor",
        )

    def stats(self) -> NetworkStats:
        return NetworkStats(
            port=self.mux.port,
            public_ips=list(self.public_ips),
            reflexive=[f"{host}:{port}" for host, port in self.servers.mapped],
            relay="{}:{}".format(*self.servers.relay.address) if self.servers.relay else "",
            relay_url=self.servers.relay.url if self.servers.relay else "",
            problems=[problem.problem for problem in self.servers.problems],
            dropped_datagrams=dict(self.mux.dropped),
        )

    def _candidate(
        self, kind: CandidateType, address: Address, transport: Transport | None = None
    ) -> LocalCandidate:
        # The base address of srflx and relay candidates stays private.
        related = None if kind == "host" else ("::" if ":" in address[0] else "0.0.0.0", 9)
        if transport is None:
            return LocalCandidate(kind, address, related)
        open_connection = partial(self.mux.open_connection, transport=transport)
        return LocalCandidate(kind, address, related, open_connection, transport.is_by_tcp)

    def __repr__(self) -> str:
        return f"<Network {self.stats()}>"
