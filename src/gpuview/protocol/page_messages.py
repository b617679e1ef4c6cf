"""The messages of a page: with the kernel, and with the media process.

A message is a frozen msgspec struct here and a JSON object on the wire; the object's ``type`` names
the class. A struct with fields that may be None has ``omit_defaults``: the wire has no null.
``js/src/messages.ts``, the page's half, is generated from this file. The types carry the limits of
what is accepted from a page: lengths, numbers of entries, the form of a view's id.

A page and the kernel talk over the widget's comm:

    page    Offer        in the ``offers`` trait (one entry a view) and again as a custom message
    page    GetPeerConfig, Ack, Bye, Candidates, KeepsViews, PageLog, Record, Room   custom messages
    kernel  Answer, Refusal     in the ``answers`` trait (one entry a view), until the page's Ack
    kernel  PeerConfig, Candidates                                          custom messages
    kernel  Status       in the ``status`` trait

A page and the media process talk over the connection's data channel: Ping, answered by Pong. What
they say over another carrier is in `gpuview.protocol.carrier_messages`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

__all__ = [
    "CARRIERS",
    "MAX_CANDIDATES",
    "MAX_SDP_CHARS",
    "MAX_TEXT_CHARS",
    "Ack",
    "Answer",
    "Bye",
    "Candidates",
    "Carrier",
    "ColourBar",
    "GetPeerConfig",
    "IceServer",
    "KeepsViews",
    "LegendEntry",
    "LinkFigures",
    "Message",
    "Offer",
    "PageClock",
    "PageLog",
    "PeerConfig",
    "Ping",
    "Pong",
    "Problem",
    "Record",
    "Refusal",
    "Room",
    "Status",
    "StreamPart",
    "ViewId",
]

MAX_SDP_CHARS = 64 * 1024
"""The longest SDP that is read. Chromium's offer for one video has about 6,000 characters."""

MAX_CANDIDATES = 64
"""The most candidates that are read from one side of a connection; a browser has a handful."""

MAX_TEXT_CHARS = 4096
"""The longest line of a page's log, candidate or problem that is read."""

Carrier = Literal["webrtc", "socket", "comm"]
"""How a view gets its video: WebRTC, the jupyter-server extension's WebSocket, or the comm."""

CARRIERS: tuple[Carrier, ...] = ("webrtc", "socket", "comm")
"""The best one first."""

StreamPart = Literal["", "source", "encoder", "recording", "publishing", "handler"]
"""What of a stream may fail."""

ViewId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
"""1 to 64 of ``A-Za-z0-9_-``, made anew by the page for each view."""

_Sdp = Annotated[str, Meta(max_length=MAX_SDP_CHARS)]
# These come from pages, are kept or logged, and have no natural length.
_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
_Few = Meta(max_length=MAX_CANDIDATES)
_Latency = Annotated[float, Meta(ge=0, le=3_600_000)]
PageClock = Annotated[float, Meta(ge=0, le=1e15)]
"""Milliseconds on a page's own clock."""


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Base of all messages."""


# --- page -> kernel ---------------------------------------------------------------------------


class Offer(Message, frozen=True, kw_only=True):
    """A view asks to be shown the stream. Repeated, unchanged, until it is answered."""

    view: ViewId
    seq: int
    """Counts the view's offers from 1. A higher one replaces the view's connection."""
    sdp: _Sdp
    """The offer, at most ``MAX_SDP_CHARS`` characters."""


class GetPeerConfig(Message, frozen=True, kw_only=True):
    """A view asks for its ICE servers; answered by `PeerConfig`."""

    view: ViewId


class Ack(Message, frozen=True, kw_only=True):
    """A view has its answer or refusal; the kernel takes it out of ``answers``."""

    view: ViewId
    seq: int


class Bye(Message, frozen=True, kw_only=True):
    """A view has gone, or is being sent away; its connection is closed at once."""

    view: ViewId


class KeepsViews(Message, frozen=True):
    """This page replaces an output of the stream without drawing its view anew."""


class Record(Message, frozen=True, kw_only=True):
    """Begin a recording, or end it; the ``recording`` trait says what has come of it."""

    is_on: bool


class Room(Message, frozen=True, kw_only=True):
    """A view has so much room for its picture, at first and after each change."""

    width: Annotated[int, Meta(ge=1, le=65_536)]
    """In CSS pixels."""


class PageLog(Message, frozen=True, kw_only=True):
    """A line for the kernel's log; sent only where `PeerConfig` asked for it."""

    view: ViewId
    text: _Text


# --- both ways --------------------------------------------------------------------------------


class Problem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something went wrong, which the connection may survive; a part of `Candidates`."""

    problem: _Text
    expected: _Text
    fix: _Text


class Candidates(Message, frozen=True, kw_only=True):
    """All candidates that one side of a connection has gathered so far; sent again with more.

    A page sends only candidates that the kernel can use: no ``.local`` names and no TCP. The kernel
    sends candidates that came too late for the answer. Problems, such as a silent TURN server, are
    sent as soon as they are known; the connection attempt goes on.
    """

    view: ViewId
    seq: int
    """Of the offer that they belong to."""
    candidates: Annotated[list[_Text], _Few] = []
    """As in ``RTCIceCandidate.candidate``: ``candidate:...``, at most ``MAX_CANDIDATES``."""
    problems: Annotated[list[Problem], _Few] = []


# --- kernel -> page ---------------------------------------------------------------------------


class Answer(Message, frozen=True, kw_only=True):
    """The answer to the offer of the same view and seq."""

    view: ViewId
    seq: int
    sdp: _Sdp


class Refusal(Message, frozen=True, kw_only=True):
    """Why the offer of the same view and seq is not answered; the page shows it as it is."""

    view: str
    """Empty if nothing has named a view yet."""
    seq: int
    """0 if it is about something else than an offer."""
    problem: str
    expected: str
    fix: str


class IceServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the W3C ``iceServers`` list; part of other messages, never sent alone."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        return f"IceServer(urls={self.urls!r}, username={self.username!r})"


class PeerConfig(Message, frozen=True, kw_only=True):
    """How one view connects. A custom message, because traits end up in saved notebooks."""

    view: ViewId
    ice_servers: list[IceServer] = []
    ice_transport_policy: Literal["all", "relay"] = "all"
    wants_log: bool = False
    """Whether the page sends its log, as `PageLog`."""
    problems: list[Problem] = []
    """Why servers are missing; the page connects with the others."""


class ColourBar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The colours of a map, and the values at its ends; part of `LegendEntry`."""

    name: str
    """Of the panel, without markup; empty if there are no panels."""
    colours: list[str]
    """``#rrggbb``, at equal distances from the low end to the high one."""
    low: str
    high: str
    middle: str = ""
    """The value between both, if it is to be shown."""
    note: str = ""
    """What else there is to know about the range; empty if nothing."""


class LegendEntry(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a part of the picture's colours means; part of `Status`."""

    text: str
    """Without markup."""
    colour: str
    """The colour that the text is about, as ``#rrggbb``; empty if there is none."""
    bar: ColourBar | None = None
    """What says the same as the text to the eye."""


class Status(Message, frozen=True, kw_only=True):
    """What the stream is doing; the ``status`` trait.

    waiting: there is no frame yet. live: there are frames. error: a part failed; the stream goes on
    when it recovers, and meanwhile if it was a recording. restarting: the media process is being
    started again. failed: it cannot be started, just now or for good. closed: ``stream.close()``
    was called. ``problem``, ``expected`` and ``fix`` are set for error and failed; ``fix`` also for
    waiting, if the user's code has to do something; ``hint`` for live and waiting, if the picture
    may not be what was meant, or does not come.
    """

    state: Literal["waiting", "live", "error", "restarting", "failed", "closed"]
    part: StreamPart = ""
    """For error: the part that failed."""
    waits_for: str = ""
    """For waiting: what for, if not for the first frame. For live: who has gone and may come back,
    whose next frame is waited for."""
    problem: str = ""
    expected: str = ""
    fix: str = ""
    hint: str = ""
    width: int = 0
    """Of the picture in pixels, as far as it is known before a page has one; 0: it is not."""
    height: int = 0
    is_size_chosen: bool = False
    """Whether the user has chosen the size, so that even a small picture is not enlarged."""
    has_ended: bool = False
    """Whether the source has no more frames."""
    made_ms: float = 0
    """When the newest frame was pushed, as of the last change of the viewers, on the clock of
    `Pong`; 0: there was none."""
    caption: str = ""
    """A line of the user's, without markup."""
    legend: list[LegendEntry] = []
    """For live: what the colours mean."""

    def with_made_ms(self, made_ms: float) -> Status:
        """Return the same, on another clock."""
        return structs.replace(self, made_ms=made_ms)


# --- page <-> media process -------------------------------------------------------------------


class Ping(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A page is alive. Sent every second, and answered by `Pong`."""

    sent_ms: PageClock
    """On the page's clock; comes back with the answer."""
    latency_p50_ms: _Latency | None = None
    """From the capture of a frame until it was on the screen; None while that is unknown."""
    latency_p95_ms: _Latency | None = None
    is_paused: bool = False
    """Whether no picture is wanted now: nobody can see it, or a person has paused it."""
    is_relayed_by_tcp: bool = False
    """Whether its packets come through a TURN server to which it talks by TCP or TLS. There a late
    packet holds up those behind it."""


class LinkFigures(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What one view is sent, and what its link takes; as in `ViewerStats`."""

    estimate_bps: float
    """What the link takes, everything included."""
    loss: float | None = None
    """The part of the packets that was lost lately, 0 to 1; None where the carrier loses none."""
    tier: str
    """``full``, ``half`` or ``quarter`` size; empty if it differs among the tiles of a grid."""
    quantiser: int | None = None
    """Of the last picture, coarser upwards; None if the encoder does not say."""


class Pong(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The media process is alive."""

    sent_ms: PageClock
    """Of the ping that this answers."""
    clock_ms: float
    """When it was sent, on the clock of the RTP timestamps, which count 90 a millisecond."""
    width: int
    """The stream's picture in pixels, also for a view that is sent a smaller one; 0: none yet."""
    height: int
    link: LinkFigures | None = None
    """None before the view was sent anything."""
