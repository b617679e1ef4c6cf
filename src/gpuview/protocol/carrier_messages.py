"""What pages and the media process say over a carrier other than WebRTC.

Besides what is here and everything that pages say to the kernel: Ping and Pong. They are messages
as those of `gpuview.protocol.page_messages`; `gpuview.protocol.carrier_packets` tells what carriers
are.

A carrier through the comm is a tunnel: the page opens and closes it by CarrierOpen and
CarrierClose, its messages travel in CarrierText and CarrierData, and CarrierClosed tells that it
has ended.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gpuview.protocol.page_messages import MAX_SDP_CHARS, Message, PageClock, ViewId

__all__ = [
    "MAX_ARRIVALS",
    "MAX_CARRIED_CHARS",
    "MAX_RANKS",
    "CarrierClose",
    "CarrierClosed",
    "CarrierData",
    "CarrierOpen",
    "CarrierText",
    "Received",
    "RequestKeyframe",
    "Tile",
    "Tiles",
    "WantTier",
    "Watch",
]

MAX_ARRIVALS = 64
"""The most packets whose arrival times stand in one message."""

MAX_RANKS = 16_384
"""The most ranks in one message, and in one page's grid."""

MAX_CARRIED_CHARS = 2 * MAX_SDP_CHARS
"""The longest message that is carried from a page: an offer, as JSON."""


# --- page <-> media process -------------------------------------------------------------------


class Watch(Message, frozen=True, kw_only=True):
    """Send this view the stream's packets, beginning with a keyframe. Once on each connection."""

    view: ViewId
    codec: Literal["H264", "VP8", "JPEG"]
    """What the page decodes."""
    acknowledge_ms: Annotated[int, Meta(ge=0, le=1000)] = 0
    """The least time between two `Received`, where each of them is expensive."""


class Received(Message, frozen=True, kw_only=True):
    """Packets have arrived, or one was shown. Packets that wait for this are bounded."""

    seq: int
    """Of the newest packet that has arrived, as in its header."""
    arrived_ms: Annotated[list[PageClock], Meta(max_length=MAX_ARRIVALS)]
    """When packets arrived that were not acknowledged before, on the page's clock; the last of them
    is the one with this number."""
    shown: int = -1
    """Of the newest packet whose frame was on the screen; -1: none yet."""


class RequestKeyframe(Message, frozen=True, kw_only=True):
    """The page cannot decode what follows, and begins again at a keyframe."""

    tile: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    """The rank in a grid; 0 in other streams."""


class WantTier(Message, frozen=True, kw_only=True):
    """A page that shows a grid of ranks knows how large their tiles are; none is sent before."""

    tier: Literal[1, 2, 4]
    """What the sides of these ranks' pictures are divided by."""
    ranks: Annotated[list[Annotated[int, Meta(ge=0, lt=2**32)]], Meta(max_length=MAX_RANKS)]


class Tile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rank of a grid; part of `Tiles`."""

    rank: int
    host: str
    """Where it runs; empty if it has not joined."""
    width: int
    """Of its picture in pixels; 0 while that is not known."""
    height: int
    text: str
    """What is wrong, or is waited for; empty if nothing."""
    silent_since: float | None = None
    """When it said something last, if it should have, in milliseconds of Unix time."""


class Tiles(Message, frozen=True, kw_only=True):
    """The ranks of a grid, in order; told to each page of it, and again when they change."""

    tiles: list[Tile]


# --- page <-> kernel, for a carrier through the comm ----------------------------------------------


class CarrierOpen(Message, frozen=True, kw_only=True):
    """Open a tunnel to the media process for this view, in place of the one that it may have."""

    view: ViewId


class CarrierText(Message, frozen=True, kw_only=True):
    """A text message through the view's tunnel."""

    view: ViewId
    text: Annotated[str, Meta(max_length=MAX_CARRIED_CHARS)]
    """JSON, as over any carrier."""


class CarrierClose(Message, frozen=True, kw_only=True):
    """Close the view's tunnel."""

    view: ViewId


class CarrierData(Message, frozen=True, kw_only=True):
    """A message through the view's tunnel: ``text``, or if that is empty the one binary buffer."""

    view: str
    text: str = ""


class CarrierClosed(Message, frozen=True, kw_only=True):
    """The view's tunnel has ended, or could not be opened."""

    view: str
