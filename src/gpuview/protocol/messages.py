"""All messages between page, kernel and media process.

A message is a frozen dataclass here and a JSON object on the wire; the object's ``type`` names the
class. ``js/src/messages.ts``, the page's half, is generated from this file.

A page and the kernel talk over the widget's comm:

    page    Offer        in the ``offers`` trait (one entry a view) and again as a custom message
    page    GetPeerConfig, Ack, Bye, Candidates, PageLog                    custom messages
    kernel  Answer, Refusal     in the ``answers`` trait (one entry a view), until the page's Ack
    kernel  PeerConfig, Candidates                                          custom messages
    kernel  Status       in the ``status`` trait

The kernel and the media process talk over a socket pair, where each message carries the name of
its stream: see `gpuview.protocol.codec`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gpuview.protocol.stats import EncoderStats, NetworkStats, ViewerStats

__all__ = [
    "MAX_CANDIDATES",
    "MAX_SDP_CHARS",
    "MAX_TEXT_CHARS",
    "Ack",
    "Answer",
    "AttachRing",
    "Bye",
    "Candidates",
    "CloseStream",
    "Configure",
    "EncodeFailed",
    "GetPeerConfig",
    "GetStats",
    "IceServer",
    "IceServers",
    "Log",
    "Message",
    "Offer",
    "OpenStream",
    "PageLog",
    "PeerConfig",
    "Problem",
    "Ready",
    "Refusal",
    "Stats",
    "Status",
    "Viewers",
    "WantIceServers",
]

MAX_SDP_CHARS = 64 * 1024
"""The longest SDP that is read. Chromium's offer for one video has about 6,000 characters."""

MAX_CANDIDATES = 64
"""The most candidates that are read from one side of a connection; a browser has a handful."""

MAX_TEXT_CHARS = 4096
"""The longest line of a page's log, candidate or problem that is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Base of all messages."""


# --- page -> kernel ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(Message):
    """A view asks to be shown the stream. Repeated, unchanged, until it is answered."""

    view: str
    """The view's id: 1 to 64 of ``A-Za-z0-9_-``, made anew by the page for each view."""
    seq: int
    """Counts the view's offers from 1. A higher one replaces the view's connection."""
    sdp: str
    """The offer, at most ``MAX_SDP_CHARS`` characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetPeerConfig(Message):
    """A view asks for its ICE servers; answered by `PeerConfig`."""

    view: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(Message):
    """A view has its answer or refusal; the kernel takes it out of ``answers``."""

    view: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye(Message):
    """A view has gone, or is being sent away; its connection is closed at once."""

    view: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLog(Message):
    """A line for the kernel's log; sent only where `PeerConfig` asked for it."""

    view: str
    text: str


# --- both ways --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something went wrong, which the connection may survive; a part of `Candidates`."""

    problem: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates(Message):
    """All candidates that one side of a connection has gathered so far; sent again with more.

    A page sends only candidates that the kernel can use: no ``.local`` names and no TCP. The kernel
    sends candidates that came too late for the answer. Problems, such as a silent TURN server, are
    sent as soon as they are known; the connection attempt goes on.
    """

    view: str
    seq: int
    """Of the offer that they belong to."""
    candidates: list[str] = field(default_factory=list)
    """As in ``RTCIceCandidate.candidate``: ``candidate:...``, at most ``MAX_CANDIDATES``."""
    problems: list[Problem] = field(default_factory=list)


# --- kernel -> page ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Message):
    """The answer to the offer of the same view and seq."""

    view: str
    seq: int
    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Message):
    """Why the offer of the same view and seq is not answered; the page shows it as it is."""

    view: str
    seq: int
    problem: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer:
    """One entry of the W3C ``iceServers`` list; part of other messages, never sent alone."""

    urls: list[str]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig(Message):
    """How one view connects. A custom message, because traits end up in saved notebooks."""

    view: str
    ice_servers: list[IceServer] = field(default_factory=list)
    ice_transport_policy: Literal["all", "relay"] = "all"
    wants_log: bool = False
    """Whether the page sends its log, as `PageLog`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Message):
    """What the stream is doing; the ``status`` trait.

    waiting: there is no frame yet. live: there are frames. error: the source failed; the stream
    goes on when it recovers. restarting: the media process is being started again. failed: it
    cannot be started, just now or for good. closed: ``stream.close()`` was called. ``problem``,
    ``expected`` and ``fix`` are set for error and failed; ``fix`` also for waiting, if the user's
    code has to do something.
    """

    state: Literal["waiting", "live", "error", "restarting", "failed", "closed"]
    problem: str = ""
    expected: str = ""
    fix: str = ""


# --- kernel -> media process ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure(Message):
    """The process-wide settings; the first message, about no stream."""

    public_ips: list[str] = field(default_factory=list)
    learns_public_ip: bool = False
    """Whether the addresses that STUN servers see replace ``public_ips``."""
    port_min: int | None = None
    port_max: int | None = None
    public_port_min: int | None = None
    """The port outside that leads to ``port_min``; the others follow. None: the same numbers."""
    keep_private: bool = False
    """Whether private addresses are shown as well, after the public ones."""
    ice_transport_policy: Literal["all", "relay"] = "all"
    """``relay``: this side uses TURN relays only."""
    has_ice_servers: bool = False
    """Whether there are STUN or TURN servers for this side, see `WantIceServers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStream(Message):
    """A GPUStream was made. Its eventfd comes along; a write to it announces a frame."""

    fps: float
    max_bitrate_bps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRing(Message):
    """The stream's frames come through this ring from now on; its descriptor comes along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStream(Message):
    """The GPUStream was closed; its viewers are sent away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetStats(Message):
    """Ask for `Stats` with the same number."""

    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServers(Message):
    """The STUN and TURN servers for the media process itself; answers `WantIceServers`.

    Not about a stream. Without servers, ``problems`` says why.
    """

    ice_servers: list[IceServer] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


# --- media process -> kernel ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WantIceServers(Message):
    """Ask for `IceServers`."""

    anew: bool = False
    """Whether the earlier ones do not work. Otherwise the same are wanted: a TURN server ties a
    socket to its first user for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message):
    """The media process runs and reads its pipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewers(Message):
    """The views that have a connection now, from offer to close. Sent when it changes."""

    views: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(Message):
    """The stream's counters, answering `GetStats`."""

    request: int
    frames_taken: int = 0
    """Frames that were taken from the ring to be encoded; a repeated one counts once."""
    viewers: list[ViewerStats] = field(default_factory=list)
    encoders: list[EncoderStats] = field(default_factory=list)
    network: NetworkStats = field(default_factory=NetworkStats)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeFailed(Message):
    """The stream's frames cannot be encoded, and why; empty strings when they can again."""

    problem: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Message):
    """A log record of the media process, for the kernel's ``gpuview.media`` logger."""

    level: int
    text: str
