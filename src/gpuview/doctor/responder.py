"""A machine outside knocks at our port: what the doctor asks, and what ``gpuview probe`` answers.

    asker                               responder
      ── ASK token, where to ─────────►   from a socket of the asker's own
      ◄──────────── PROVE cookie ──────   to the address that asked
      ── ASK, with the cookie ────────►   so that address was no forgery
      ◄──────────── KNOCK token ───────   to the port that is to be tested

All messages have one length and each is answered by one at most, so nothing is amplified. The
responder knocks at the asker's own address, which the cookie has proven, and at those that whoever
started it has allowed; it is of no use against anybody else. It keeps no state.
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

from gpuview.doctor.clients import Datagram, Ear, insist, listening_to
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import (
    ANCILLARY_NBYTES,
    Address,
    asked_address,
    bind_sockets,
    source_of,
)

__all__ = ["Message", "Responder", "answer_for_ever", "ask_to_knock"]

_MAGIC = b"gpuview?"
_FORM = struct.Struct("!8sB16s16s16sH5x")
Kind = Literal["ASK", "PROVE", "KNOCK", "DENY"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_NO_COOKIE = bytes(16)
_ANYWHERE = bytes(16)
_COOKIE_S = 10  # one is good for this long, up to twice


@dataclass(frozen=True, slots=True)
class Message:
    """What is said either way."""

    kind: Kind
    token: bytes
    """The asker's, 16 bytes; in every answer to it."""
    port: int
    """Where to knock."""
    host: str = ""
    """At which address; empty for the one that asks."""
    cookie: bytes = _NO_COOKIE
    """The responder's, 16 bytes: proves that the asker has the address that it asks from."""

    def to_wire(self) -> bytes:
        kind = _KINDS.index(self.kind)
        return _FORM.pack(_MAGIC, kind, self.token, self.cookie, _packed_host(self.host), self.port)

    @staticmethod
    def from_wire(data: bytes) -> Message | None:
        """Return the message, or None where the bytes are none."""
        if len(data) != _FORM.size:
            return None
        magic, kind, token, cookie, host, port = _FORM.unpack(data)
        if magic != _MAGIC or kind >= len(_KINDS) or port == 0:
            return None
        return Message(_KINDS[kind], token, port, _unpacked_host(host), cookie)


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
    """Decides what is answered, to whom. Pure but for its secret.

    Args:
        allowed: Addresses to knock at, whoever asks.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = {str(ipaddress.ip_address(host)) for host in allowed}
        self._secret = secrets.token_bytes(32)

    def answer(self, data: bytes, source: Address, now_s: float) -> tuple[bytes, Address] | None:
        """Return one datagram and where it goes, or None for what is not answered.

        Args:
            data: What has come.
            source: From where, as it says itself.
            now_s: Any clock that goes forward.
        """
        asked = Message.from_wire(data)
        if asked is None or asked.kind != "ASK":
            return None
        cookies = [self._cookie(source, int(now_s // _COOKIE_S) - age) for age in (0, 1)]
        if not any(hmac.compare_digest(asked.cookie, cookie) for cookie in cookies):
            return replace(asked, kind="PROVE", cookie=cookies[0]).to_wire(), source
        host = asked.host or source[0]
        if host != source[0] and host not in self._allowed:
            return replace(asked, kind="DENY").to_wire(), source
        return replace(asked, kind="KNOCK").to_wire(), (host, asked.port)

    def _cookie(self, source: Address, slot: int) -> bytes:
        return hmac.digest(self._secret, f"{source} {slot}".encode(), "sha256")[:16]


def answer_for_ever(port: int, allowed: Collection[str], tell: Callable[[str], object]) -> None:
    """Answer at a UDP port, IPv4 and IPv6, until an exception such as KeyboardInterrupt comes.

    Args:
        port: To listen at.
        allowed: Addresses to knock at, whoever asks; others are knocked at when they ask.
        tell: Is given a line when it starts, and one for each knock.

    Raises:
        NetworkError: The port is taken.
    """
    responder = Responder(allowed)
    by_family = {sock.family: sock for sock in bind_sockets(port, port)}
    try:
        tell(f"answering at UDP port {port}; Ctrl-C ends it")
        while True:
            for sock in select.select(list(by_family.values()), [], [])[0]:
                _answer_one(sock, by_family, responder, tell)
    finally:
        for sock in by_family.values():
            sock.close()


def _answer_one(
    sock: socket.socket,
    by_family: Mapping[socket.AddressFamily, socket.socket],
    responder: Responder,
    tell: Callable[[str], object],
) -> None:
    try:
        data, ancillary, _, source = sock.recvmsg(2048, ANCILLARY_NBYTES)
        answer = responder.answer(data, (source[0], source[1]), time.monotonic())
        if answer is None:
            return
        reply, target = answer
        through = by_family.get(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
        if through is None:
            return
        # Whoever asked one of several addresses waits for an answer from that one.
        as_asked = source_of(asked_address(ancillary)) if through is sock else []
        through.sendmsg([reply], as_asked, 0, target)
    except OSError as exc:
        tell(f"cannot answer: {exc}")
        return
    if target != (source[0], source[1]):
        tell(f"{source[0]} asked; knocked at {target[0]} port {target[1]}")


# --- inside -------------------------------------------------------------------------------------


async def ask_to_knock(
    responder: Address, inside: Ear, target: Address, *, timeout_s: float
) -> bool:
    """Ask a machine outside to knock at ``target``; tell whether that came in at ``inside``.

    Args:
        responder: Where ``gpuview probe`` runs.
        inside: The port to which ``target`` should lead. It does not ask itself, as a NAT may let
            in whomever it has sent to.
        target: Our public address and port.
        timeout_s: For each of the two steps.

    Raises:
        NetworkError: The responder is silent, or may not knock there.
    """
    asking = Message("ASK", secrets.token_bytes(16), target[1], target[0])
    try:
        async with listening_to(responder) as ear:
            asking = replace(asking, cookie=await _cookie(ear, asking, timeout_s))
            # Under another token: late answers to the first question do not count.
            asking = replace(asking, token=secrets.token_bytes(16))
            return await _knocks(ear, inside, asking, timeout_s)
    except PermissionError as exc:
        raise _denied(responder, target) from exc
    except OSError as exc:  # TimeoutError is one
        raise _silent(responder) from exc


async def _cookie(ear: Ear, asking: Message, timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        data, _ = await insist(lambda: ear.send(asking.to_wire()), ear.hear(asking.token))
    proof = Message.from_wire(data)
    return _NO_COOKIE if proof is None else proof.cookie


async def _knocks(ear: Ear, inside: Ear, asking: Message, timeout_s: float) -> bool:
    first = asyncio.ensure_future(_first([ear.hear(asking.token), inside.hear(asking.token)]))
    try:
        async with asyncio.timeout(timeout_s):
            data, _ = await insist(lambda: ear.send(asking.to_wire()), first)
    except TimeoutError:
        return False
    answer = Message.from_wire(data)
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
        f"{responder[0]} may not knock at {target[0]}: that is not where we ask from",
        expected="an address that its gpuview probe was told to knock at",
        fix=f"run there: gpuview probe --port {responder[1]} --allow {target[0]}",
    )
