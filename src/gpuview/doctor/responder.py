"""A machine outside sends a probe to our port, when the doctor requests it: ``gpuview probe``.

    requester                                responder
      ── request for a target ────────────►   from a separate socket of the requester
      ◄──────────── error 438 with a nonce ─   to the request's source address
      ── request with the nonce ──────────►   proves that this address is not forged
      ◄────────────────────────── response ─   to the target: the port under test

The messages are STUN binding requests and their responses, with the target in XOR-PEER-ADDRESS.
Each request gets at most one answer, which is not longer, so nothing is amplified. The responder
probes only the requester's own address, which the nonce proves, and addresses that its operator
allows. So it cannot be used to attack others. It keeps no state.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import select
import socket
import time
from collections.abc import Callable, Collection, Mapping

from gpuview.doctor.clients import arrives, open_stun_client
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import (
    ANCILLARY_NBYTES,
    Address,
    bind_sockets,
    destination_host,
    family_of,
    source_of,
)
from gpuview.media.ice.stun_client import StunClient, is_response, parse_stun, response_to

__all__ = ["Responder", "request_probe", "serve_probes"]

_NO_NONCE = bytes(16)
_NONCE_S = 10  # a nonce is valid for this long, up to twice
_FORBIDDEN, _STALE_NONCE = (403, ""), (438, "")  # RFC 8656, RFC 8489


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
        request = parse_stun(data)
        if request is None or is_response(request):
            return None
        host, port = request.attributes.get("XOR-PEER-ADDRESS", ("", 0))
        nonce = request.attributes.get("NONCE", b"")
        if port == 0 or len(nonce) != len(_NO_NONCE):
            return None
        if host != source[0] and host not in self._allowed:
            return response_to(request, {"ERROR-CODE": _FORBIDDEN}), source
        valid = [self._nonce(source, int(now_s // _NONCE_S) - age) for age in (0, 1)]
        if not any(hmac.compare_digest(nonce, each) for each in valid):
            return response_to(request, {"ERROR-CODE": _STALE_NONCE, "NONCE": valid[0]}), source
        return response_to(request, {}), (host, port)

    def _nonce(self, source: Address, slot: int) -> bytes:
        return hmac.digest(self._secret, f"{source} {slot}".encode(), "sha256")[: len(_NO_NONCE)]


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
    responder: Address, inside: StunClient, target: Address, *, timeout_s: float
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
    request = {"XOR-PEER-ADDRESS": target, "NONCE": _NO_NONCE}
    try:
        async with open_stun_client(server=responder) as outside:
            async with asyncio.timeout(timeout_s):
                answer, _ = await outside.transact(outside.transport.sendto, request)
            if answer.error_code == _FORBIDDEN[0]:
                raise _denied(responder, target)
            request["NONCE"] = answer.attributes["NONCE"]
            return await arrives(inside, outside.transport.sendto, timeout_s, request)
    except (OSError, KeyError) as exc:  # TimeoutError is one; another STUN server sends no nonce
        raise _silent(responder) from exc


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
