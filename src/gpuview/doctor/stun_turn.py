"""The checks "STUN" and "TURN": does each server answer, and with which address?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from gpuview.doctor.clients import allocation, open_stun_client
from gpuview.doctor.report import Check
from gpuview.errors import NetworkError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.server_errors import server_error
from gpuview.media.ice.sockets import Address
from gpuview.media.ice.stun_client import StunResponse
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import ice_servers_for
from gpuview.signalling.turn_rest_client import fetch_turn_login
from gpuview.webrtc.ice_url import IceServerUrl, server_urls

__all__ = ["ANSWER_TIMEOUT_S", "ServerResult", "query_server", "servers_of"]

ANSWER_TIMEOUT_S = 2.5
"""A server counts as silent after this time, which includes resolving its name."""


def servers_of(settings: Settings) -> tuple[list[IceServerUrl], list[Check]]:
    """Return the pages' servers, then those for the kernel's side only; and whether the endpoint
    that makes TURN logins answers, if there is one.

    Raises:
        SettingsError: The user's function for ICE servers failed.
    """
    listed, own = ice_servers_for(settings, "doctor"), settings.kernel_ice_servers or ()
    name = "TURN logins"
    try:
        login = fetch_turn_login(settings, "doctor")
    except NetworkError as exc:
        return server_urls(listed + own), [Check.failed(name, exc)]
    if login is None:
        return server_urls(listed + own), []
    found = f"{login.server.username}, for {login.ttl_s:g} s"
    return server_urls((*listed, login.server, *own)), [Check(name, "ok", found)]


@dataclass(frozen=True, slots=True)
class ServerResult:
    """The answer of a STUN or TURN server; empty for a server that only browsers can use."""

    server: IceServerUrl
    stun: StunResponse | None = None
    relayed: Address | None = None
    """The relayed address from a TURN server."""
    mapped: Address | None = None
    """Our address as the server sees it; over UDP only, as for media."""
    error: NetworkError | None = None

    def check(self, public_ips: Iterable[str]) -> Check:
        """Return the result as a line of the table.

        Args:
            public_ips: The addresses at which browsers should reach this machine.
        """
        name = f"{'TURN' if self.server.url.is_turn else 'STUN'} {self.server.text}"
        if self.error is not None:
            return Check.failed(name, self.error)
        if self.relayed is not None:
            host, port = self.relayed
            return Check(name, "ok", f"allocates a relay: {host} port {port}")
        if self.mapped is None:
            return Check(name, "skipped", "for browsers only: the kernel's side cannot use it")
        host, port = self.mapped
        found = f"sees this machine at {host} port {port}"
        others = [ip for ip in public_ips if (":" in ip) == (":" in host) and ip != host]
        if not others:
            return Check(name, "ok", found)
        fix = f"GPUVIEW_PUBLIC_IP={host}, unless the machine at {others[0]} forwards to this one"
        return Check(name, "remark", f"{found}, not at {others[0]}", fix)


async def query_server(server: IceServerUrl) -> ServerResult:
    """Query a STUN server for our address, or allocate and release a relay on a TURN server."""
    url = server.url
    if url.is_for_browsers_only:
        return ServerResult(server)
    try:
        if url.is_turn:
            async with allocation(server, timeout_s=ANSWER_TIMEOUT_S) as client:
                mapped = client.mapped if client.is_datagram else None
                return ServerResult(server, relayed=client.relayed, mapped=mapped)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            address = (await resolve(url.host, url.port))[0]
            async with open_stun_client(server=address) as client:
                answer = await client.query()
                return ServerResult(server, stun=answer, mapped=answer.mapped)
    except NetworkError as exc:
        return ServerResult(server, error=exc)
    except OSError as exc:  # TimeoutError is one
        return ServerResult(server, error=server_error(server.text, exc))
