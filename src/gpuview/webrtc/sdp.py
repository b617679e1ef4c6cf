"""SDP: its lines, sections and candidates, and which offers can be answered. Pure.

`gpuview.webrtc.address_rewrite` replaces the addresses in an answer.

Source:
    RFC 8866 (SDP); RFC 8839 section 5.1 (candidate lines).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuview.errors import SignalError
from gpuview.webrtc.candidate import Candidate, parse_candidate

__all__ = [
    "candidate_of_line",
    "candidates_of",
    "check_offer",
    "redact",
    "split_sections",
    "strip_candidates",
    "without_newline",
]

_MEDIA = re.compile(r"m=\S+ (?P<port>[0-9]{1,5})")
_SECRET = re.compile(r"(?P<name>a=(?:ice-ufrag|ice-pwd|fingerprint|crypto)):.*")
_DIRECTION = re.compile(r"a=(sendrecv|sendonly|recvonly|inactive)")


# --- offers ------------------------------------------------------------------------------------


def strip_candidates(offer: str) -> str:
    """Return the offer without its candidates and without ``a=end-of-candidates``.

    aiortc would spend a full second resolving the browser's ``.local`` names. Instead, we learn the
    browser's addresses from its connectivity checks. ``a=end-of-candidates`` must go too: with no
    candidates, it makes aiortc give up at once.
    """
    return "".join(
        line
        for line in _lines(offer)
        if not line.startswith(("a=candidate:", "a=end-of-candidates"))
    )


def check_offer(sdp: str) -> None:
    """Refuse an offer that cannot receive video.

    Raises:
        SignalError: It is not SDP, has no video section, or no section receives video.
    """
    if not sdp.startswith("v=0"):
        raise SignalError(
            f"cannot read an offer that begins with {sdp[:20]!r}",
            expected="SDP, which begins with 'v=0'",
            fix="send pc.localDescription.sdp unchanged",
        )
    session, *media = split_sections(sdp)
    videos = [section for section in media if section[0].startswith("m=video ")]
    if not videos:
        kinds = [section[0].split(" ")[0] for section in media]
        raise SignalError(
            f"cannot send video to an offer without a video section: {kinds = }",
            expected="a section 'm=video' with 'a=recvonly'",
            fix='call pc.addTransceiver("video", {direction: "recvonly"}) before the offer is made',
        )
    if not any(_receives_video(section, session) for section in videos):
        directions = [_direction(section, session) for section in videos]
        raise SignalError(
            f"cannot send video to an offer that does not receive video: {directions = }",
            expected="a section 'm=video' with 'a=recvonly', and a port or 'a=bundle-only'",
            fix='give the video transceiver the direction "recvonly", and do not stop it',
        )


def _receives_video(section: Sequence[str], session: Sequence[str]) -> bool:
    media = _MEDIA.match(section[0])
    # Port 0 means "rejected", except in a section that exists only within its bundle.
    is_bundle_only = "a=bundle-only" in map(without_newline, section)
    is_alive = media is not None and (int(media["port"]) != 0 or is_bundle_only)
    return is_alive and _direction(section, session) in ("recvonly", "sendrecv")


def _direction(section: Sequence[str], session: Sequence[str]) -> str:
    for body in map(without_newline, (*section, *session)):
        if match := _DIRECTION.fullmatch(body):
            return match[1]
    return "sendrecv"


# --- offers and answers ------------------------------------------------------------------------


def candidates_of(sdp: str) -> list[Candidate]:
    """Return the candidates of all sections, in order; malformed candidates are left out."""
    return [each for line in _lines(sdp) if (each := candidate_of_line(line)) is not None]


def candidate_of_line(line: str) -> Candidate | None:
    """Parse an ``a=candidate`` line; None for other and malformed lines."""
    body = without_newline(line)
    return parse_candidate(body.removeprefix("a=")) if body.startswith("a=") else None


def redact(sdp: str) -> str:
    """Return the SDP for a log, without the connection's secrets."""
    redacted = (_SECRET.sub(r"\g<name>:...", without_newline(line)) for line in _lines(sdp))
    return "".join(f"{line}\n" for line in redacted)


def split_sections(sdp: str) -> list[list[str]]:
    """Return the lines of the session part, then those of each ``m=`` section, with newlines."""
    sections: list[list[str]] = [[]]
    for line in _lines(sdp):
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def without_newline(line: str) -> str:
    """Return the line without its CR and LF."""
    return line.rstrip("\r\n")


def _lines(sdp: str) -> list[str]:
    # `str.splitlines` would split at U+2028 as well.
    return re.findall(r"[^\n]*\n|[^\n]+", sdp)
