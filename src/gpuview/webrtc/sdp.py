"""SDP as far as gpuview has a say in it: which offers are answered, which addresses answers show.

Everything here is pure: text in, text out. Candidates are parsed into fields and their addresses
into `ipaddress` objects; a pattern over the text cannot do it (it makes ``203.0.113.9.40`` out of
``10.20.30.40``, which browsers accept, and then wait for ever).

Source:
    RFC 8839 section 5.1 (candidate lines) and section 4.2 (``c=`` and ``m=``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from gpuview.errors import NetworkError, SignalError
from gpuview.webrtc.addresses import IPAddress, is_private, parse_address, public_addresses

__all__ = [
    "CandidateLine",
    "check_offer",
    "describe",
    "has_private_address",
    "is_reachable",
    "parse_candidate",
    "redact",
    "rewrite_answer",
    "rewrite_candidates",
    "strip_candidates",
]

_KNOWN_TYPES = ("host", "srflx", "prflx", "relay")
_EVERYBODY = ("255.255.255.255",)
_DISCARD_PORT = 9  # what SDP writes where there is no port to tell

_CANDIDATE = re.compile(
    r"a=candidate:(?P<foundation>\S+) (?P<component>[0-9]{1,3}) (?P<protocol>\S+)"
    r" (?P<priority>[0-9]{1,10}) (?P<address>\S+) (?P<port>[0-9]{1,5}) typ (?P<type>\S+)"
    r"(?: raddr (?P<raddr>\S+))?(?: rport (?P<rport>[0-9]{1,5}))?(?P<extensions>(?: .*)?)"
)
_MEDIA = re.compile(r"m=(?P<kind>\S+) (?P<port>[0-9]{1,5})(?P<rest>.*)")
_CONNECTION = re.compile(r"(?P<head>c=IN) IP[46] (?P<address>\S+)")
_ADDRESS_LINES = (
    _CONNECTION,
    re.compile(r"(?P<head>o=.* IN) IP[46] (?P<address>\S+)"),
    re.compile(r"(?P<head>a=rtcp:[0-9]+ IN) IP[46] (?P<address>\S+)"),
)
_SECRET = re.compile(r"(?P<name>a=(?:ice-ufrag|ice-pwd|fingerprint|crypto)):.*")
_DIRECTION = re.compile(r"a=(sendrecv|sendonly|recvonly|inactive)")

# A kept private candidate is ranked as if its type preference were 99, not a host's 126: below
# server-reflexive (100), above relay (0).
_DEMOTION = 27 << 24
_DEMOTED_FOUNDATION = "lan"
_MAX_FOUNDATION = 32


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """One ``a=candidate`` line; ``str()`` gives the line again."""

    foundation: str
    component: int
    protocol: str
    """``udp`` or ``tcp``, as it was written."""
    priority: int
    address: str
    """An IPv4 or IPv6 address, or a name that ends in ``.local``."""
    port: int
    type: str
    """``host``, ``srflx``, ``prflx`` or ``relay``."""
    raddr: str | None = None
    rport: int | None = None
    extensions: str = field(default="", repr=False)
    """What follows, as it was written, with the space before it."""

    def __str__(self) -> str:
        raddr = "" if self.raddr is None else f" raddr {self.raddr}"
        rport = "" if self.rport is None else f" rport {self.rport}"
        return (
            f"a=candidate:{self.foundation} {self.component} {self.protocol} {self.priority}"
            f" {self.address} {self.port} typ {self.type}{raddr}{rport}{self.extensions}"
        )


# --- offers ------------------------------------------------------------------------------------


def strip_candidates(offer: str) -> str:
    """Return the offer without its candidates, and without the word that there are no more.

    The browser's addresses are learnt from its connectivity checks. Resolving its ``.local`` names
    would cost aiortc a full second, and with no candidate left ``a=end-of-candidates`` would make
    it give up at once.
    """
    return "".join(
        line
        for line in _lines(offer)
        if not line.startswith(("a=candidate:", "a=end-of-candidates"))
    )


def check_offer(sdp: str) -> None:
    """Refuse an offer to which no video can be sent.

    Raises:
        SignalError: It is no SDP, has no video section, or none of them takes video.
    """
    if not sdp.startswith("v=0"):
        raise SignalError(
            f"cannot read an offer that begins with {sdp[:20]!r}",
            expected="SDP, which begins with 'v=0'",
            fix="send pc.localDescription.sdp as it is",
        )
    session, *media = _sections(sdp)
    videos = [section for section in media if section[0].startswith("m=video ")]
    if not videos:
        kinds = [section[0].split(" ")[0] for section in media]
        raise SignalError(
            f"cannot send video to an offer without a video section: {kinds = }",
            expected="a section 'm=video' with 'a=recvonly'",
            fix='call pc.addTransceiver("video", {direction: "recvonly"}) before the offer is made',
        )
    if not any(_takes_video(section, session) for section in videos):
        directions = [_direction(section, session) for section in videos]
        raise SignalError(
            f"cannot send video to an offer that takes none: {directions = }",
            expected="a section 'm=video' with 'a=recvonly', and a port or 'a=bundle-only'",
            fix='give the video transceiver the direction "recvonly", and do not stop it',
        )


def _takes_video(section: Sequence[str], session: Sequence[str]) -> bool:
    media = _MEDIA.match(section[0])
    # Port 0 says "rejected", but in a section that only exists within its bundle.
    is_alive = media is not None and (int(media["port"]) != 0 or _has(section, "a=bundle-only"))
    return is_alive and _direction(section, session) in ("recvonly", "sendrecv")


def _direction(section: Sequence[str], session: Sequence[str]) -> str:
    for body in map(_body, (*section, *session)):
        if match := _DIRECTION.fullmatch(body):
            return match[1]
    return "sendrecv"


def _has(section: Sequence[str], body: str) -> bool:
    return any(_body(line) == body for line in section)


# --- answers -----------------------------------------------------------------------------------


def rewrite_answer(
    sdp: str,
    *,
    public_ips: Sequence[str],
    port_map: Mapping[int, int] | None = None,
    keep_private: bool = False,
) -> str:
    """Show the answer's reader the public addresses of this host, and no private one.

    A private host candidate gets the public address of its family and its public port; any other
    private candidate is dropped, and so is one that says what an earlier one said. ``raddr`` and
    ``rport`` are blanked. Each section's ``c=`` and ``m=`` port follow its first candidate. All
    else stays as it is, byte by byte. Rewriting a second time changes nothing.

    Args:
        sdp: An answer with all its candidates.
        public_ips: At most one address of each family. Empty: the candidates' addresses stay as
            they are.
        port_map: Local to public UDP port; a port that is not in it stays.
        keep_private: Keep the private candidates too, for viewers in the same network: after the
            public ones, with a lower priority and a foundation of their own.

    Raises:
        NetworkError: The answer has no candidate, or none is left.
        SettingsError: ``public_ips`` holds something else.
    """
    outside = _Outside(public_addresses(public_ips), port_map or {}, keep_private)
    if not describe(sdp):
        # aioice only logs that it could not bind; this is where a used-up port range shows.
        raise NetworkError(
            "the answer has no candidate: no UDP port could be bound",
            expected="a free UDP port, in the configured range where there is one",
            fix="close streams or kernels that use the range, or widen port_min to port_max",
        )
    rewritten = "".join(_rewrite_section(section, outside) for section in _sections(sdp))
    if not describe(rewritten):
        raise NetworkError(
            f"no candidate is left without the private ones, with public_ips = {list(public_ips)}",
            expected="a public address of a family in which this host has an address",
            fix="add the missing address: public_ip='<IPv4>,<IPv6>', or GPUVIEW_PUBLIC_IP",
        )
    return rewritten


def rewrite_candidates(
    candidates: Sequence[str],
    *,
    public_ips: Sequence[str],
    port_map: Mapping[int, int] | None = None,
    keep_private: bool = False,
) -> list[str]:
    """Do for candidates that follow an answer what `rewrite_answer` does for those in it.

    Args:
        candidates: As in ``RTCIceCandidate.candidate``; what is none is left out.
    """
    outside = _Outside(public_addresses(public_ips), port_map or {}, keep_private)
    parsed = [each for text in candidates if (each := parse_candidate(text)) is not None]
    return [str(each).removeprefix("a=") for each in chain(*_places(parsed, outside))]


@dataclass(frozen=True, slots=True)
class _Outside:
    """How the world outside sees this host."""

    addresses: Mapping[int, IPAddress]
    ports: Mapping[int, int]
    keep_private: bool

    def shown(self, candidate: CandidateLine) -> CandidateLine | None:
        """Return what the outside is shown in the candidate's place."""
        address = parse_address(candidate.address)
        if address is None or not self._hides(address):
            return candidate
        public = self.addresses.get(address.version)
        if candidate.type != "host" or public is None:
            return None
        is_udp = candidate.protocol.lower() == "udp"
        port = self.ports.get(candidate.port, candidate.port) if is_udp else candidate.port
        return replace(candidate, address=str(public), port=port)

    def kept(self, candidate: CandidateLine) -> CandidateLine | None:
        """Return what viewers inside are shown beside it."""
        address = parse_address(candidate.address)
        if not self.keep_private or address is None or not self._hides(address):
            return None
        if candidate.foundation.startswith(_DEMOTED_FOUNDATION):
            return candidate
        return replace(
            candidate,
            foundation=(_DEMOTED_FOUNDATION + candidate.foundation)[:_MAX_FOUNDATION],
            priority=max(candidate.priority - _DEMOTION, 1),
        )

    def _hides(self, address: IPAddress) -> bool:
        # A "public" address may be private too, as when all viewers are on this machine.
        is_public = address in self.addresses.values()
        return bool(self.addresses) and is_private(address) and not is_public


def _rewrite_section(lines: Sequence[str], outside: _Outside) -> str:
    """Return the section's text; its lines stay where they are, each with its own ending."""
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    candidates = [_candidate(line) for line in lines]
    places = _places([each for each in candidates if each is not None], outside)
    default = next((each for each in chain(*places) if parse_address(each.address)), None)
    text: list[str] = []
    remaining = iter(places)
    for line, candidate in zip(lines, candidates, strict=True):
        body = _body(line)
        if candidate is not None:
            bodies = [str(each) for each in next(remaining)]
        elif body.startswith("a=candidate:"):
            bodies = []  # malformed, and what it hides is unknown
        else:
            bodies = [_repaired(body, default) if outside.addresses else body]
        if bodies:
            text.append(newline.join(bodies) + line[len(body) :])
    return "".join(text)


def _places(candidates: Sequence[CandidateLine], outside: _Outside) -> list[list[CandidateLine]]:
    """Return what takes each candidate's place; the private ones that are kept come last."""
    seen: set[tuple[object, int, str]] = set()
    places: list[list[CandidateLine]] = []
    private: list[CandidateLine] = []
    for candidate in map(_blanked, candidates):
        places.append(_unseen(outside.shown(candidate), seen))
        private += _unseen(outside.kept(candidate), seen)
    if places:
        places[-1] += private
    return places


def _unseen(
    candidate: CandidateLine | None, seen: set[tuple[object, int, str]]
) -> list[CandidateLine]:
    """Return the candidate, unless it is None or says what one in ``seen`` did; add it there."""
    if candidate is None:
        return []
    address = parse_address(candidate.address) or candidate.address
    key = (address, candidate.port, candidate.protocol.lower())
    if key in seen:
        return []
    seen.add(key)
    return [candidate]


def _blanked(candidate: CandidateLine) -> CandidateLine:
    """Return the candidate without the address that its own was derived from."""
    raddr, rport = candidate.raddr, candidate.rport
    return replace(
        candidate,
        raddr=None if raddr is None else _blank(raddr),
        rport=None if rport is None else _DISCARD_PORT,
    )


def _repaired(body: str, default: CandidateLine | None) -> str:
    """Return a line that is no candidate, with the address and port that go with ``default``."""
    if default is not None and (media := _MEDIA.fullmatch(body)) and int(media["port"]) != 0:
        return f"m={media['kind']} {default.port}{media['rest']}"
    if default is not None and _CONNECTION.fullmatch(body):
        return f"c=IN {_typed(default.address)}"
    for pattern in _ADDRESS_LINES:
        if (match := pattern.fullmatch(body)) and _shows_private(match["address"]):
            return f"{match['head']} {_typed(_blank(match['address']))}"
    return body


# --- both --------------------------------------------------------------------------------------


def describe(sdp: str) -> list[CandidateLine]:
    """Return the candidates of all sections, in their order; lines that are none are left out."""
    return [candidate for line in _lines(sdp) if (candidate := _candidate(line)) is not None]


def parse_candidate(text: str) -> CandidateLine | None:
    """Read ``RTCIceCandidate.candidate``; None where it is no candidate."""
    return _candidate(f"a={text}")


def is_reachable(text: str) -> bool:
    """Tell whether a page's candidate is one that we can send to: UDP, and an address of a host.

    Names that end in ``.local`` are none: only the page's own network could resolve them.
    """
    candidate = parse_candidate(text)
    address = None if candidate is None else parse_address(candidate.address)
    if candidate is None or address is None or candidate.port == 0 or candidate.component != 1:
        return False
    if candidate.protocol.lower() != "udp" or candidate.type not in _KNOWN_TYPES:
        return False
    return not (address.is_multicast or address.is_unspecified or str(address) in _EVERYBODY)


def redact(sdp: str) -> str:
    """Return the SDP for a log: without what admits to the connection."""
    return "".join(_SECRET.sub(r"\g<name>:...", _body(line)) + "\n" for line in _lines(sdp))


def has_private_address(sdp: str) -> bool:
    """Tell whether a private address stands in a candidate, or in ``o=``, ``c=`` or ``a=rtcp``.

    The blanks ``0.0.0.0`` and ``::`` count only as a candidate's own address.
    """
    return any(map(_candidate_shows_private, describe(sdp))) or any(
        _shows_private(match["address"])
        for line in _lines(sdp)
        for pattern in _ADDRESS_LINES
        if (match := pattern.fullmatch(_body(line)))
    )


def _candidate_shows_private(candidate: CandidateLine) -> bool:
    address = parse_address(candidate.address)
    own = address is not None and is_private(address)
    return own or (candidate.raddr is not None and _shows_private(candidate.raddr))


def _shows_private(text: str) -> bool:
    address = parse_address(text)
    return address is not None and not address.is_unspecified and is_private(address)


def _blank(text: str) -> str:
    return "::" if ":" in text else "0.0.0.0"


def _typed(text: str) -> str:
    """Return the address with its type before it, as ``c=`` has it."""
    return f"IP{6 if ':' in text else 4} {text}"


def _candidate(line: str) -> CandidateLine | None:
    match = _CANDIDATE.fullmatch(_body(line))
    if match is None or int(match["port"]) > 65535:
        return None
    return CandidateLine(
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


def _sections(sdp: str) -> list[list[str]]:
    """Return the lines of the session's part, then those of each ``m=`` section."""
    sections: list[list[str]] = [[]]
    for line in _lines(sdp):
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def _lines(sdp: str) -> list[str]:
    """Return the lines with their endings; `str.splitlines` would split at U+2028 as well."""
    return re.findall(r"[^\n]*\n|[^\n]+", sdp)


def _body(line: str) -> str:
    return line.rstrip("\r\n")
