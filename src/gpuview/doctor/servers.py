"""Do the STUN and TURN servers answer, and what do they say?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from gpuview.doctor.clients import StunAnswer, allocate_turn, ask_stun, listening_to
from gpuview.doctor.report import Check
from gpuview.errors import NetworkError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.server_errors import explain
from gpuview.media.ice.sockets import Address
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import ice_servers_for
from gpuview.webrtc.ice_url import IceServerUrl, server_urls

__all__ = ["StunFinding", "TurnFinding", "find_stun", "find_turn", "servers_of"]

ANSWER_TIMEOUT_S = 2.5
"""After which a server is called silent, its name's look-up included."""


def servers_of(settings: Settings) -> list[IceServerUrl]:
    """Return the pages' servers, then those that only the kernel's side has.

    Raises:
        SettingsError: The user's function that knows them failed.
    """
    listed = ice_servers_for(settings, "doctor")
    if settings.kernel_ice_servers is not None:
        listed += settings.kernel_ice_servers
    return server_urls(listed)


@dataclass(frozen=True, slots=True)
class StunFinding:
    """What a STUN server said."""

    server: IceServerUrl
    address: Address | None = None
    answer: StunAnswer | None = None
    error: NetworkError | None = None

    def check(self, public_ips: Iterable[str]) -> Check:
        """Return it as a line of the table.

        Args:
            public_ips: Under which browsers are to reach this machine.
        """
        if self.error is not None:
            return Check.failed(_name(self.server), self.error)
        if self.answer is None:
            return _skipped(self.server)
        host, port = self.answer.mapped
        found = f"sees this machine at {host} port {port}"
        rivals = [ip for ip in public_ips if (":" in ip) == (":" in host) and ip != host]
        if not rivals:
            return Check(_name(self.server), "ok", found)
        fix = f"GPUVIEW_PUBLIC_IP={host}, unless what stands at {rivals[0]} forwards to here (FRP)"
        return Check(_name(self.server), "remark", f"{found}, not at {rivals[0]}", fix)


async def find_stun(server: IceServerUrl) -> StunFinding:
    """Ask a STUN server, from a socket that is then closed."""
    if server.url.is_for_browsers_only:
        return StunFinding(server)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            address = (await resolve(server.url.host, server.url.port))[0]
            async with listening_to(address) as ear:
                return StunFinding(server, address, await ask_stun(ear))
    except OSError as exc:  # TimeoutError is one
        return StunFinding(server, error=explain(server.text, exc))


@dataclass(frozen=True, slots=True)
class TurnFinding:
    """Whether a TURN server gave a relay."""

    server: IceServerUrl
    relayed: Address | None = None
    mapped: Address | None = None
    """How the server sees this machine; over UDP only, where the media process asks as well."""
    error: NetworkError | None = None

    def check(self) -> Check:
        """Return it as a line of the table."""
        if self.error is not None:
            return Check.failed(_name(self.server), self.error)
        if self.relayed is None:
            return _skipped(self.server)
        host, port = self.relayed
        return Check(_name(self.server), "ok", f"gives a relay: {host} port {port}")


async def find_turn(server: IceServerUrl) -> TurnFinding:
    """Make an allocation on a TURN server, and give it back."""
    if server.url.is_for_browsers_only:
        return TurnFinding(server)
    try:
        async with allocate_turn(
            server.text, server.url, server.login, timeout_s=ANSWER_TIMEOUT_S
        ) as relay:
            is_udp = server.url.transport == "udp"
            return TurnFinding(server, relay.address, relay.mapped if is_udp else None)
    except NetworkError as exc:
        return TurnFinding(server, error=exc)


def _name(server: IceServerUrl) -> str:
    """Return what the server's check is called."""
    return f"{'TURN' if server.url.is_turn else 'STUN'} {server.text}"


def _skipped(server: IceServerUrl) -> Check:
    return Check(
        _name(server), "skipped", "browsers only: the kernel's side cannot ask it this way"
    )
