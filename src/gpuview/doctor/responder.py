"""A machine outside sends a probe to our port, when the doctor requests it: ``gpuview probe``.

    requester                           responder
      ── REQUEST token, target ───────►   from a separate socket of the requester
      ◄──────────── COOKIE ────────────   to the request's source address
      ── REQUEST, with the cookie ────►   proves that this address is not forged
      ◄──────────── PROBE token ───────   to the port under test

All messages have the same length, and each gets at most one answer, so nothing is amplified. The
responder probes only the requester's own address, which the cookie proves, and addresses that its
operator allows. So it cannot be used to attack others. It keeps no state.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from gpuview.doctor.clients import Datagram, Endpoint, connect_endpoint
from gpuview.errors import NetworkError
from gpuview.media.ice.retry import retransmit
from gpuview.media.ice.sockets import (
    ANCILLARY_NBYTES,
    Address,
    bind_sockets,
    destination_host,
    family_of,
    source_of,
)

__all__ = ["ProbeMessage", "Responder", "request_probe", "serve_probes"]

_MAGIC = b"gpuview?"
_FORM = struct.Struct("!8sB16s16s16sH5x")
Kind = Literal["REQUEST", "COOKIE", "PROBE", "DENY"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_NO_COOKIE = bytes(16)
_ANYWHERE = bytes(16)
_COOKIE_S = 10  # a cookie is valid for this long, up to twice


@dataclass(frozen=True, slots=True)
class ProbeMessage:
    """One datagram, in either direction."""

    kind: Kind
    token: bytes
    """Chosen by the requester, 16 bytes; repeated in every answer."""
    port: int
    """The port to probe."""
    host: str = ""
    """The address to probe; empty for the requester's own."""
    cookie: bytes = _NO_COOKIE
    """Made by the responder, 16 bytes: proves that the requester's address is not forged."""

    def to_wire(self) -> bytes:
        kind = _KINDS.index(self.kind)
        return _FORM.pack(_MAGIC, kind, self.token, self.cookie, _packed_host(self.host), self.port)

    @staticmethod
    def from_wire(data: bytes) -> ProbeMessage | None:
        """Return the message, or None if the bytes are not a message."""
        if len(data) != _FORM.size:
            return None
        magic, kind, token, cookie, host, port = _FORM.unpack(data)
        if magic != _MAGIC or kind >= len(_KINDS) or port == 0:
            return None
        return ProbeMessage(_KINDS[kind], token, port, _unpacked_host(host), cookie)


def _packed_host(host: str) -> bytes:
    if not host:
        return _ANYWHERE
    is_ipv6 = ":" in host
    return ipaddress.IPv6Address(host if is_ipv6 else f"::ffff:{host}").packed


def _unpacked_host(packed: bytes) -> str:
    address = ipaddress.IPv6Address(packed)
    return "" if packed == _ANYWHERE else str(address.ipv4_mapped or address)


# --- outside ------------------------------------------------------------------------------------


class Responder:
    """Decides the answer to each datagram, and its destination. Pure except for its secret.

    Args:
        allowed: Addresses to probe for any requester.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = {str(ipaddress.ip_address(host)) for host in allowed}
        self._secret = secrets.token_bytes(32)

    def answer(self, data: bytes, source: Address, now_s: float) -> tuple[bytes, Address] | None:
        """Return one datagram and its destination, or None for no answer.

        Args:
            data: The received datagram.
            source: Its source address, which may be forged.
            now_s: The time of any monotonic clock.
        """
        request = ProbeMessage.from_wire(data)
        if request is None or request.kind != "REQUEST":
            return None
        cookies = [self._cookie(source, int(now_s // _COOKIE_S) - age) for age in (0, 1)]
        if not any(hmac.compare_digest(request.cookie, cookie) for cookie in cookies):
            return replace(request, kind="COOKIE", cookie=cookies[0]).to_wire(), source
        host = request.host or source[0]
        if host != source[0] and host not in self._allowed:
            return replace(request, kind="DENY").to_wire(), source
        return replace(request, kind="PROBE").to_wire(), (host, request.port)

    def _cookie(self, source: Address, slot: int) -> bytes:
        return hmac.digest(self._secret, f"{source} {slot}".encode(), "sha256")[:16]


def serve_probes(port: int, allowed: Collection[str], report: Callable[[str], object]) -> None:
    """Answer at a UDP port, over IPv4 and IPv6, until an exception such as KeyboardInterrupt.

    Args:
        port: The port to answer at.
        allowed: Addresses to probe for any requester.
        report: Called with a line at the start, and with another for each probe.

    Raises:
        NetworkError: The port is taken.
    """
    responder = Responder(allowed)
    by_family = {sock.family: sock for sock in bind_sockets(port, port)}
    try:
        report(f"answering at UDP port {port}; Ctrl-C ends it")
        while True:
            for sock in select.select(list(by_family.values()), [], [])[0]:
                _answer_one(sock, by_family, responder, report)
    finally:
        for sock in by_family.values():
            sock.close()


def _answer_one(
    sock: socket.socket,
    by_family: Mapping[socket.AddressFamily, socket.socket],
    responder: Responder,
    report: Callable[[str], object],
) -> None:
    try:
        data, ancillary, _, source = sock.recvmsg(2048, ANCILLARY_NBYTES)
        answer = responder.answer(data, (source[0], source[1]), time.monotonic())
        if answer is None:
            return
        reply, target = answer
        through = by_family.get(family_of(target[0]))
        if through is None:
            return
        # The requester expects the answer from the address that it sent to.
        source_address = source_of(destination_host(ancillary)) if through is sock else []
        through.sendmsg([reply], source_address, 0, target)
    except OSError as exc:
        report(f"cannot answer: {exc}")
        return
    if target != (source[0], source[1]):
        report(f"{source[0]} sent a request; probed {target[0]} port {target[1]}")


# --- inside -------------------------------------------------------------------------------------


async def request_probe(
    responder: Address, inside: Endpoint, target: Address, *, timeout_s: float
) -> bool:
    """Let a machine outside probe ``target``; return whether the probe arrived at ``inside``.

    Args:
        responder: The address of ``gpuview probe``.
        inside: The port that ``target`` should lead to. It sends no request itself: a NAT may
            admit any answer to a datagram of ours.
        target: Our public address and port.
        timeout_s: For each of the two steps.

    Raises:
        NetworkError: The responder is silent, or may not probe that address.
    """
    request = ProbeMessage("REQUEST", secrets.token_bytes(16), target[1], target[0])
    try:
        async with connect_endpoint(responder) as endpoint:
            request = replace(request, cookie=await _cookie(endpoint, request, timeout_s))
            # A new token, so that late answers to the first request do not count.
            request = replace(request, token=secrets.token_bytes(16))
            return await _is_probed(endpoint, inside, request, timeout_s)
    except PermissionError as exc:
        raise _denied(responder, target) from exc
    except OSError as exc:  # TimeoutError is one
        raise _silent(responder) from exc


async def _cookie(endpoint: Endpoint, request: ProbeMessage, timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        data, _ = await retransmit(
            lambda: endpoint.send(request.to_wire()), endpoint.expect(request.token)
        )
    proof = ProbeMessage.from_wire(data)
    return _NO_COOKIE if proof is None else proof.cookie


async def _is_probed(
    endpoint: Endpoint, inside: Endpoint, request: ProbeMessage, timeout_s: float
) -> bool:
    token = request.token
    first = asyncio.ensure_future(_first([endpoint.expect(token), inside.expect(token)]))
    try:
        async with asyncio.timeout(timeout_s):
            data, _ = await retransmit(lambda: endpoint.send(request.to_wire()), first)
    except TimeoutError:
        return False
    answer = ProbeMessage.from_wire(data)
    if answer is not None and answer.kind == "DENY":
        raise PermissionError
    return True


async def _first(answers: Sequence[asyncio.Future[Datagram]]) -> Datagram:
    try:
        done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for each in answers:
            each.cancel()


def _silent(responder: Address) -> NetworkError:
    host, port = responder
    return NetworkError(
        f"{host} does not answer at UDP port {port}",
        expected="a machine outside this network that runs gpuview probe",
        fix=f"run there: gpuview probe --port {port}; and let UDP {port} through its firewall",
    )


def _denied(responder: Address, target: Address) -> NetworkError:
    return NetworkError(
        f"{responder[0]} may not probe {target[0]}: our requests do not come from there",
        expected="an address that its gpuview probe allows",
        fix=f"run there: gpuview probe --port {responder[1]} --allow {target[0]}",
    )
