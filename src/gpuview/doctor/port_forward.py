"""Does what is sent to the public address and port really come in here?"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gpuview.doctor.clients import (
    Ear,
    allocate_turn,
    ask_stun,
    insist,
    listening,
)
from gpuview.doctor.report import Check
from gpuview.doctor.responder import ask_to_knock
from gpuview.doctor.servers import ANSWER_TIMEOUT_S, StunFinding
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import Address
from gpuview.webrtc.addresses import is_private, parse_address
from gpuview.webrtc.ice_url import IceServerUrl

__all__ = ["Attempt", "WayBack", "judge"]

_ARRIVAL_TIMEOUT_S = 1.5
_LOOP_TIMEOUT_S = 0.7


@dataclass(frozen=True, slots=True)
class Attempt:
    """A datagram that somebody sent to the public address, or could not send."""

    by: str
    arrived: bool
    is_telling: bool = True
    """Whether the way is closed if it has not arrived."""
    is_from_outside: bool = True
    why: str = ""
    """Why it could not be sent."""


def judge(target: Address, inside_port: int, is_own: bool, attempts: Sequence[Attempt]) -> Check:
    """Say what the attempts mean. Pure.

    Args:
        target: The public address and port.
        inside_port: The port here to which it is to lead.
        is_own: Whether the address is this machine's.
        attempts: The most trustworthy first.
    """
    host, port = target
    name = f"way back {host} port {port}"
    arrived = next((each for each in attempts if each.arrived), None)
    if arrived is not None and (arrived.is_from_outside or not is_own):
        return Check(name, "ok", f"leads to port {inside_port} here: {arrived.by} has tried it")
    ask_outside = "on a machine outside: gpuview probe; then here: gpuview doctor --via ITS_ADDRESS"
    if arrived is not None:
        found = "the address is this machine's own; whether a firewall lets it in is not known"
        return Check(name, "remark", found, ask_outside)
    missed = next((each for each in attempts if each.is_telling and not each.why), None)
    if missed is not None:
        return Check(
            name,
            "fail",
            f"what {missed.by} sent there has not come in",
            f"forward UDP {port} at {host} to port {inside_port} of this machine; how: "
            "gpuview config frp, gpuview config nftables",
        )
    reasons = [each.why for each in attempts if each.why]
    reasons.append("nothing came back from inside, as many routers do not loop back")
    return Check(name, "remark", f"not known: {'; '.join(reasons)}", ask_outside)


class WayBack:
    """Has others send to one public address.

    Args:
        inside: The port here, to which ``target`` is to lead; nothing has been sent from it yet, as
            a NAT may let in whomever it has sent to.
        target: The public address and port.
        relay: A TURN server that gives relays, if there is one.
        via: Where somebody runs ``gpuview probe``, if somebody does.
        stun: What the STUN servers said.
    """

    def __init__(
        self,
        inside: Ear,
        target: Address,
        *,
        relay: IceServerUrl | None,
        via: Address | None,
        stun: Sequence[StunFinding],
    ) -> None:
        self._inside = inside
        self._target = target
        self._relay = relay
        self._via = via
        self._stun = stun

    async def check(self) -> list[Check]:
        """Try all ways from outside, and the one from inside if they tell nothing; some 5 s."""
        outside = await asyncio.gather(self._by_probe(), self._by_relay())
        checks = [each for each in outside if isinstance(each, Check)]
        attempts = [each for each in outside if isinstance(each, Attempt)]
        if not any(each.arrived or (each.is_telling and not each.why) for each in attempts):
            attempts += [*await self._by_stun(), await self._by_itself()]
        is_own = _is_own(self._target[0])
        return [judge(self._target, self._inside.port, is_own, attempts), *checks]

    async def _by_probe(self) -> Attempt | Check | None:
        if self._via is None:
            return None
        host, port = self._via
        try:
            arrived = await ask_to_knock(
                self._via, self._inside, self._target, timeout_s=_ARRIVAL_TIMEOUT_S
            )
        except NetworkError as exc:
            return Check.failed(f"probe {host} port {port}", exc)
        return Attempt(f"gpuview probe at {host}", arrived)

    async def _by_relay(self) -> Attempt | None:
        server = self._relay
        if server is None:
            return None
        try:
            async with allocate_turn(
                server.text, server.url, server.login, timeout_s=ANSWER_TIMEOUT_S
            ) as relay:
                host = relay.address[0]
                by = f"the TURN relay {host}"
                if host == self._target[0]:
                    # coturn knows that it is at home there, and takes a short cut.
                    return Attempt(by, False, why=f"{by} has the same address")
                arrived = await self._arrives(relay.send, _ARRIVAL_TIMEOUT_S)
        except NetworkError as exc:
            return Attempt(f"the relay of {server.text}", False, why=exc.problem)
        is_outside = not is_private(parse_address(host))  # else it may stand behind the same router
        return Attempt(by, arrived, is_telling=is_outside, is_from_outside=is_outside)

    async def _by_stun(self) -> list[Attempt]:
        """Ask STUN servers that have a second address to answer from there."""
        for finding in self._stun:
            address, answer = finding.address, finding.answer
            if answer is None or answer.other is None or not _is_family(address, self._target):
                continue
            with suppress(OSError):
                async with asyncio.timeout(_ARRIVAL_TIMEOUT_S):
                    if (await ask_stun(self._inside, address)).mapped != self._target:
                        continue  # it answers to where we are seen, which is not the target
                    answer = await ask_stun(self._inside, address, from_other=True)
                    if answer.source != address:
                        return [Attempt(f"the second address of {finding.server.text}", True)]
        return []

    async def _by_itself(self) -> Attempt:
        arrived = False
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        async with listening(sock) as ear:
            arrived = await self._arrives(ear.send, _LOOP_TIMEOUT_S)
        return Attempt("this machine", arrived, is_telling=False, is_from_outside=False)

    async def _arrives(
        self, send: Callable[[bytes, Address], Awaitable[None]], timeout_s: float
    ) -> bool:
        token = secrets.token_bytes(16)
        try:
            async with asyncio.timeout(timeout_s):
                await insist(lambda: send(token, self._target), self._inside.hear(token))
        except TimeoutError:
            return False
        return True


def _is_family(address: Address | None, other: Address) -> bool:
    return address is not None and (":" in address[0]) == (":" in other[0])


def _is_own(host: str) -> bool:
    """Tell whether the address is one of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
        return True
