"""Replaces the private addresses in our answer and candidates with public ones. Pure.

Candidates are parsed into fields, and their addresses into `ipaddress` objects. A regular
expression over the text is not enough: it can turn ``10.20.30.40`` into ``203.0.113.9.40``, which
browsers accept and then wait for without end.

Source:
    RFC 8839 section 4.2 (``c=`` and ``m=``), section 5.1 (candidate lines).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from gpuview.errors import NetworkError
from gpuview.webrtc.addresses import IPAddress, is_private, parse_address, public_addresses
from gpuview.webrtc.candidate import Candidate, parse_candidate
from gpuview.webrtc.sdp import candidate_of_line, candidates_of, split_sections, without_newline

__all__ = ["PublicHost", "rewrite_answer", "rewrite_candidates"]

_DISCARD_PORT = 9  # SDP's placeholder for a port

_MEDIA = re.compile(r"m=(?P<kind>\S+) (?P<port>[0-9]{1,5})(?P<rest>.*)")
_CONNECTION = re.compile(r"(?P<head>c=IN) IP[46] (?P<address>\S+)")
_ADDRESS_LINES = (
    _CONNECTION,
    re.compile(r"(?P<head>o=.* IN) IP[46] (?P<address>\S+)"),
    re.compile(r"(?P<head>a=rtcp:[0-9]+ IN) IP[46] (?P<address>\S+)"),
)

# A kept private candidate ranks as if its type preference were 99, not a host's 126: below
# server-reflexive (100), above relay (0).
_DEMOTION = 27 << 24
_DEMOTED_FOUNDATION = "lan"
_MAX_FOUNDATION = 32


class PublicHost:
    """How this host is reached from outside.

    Args:
        public_ips: At most one address of each family. Empty: candidates keep their addresses.
        port_map: Local to public UDP port; all other ports stay.
        keep_private: Keep the private candidates too, for viewers in the same network: after the
            public ones, with a lower priority and a different foundation.

    Raises:
        SettingsError: ``public_ips`` is not as described.
    """

    def __init__(
        self,
        public_ips: Sequence[str],
        port_map: Mapping[int, int] | None = None,
        *,
        keep_private: bool = False,
    ) -> None:
        self.addresses = public_addresses(public_ips)
        self.port_map = port_map or {}
        self._keep_private = keep_private

    def publish(self, candidate: Candidate) -> Candidate | None:
        """Return the candidate with the public address and port; None to drop it."""
        ip = candidate.ip
        if ip is None or not self._hides(ip):
            return candidate
        public = self.addresses.get(ip.version)
        if candidate.type != "host" or public is None:
            return None
        port = candidate.port
        if candidate.is_udp:
            port = self.port_map.get(port, port)
        return replace(candidate, address=str(public), port=port)

    def demote(self, candidate: Candidate) -> Candidate | None:
        """Return a private candidate for viewers inside, with lower priority; None to drop it."""
        ip = candidate.ip
        if not self._keep_private or ip is None or not self._hides(ip):
            return None
        if candidate.foundation.startswith(_DEMOTED_FOUNDATION):
            return candidate
        return replace(
            candidate,
            foundation=(_DEMOTED_FOUNDATION + candidate.foundation)[:_MAX_FOUNDATION],
            priority=max(candidate.priority - _DEMOTION, 1),
        )

    def _hides(self, ip: IPAddress) -> bool:
        # The "public" address may be private, for example if all viewers are on this machine.
        is_public = ip in self.addresses.values()
        return bool(self.addresses) and is_private(ip) and not is_public


def rewrite_answer(sdp: str, host: PublicHost) -> str:
    """Return the answer with this host's public addresses in place of its private ones.

    A private host candidate gets the public address of its family and its public port. Any other
    private candidate is dropped, and so is a candidate that repeats an earlier one. ``raddr`` and
    ``rport`` are blanked. Each section's ``c=`` line and ``m=`` port follow its first candidate.
    Everything else stays as it is, byte by byte. Rewriting a second time changes nothing.

    Args:
        sdp: An answer with all its candidates.
        host: How this host is reached.

    Raises:
        NetworkError: The answer has no candidate before or after rewriting.
    """
    if not candidates_of(sdp):
        # aioice only logs a failed bind, so an exhausted port range shows here.
        raise NetworkError(
            "the answer has no candidate: no UDP port could be bound",
            expected="a free UDP port, in the configured range if there is one",
            fix="close streams or kernels that use the range, or widen port_min to port_max",
        )
    rewritten = "".join(_rewrite_section(section, host) for section in split_sections(sdp))
    if not candidates_of(rewritten):
        public_ips = [str(each) for each in host.addresses.values()]
        raise NetworkError(
            f"no candidate is left without the private ones, with {public_ips = }",
            expected="a public address of a family in which this host has an address",
            fix="add the missing address: public_ip='<IPv4>,<IPv6>', or GPUVIEW_PUBLIC_IP",
        )
    return rewritten


def rewrite_candidates(candidates: Sequence[str], host: PublicHost) -> list[str]:
    """Rewrite candidates that are sent after the answer, as `rewrite_answer` does.

    Args:
        candidates: As in ``RTCIceCandidate.candidate``; malformed candidates are left out.
        host: How this host is reached.
    """
    parsed = [each for text in candidates if (each := parse_candidate(text)) is not None]
    return [str(each) for each in chain(*_replacements(parsed, host))]


def _rewrite_section(lines: Sequence[str], host: PublicHost) -> str:
    """Return the section's text; lines keep their places and their newlines."""
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    candidates = [candidate_of_line(line) for line in lines]
    replacements = _replacements([each for each in candidates if each is not None], host)
    default = next((each for each in chain(*replacements) if each.ip is not None), None)
    text: list[str] = []
    remaining = iter(replacements)
    for line, candidate in zip(lines, candidates, strict=True):
        body = without_newline(line)
        if candidate is not None:
            bodies = [f"a={each}" for each in next(remaining)]
        elif body.startswith("a=candidate:"):
            bodies = []  # malformed: it may contain a private address
        else:
            bodies = [_rewrite_line(body, default) if host.addresses else body]
        if bodies:
            text.append(newline.join(bodies) + line[len(body) :])
    return "".join(text)


def _replacements(candidates: Sequence[Candidate], host: PublicHost) -> list[list[Candidate]]:
    """Return the replacements of each candidate; kept private candidates come last."""
    seen: set[tuple[object, int, str]] = set()

    def unseen(candidate: Candidate | None) -> list[Candidate]:
        if candidate is None:
            return []
        key = (candidate.ip or candidate.address, candidate.port, candidate.protocol.lower())
        is_new = key not in seen
        seen.add(key)
        return [candidate] if is_new else []

    replacements: list[list[Candidate]] = []
    private: list[Candidate] = []
    for candidate in map(_blank_related, candidates):
        replacements.append(unseen(host.publish(candidate)))
        private += unseen(host.demote(candidate))
    if replacements:
        replacements[-1] += private
    return replacements


def _blank_related(candidate: Candidate) -> Candidate:
    """Return the candidate without its related address."""
    return replace(
        candidate,
        raddr=None if candidate.raddr is None else _blank(candidate.raddr),
        rport=None if candidate.rport is None else _DISCARD_PORT,
    )


def _rewrite_line(body: str, default: Candidate | None) -> str:
    """Rewrite a line that is not a candidate, with the address and port of ``default``."""
    if default is not None and (media := _MEDIA.fullmatch(body)) and int(media["port"]) != 0:
        return f"m={media['kind']} {default.port}{media['rest']}"
    if default is not None and _CONNECTION.fullmatch(body):
        return f"c=IN {_typed(default.address)}"
    for pattern in _ADDRESS_LINES:
        if (match := pattern.fullmatch(body)) and is_private(parse_address(match["address"])):
            return f"{match['head']} {_typed(_blank(match['address']))}"
    return body


def _blank(address: str) -> str:
    return "::" if ":" in address else "0.0.0.0"


def _typed(address: str) -> str:
    """Return the address after its type, as in a ``c=`` line."""
    return f"IP{6 if ':' in address else 4} {address}"
