"""The check "inbound UDP": do datagrams to the public address and port arrive here?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gpuview.doctor.clients import allocation, arrives, open_stun_client, send_through
from gpuview.doctor.report import Check
from gpuview.doctor.responder import request_probe
from gpuview.doctor.stun_turn import ANSWER_TIMEOUT_S, ServerResult
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import Address, family_of
from gpuview.media.ice.stun_client import StunClient
from gpuview.webrtc.addresses import is_private, parse_address
from gpuview.webrtc.ice_url import IceServerUrl

__all__ = ["Attempt", "InboundTest", "judge_attempts"]

_ARRIVAL_TIMEOUT_S = 1.5
_LOOP_TIMEOUT_S = 0.7


@dataclass(frozen=True, slots=True)
class Attempt:
    """A datagram to the public address: sent and arrived, sent and lost, or not sent."""

    by: str
    arrived: bool
    is_from_outside: bool = True
    """Whether the sender is outside. Only then does a lost datagram prove anything."""
    error: str = ""
    """Why it could not be sent."""


def judge_attempts(
    target: Address, local_port: int, is_own: bool, attempts: Sequence[Attempt]
) -> Check:
    """Judge the attempts. Pure.

    Args:
        target: The public address and port.
        local_port: The port here that it should lead to.
        is_own: Whether the address belongs to this machine.
        attempts: The most trustworthy first.
    """
    host, port = target
    name = f"inbound UDP {host} port {port}"
    arrived = next((each for each in attempts if each.arrived), None)
    if arrived is not None and (arrived.is_from_outside or not is_own):
        return Check(name, "ok", f"arrives at port {local_port} here: sent by {arrived.by}")
    ask_outside = "on a machine outside: gpuview probe; then here: gpuview doctor --via ITS_ADDRESS"
    if arrived is not None:
        found = "the address belongs to this machine; it is unknown whether a firewall lets UDP in"
        return Check(name, "remark", found, ask_outside)
    lost = next((each for each in attempts if each.is_from_outside and not each.error), None)
    if lost is not None:
        fix = (
            f"forward UDP {port} at {host} to port {local_port} of this machine; how: "
            "gpuview config frp, gpuview config nftables"
        )
        return Check(name, "fail", f"a datagram from {lost.by} has not arrived", fix)
    reasons = [each.error for each in attempts if each.error]
    reasons.append("nothing came back from inside, but many routers have no loopback")
    return Check(name, "remark", f"unknown: {'; '.join(reasons)}", ask_outside)


@dataclass(frozen=True)
class InboundTest:
    """Makes others send to one public address, and receives their datagrams."""

    local: StunClient
    """The socket here that ``target`` should lead to. It must not have sent anything yet: a NAT
    may admit replies from its destinations."""
    target: Address
    """The public address and port."""
    relay: IceServerUrl | None
    """A TURN server that allocates relays, if any."""
    via: Address | None
    """The address of ``gpuview probe``, if it runs."""
    servers: Sequence[ServerResult]
    """The answers of the STUN servers."""

    async def run(self) -> list[Check]:
        """Try from outside, then from inside if that is inconclusive; takes some 5 s."""
        outside = await asyncio.gather(self._by_probe(), self._by_relay())
        checks = [each for each in outside if isinstance(each, Check)]
        attempts = [each for each in outside if isinstance(each, Attempt)]
        if not any(each.arrived or (each.is_from_outside and not each.error) for each in attempts):
            attempts += [*await self._by_stun(), await self._by_itself()]
        is_own = _is_own(self.target[0])
        return [judge_attempts(self.target, self.local.port, is_own, attempts), *checks]

    async def _by_probe(self) -> Attempt | Check | None:
        if self.via is None:
            return None
        host, port = self.via
        try:
            arrived = await request_probe(
                self.via, self.local, self.target, timeout_s=_ARRIVAL_TIMEOUT_S
            )
        except NetworkError as exc:
            return Check.failed(f"probe {host} port {port}", exc)
        return Attempt(f"gpuview probe at {host}", arrived)

    async def _by_relay(self) -> Attempt | None:
        server = self.relay
        if server is None:
            return None
        try:
            async with allocation(server, timeout_s=ANSWER_TIMEOUT_S) as client:
                host = client.relayed[0]
                by = f"the TURN relay {host}"
                if host == self.target[0]:
                    # coturn recognises its own address and sends nothing.
                    return Attempt(by, False, error=f"{by} has the same address")
                arrived = await arrives(
                    self.local,
                    lambda data: send_through(client, data, self.target),
                    _ARRIVAL_TIMEOUT_S,
                )
        except NetworkError as exc:
            return Attempt(f"the relay of {server.text}", False, error=exc.problem)
        # A relay with a private address may be behind the same router.
        return Attempt(by, arrived, is_from_outside=not is_private(parse_address(host)))

    async def _by_stun(self) -> list[Attempt]:
        """Request answers from the second addresses of STUN servers."""
        for result in self.servers:
            first = result.stun
            if first is None or first.other is None or not self._has_family_of(first.source):
                continue
            with suppress(OSError):
                async with asyncio.timeout(_ARRIVAL_TIMEOUT_S):
                    if (await self.local.query(first.source)).mapped != self.target:
                        continue  # the answer goes to our mapped address, not to the target
                    second = await self.local.query(first.source, from_other=True)
                    if second.source != first.source:
                        return [Attempt(f"the second address of {result.server.text}", True)]
        return []

    def _has_family_of(self, address: Address) -> bool:
        return (":" in address[0]) == (":" in self.target[0])

    async def _by_itself(self) -> Attempt:
        arrived = False
        with suppress(OSError):  # no route
            async with open_stun_client(server=self.target) as client:
                arrived = await arrives(self.local, client.transport.sendto, _LOOP_TIMEOUT_S)
        return Attempt("this machine", arrived, is_from_outside=False)


def _is_own(host: str) -> bool:
    """Tell whether the address belongs to this machine."""
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
        return True
