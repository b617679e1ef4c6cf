"""Real browsers' offers, and which private addresses an SDP shows."""

from __future__ import annotations

from pathlib import Path

from gpuview.webrtc.addresses import is_private, parse_address

__all__ = ["OFFERS", "private_addresses", "read"]

OFFERS = sorted((Path(__file__).parent / "data" / "sdp").glob("*.sdp"))


def private_addresses(sdp: str) -> set[str]:
    """Return every word of the SDP that is a private address, other than a blank."""
    return {word for word in sdp.split() if word not in ("0.0.0.0", "::") and _is_private(word)}


def _is_private(word: str) -> bool:
    return is_private(parse_address(word))


def read(path: Path) -> str:
    return path.read_bytes().decode()
