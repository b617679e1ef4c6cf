"""ICE candidates: parsing, formatting, and which of them we can send to. Pure.

Source:
    RFC 8839 section 5.1; W3C WebRTC, ``RTCIceCandidate.candidate``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gpuview.webrtc.addresses import IPAddress, parse_address

__all__ = ["Candidate", "is_reachable", "parse_candidate"]

_KNOWN_TYPES = ("host", "srflx", "prflx", "relay")
_BROADCAST = "255.255.255.255"

_CANDIDATE = re.compile(
    r"candidate:(?P<foundation>\S+) (?P<component>[0-9]{1,3}) (?P<protocol>\S+)"
    r" (?P<priority>[0-9]{1,10}) (?P<address>\S+) (?P<port>[0-9]{1,5}) typ (?P<type>\S+)"
    r"(?: raddr (?P<raddr>\S+))?(?: rport (?P<rport>[0-9]{1,5}))?(?P<extensions>(?: .*)?)"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One ICE candidate; ``str()`` returns it as in ``RTCIceCandidate.candidate``."""

    foundation: str
    component: int
    protocol: str
    """``udp`` or ``tcp``, in its original case."""
    priority: int
    address: str
    """An IPv4 or IPv6 address, or a name that ends in ``.local``."""
    port: int
    type: str
    """``host``, ``srflx``, ``prflx`` or ``relay``."""
    raddr: str | None = None
    rport: int | None = None
    extensions: str = field(default="", repr=False)
    """The rest of the text, with the space before it."""

    @property
    def ip(self) -> IPAddress | None:
        """The address, parsed; None for a ``.local`` name."""
        return parse_address(self.address)

    @property
    def is_udp(self) -> bool:
        """Whether its protocol is UDP."""
        return self.protocol.lower() == "udp"

    def __str__(self) -> str:
        raddr = "" if self.raddr is None else f" raddr {self.raddr}"
        rport = "" if self.rport is None else f" rport {self.rport}"
        return (
            f"candidate:{self.foundation} {self.component} {self.protocol} {self.priority}"
            f" {self.address} {self.port} typ {self.type}{raddr}{rport}{self.extensions}"
        )


def parse_candidate(text: str) -> Candidate | None:
    """Parse ``RTCIceCandidate.candidate``; None if it is malformed."""
    match = _CANDIDATE.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        return None
    return Candidate(
        foundation=match["foundation"],
        component=int(match["component"]),
        protocol=match["protocol"],
        priority=int(match["priority"]),
        address=match["address"],
        port=int(match["port"]),
        type=match["type"],
        raddr=match["raddr"],
        rport=None if match["rport"] is None else int(match["rport"]),
        extensions=match["extensions"],
    )


def is_reachable(text: str) -> bool:
    """Tell whether we can send to a page's candidate: UDP, and the address of a host.

    Names that end in ``.local`` are not reachable: only the page's own network can resolve them.
    """
    candidate = parse_candidate(text)
    if candidate is None or candidate.ip is None:
        return False
    is_usable = candidate.is_udp and candidate.port != 0 and candidate.component == 1
    if not is_usable or candidate.type not in _KNOWN_TYPES:
        return False
    ip = candidate.ip
    return not (ip.is_multicast or ip.is_unspecified or str(ip) == _BROADCAST)
