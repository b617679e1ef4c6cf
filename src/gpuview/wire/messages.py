"""Everything that is said between page, kernel and media process.

A message is a frozen dataclass here and a JSON object on the wire; the object's ``type`` names the
class. The page's half is generated from this file into ``js/src/messages.ts``.

A page and the kernel talk over the widget's comm:

    page    Offer        in the ``offers`` trait (one entry a view) and again as a custom message
    page    Hello, Ack, Bye, Candidates, PageLog                                custom messages
    kernel  Answer, Refusal     in the ``answers`` trait (one entry a view), until the page's Ack
    kernel  Welcome, Candidates                                                 custom messages
    kernel  Status       in the ``status`` trait

The kernel and the media process talk over a socket pair; there each message is wrapped with the
stream that it is about (`encode`, `decode_line`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from gpuview.errors import SignalError

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
    "GetStats",
    "Hello",
    "IceServer",
    "IceServers",
    "Log",
    "Message",
    "Offer",
    "OpenStream",
    "PageLog",
    "Problem",
    "Ready",
    "Refusal",
    "Stats",
    "Status",
    "Trouble",
    "Viewers",
    "WantIceServers",
    "Welcome",
    "decode_line",
    "encode",
    "from_wire",
    "is_new_offer",
    "to_wire",
]

MAX_SDP_CHARS = 64 * 1024
"""The longest SDP that is read. Chromium's offer for one video has about 6,000 characters."""

MAX_CANDIDATES = 64
"""The most candidates that are read from one side of a connection; a browser has a handful."""

MAX_TEXT_CHARS = 4096
"""The longest line of a page's log, candidate or problem that is read."""

_VIEW_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


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
class Hello(Message):
    """A view asks for the ICE servers that it shall use; answered by `Welcome`."""

    view: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(Message):
    """A view has its answer, or its refusal; the kernel takes it out of ``answers``."""

    view: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye(Message):
    """A view has gone, or is being sent away; its connection is closed at once."""

    view: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLog(Message):
    """A line for the kernel's log; sent only where `Welcome` asked for it."""

    view: str
    text: str


# --- both ways --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that went wrong and need not be the end; a part of `Candidates`."""

    problem: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates(Message):
    """All that one side of a connection has gathered up to now; sent again when that grows.

    From a page: only what the kernel can use, no ``.local`` name and no TCP. From the kernel: what
    came too late for the answer. Problems, such as a TURN server that is silent, are told as soon
    as they are known, and are no reason to give up before the time has come.
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
    """The offer of the same view and seq is not answered, and why: shown on the page as it is."""

    view: str
    seq: int
    problem: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer:
    """One entry of the W3C ``iceServers`` list; a part of other messages, never sent alone."""

    urls: list[str]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Message):
    """How one view is to connect. A custom message, as traits end up in saved notebooks."""

    view: str
    ice_servers: list[IceServer] = field(default_factory=list)
    ice_transport_policy: Literal["all", "relay"] = "all"
    wants_log: bool = False
    """Whether the page shall send what happens to it, as `PageLog`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Message):
    """What the stream is doing; the ``status`` trait.

    waiting: no frame has been made yet. live: frames come. error: the source failed; the stream
    goes on when it recovers. restarting: the media process is being started again. failed: it could
    not be. closed: ``stream.close()`` was called. ``problem``, ``expected`` and ``fix`` are set for
    error and failed; ``fix`` also for waiting, where the user's code has to do something.
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
    """Whether the addresses that STUN servers see take the place of ``public_ips``."""
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
    """A GPUStream was made. Its eventfd travels with it: a write to it says that a frame came."""

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
    """The STUN and TURN servers for the media process's own use; answers `WantIceServers`.

    About no stream. Empty, with the problem, when the servers cannot be had.
    """

    ice_servers: list[IceServer] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


# --- media process -> kernel ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WantIceServers(Message):
    """Ask for `IceServers`."""

    anew: bool = False
    """Whether those that were given before do not work. Else the same are wanted: to a TURN server,
    a socket belongs to its first user for a while."""


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
    stats: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(Message):
    """The stream's frames cannot be encoded, and why; empty strings when they can again."""

    problem: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Message):
    """A log record of the media process, for the kernel's ``gpuview.media`` logger."""

    level: int
    text: str


def is_new_offer(offer: Offer, known: Offer | None) -> bool:
    """Tell whether ``offer`` is new; False if it is the one that is known, said again.

    Raises:
        SignalError: It is older than the known one, or differs from it under the same number.
    """
    if known is None or offer.seq > known.seq:
        return True
    if offer == known:
        return False
    raise SignalError(
        f"offer {offer.seq} of view {offer.view} comes after offer {known.seq} of the same view",
        expected=f"seq > {known.seq}, or offer {known.seq} unchanged",
        fix="reload the page",
    )


# What comes from pages, is kept or logged, and has no length of its own.
_BOUNDED = (Candidates, PageLog, Problem)

# --- JSON -------------------------------------------------------------------------------------

_CLASSES: dict[str, type[Message]] = {kind.__name__: kind for kind in Message.__subclasses__()}
_HINTS: dict[type, dict[str, Any]] = {
    kind: typing.get_type_hints(kind) for kind in (*_CLASSES.values(), IceServer, Problem)
}


def to_wire(message: Message) -> dict[str, Any]:
    """Return the JSON object for ``message``; what is None is left out."""
    return {
        "type": type(message).__name__,
        **dataclasses.asdict(message, dict_factory=_without_none),
    }


def _without_none(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if value is not None}


def from_wire(data: object, *kinds: type[Message]) -> Message:
    """Read a JSON object as one of ``kinds``.

    Args:
        data: What a peer sent, decoded from JSON; nothing about it is trusted.
        kinds: The messages that are acceptable here.

    Raises:
        SignalError: Not an object, not one of ``kinds``, a field that is missing, unknown, of
            another type or too long.
    """
    names = ", ".join(kind.__name__ for kind in kinds)
    if not isinstance(data, dict):
        raise SignalError(
            f"cannot read a message of type {type(data).__name__}",
            expected=f"an object with a type, one of {names}",
            fix="reload the page; if that does not help, page and package are of two versions",
        )
    name = data.get("type")
    kind = _CLASSES.get(name) if isinstance(name, str) else None
    if kind is None or kind not in kinds:
        raise SignalError(
            f"cannot read a message with type = {_short(name)}",
            expected=f"one of {names}",
            fix="reload the page; if that does not help, page and package are of two versions",
        )
    fields = {key: value for key, value in data.items() if key != "type"}
    return typing.cast(Message, _build(kind, fields))


def encode(stream: str, message: Message) -> bytes:
    """Return the line that carries ``message`` about ``stream`` over the socket pair."""
    return json.dumps({"stream": stream, "message": to_wire(message)}).encode()


def decode_line(line: bytes, *kinds: type[Message]) -> tuple[str, Message]:
    """Read what `encode` wrote.

    Raises:
        SignalError: As `from_wire`, or the line is not such an object.
    """
    try:
        data = json.loads(line)
        stream, message = data["stream"], data["message"]
    except (ValueError, TypeError, KeyError) as exc:
        raise SignalError(
            f"cannot read a line of {len(line)} bytes: {exc}",
            expected='{"stream": ..., "message": ...}',
            fix="this should never happen, please report it",
        ) from exc
    return str(stream), from_wire(message, *kinds)


def _build(kind: Any, fields: dict[str, Any]) -> object:
    hints = _HINTS[kind]
    for name in fields.keys() - hints.keys():
        raise _bad_field(kind, name, "no such field")
    for spec in dataclasses.fields(kind):
        if spec.name in fields:
            fields[spec.name] = _convert(kind, spec.name, fields[spec.name], hints[spec.name])
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise _bad_field(kind, spec.name, "missing")
    return kind(**fields)


def _convert(kind: Any, name: str, value: Any, hint: Any) -> Any:
    """Check one field against its annotation, and the limits that hold for its name."""
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise _bad_field(kind, name, f"{_short(value)} is not one of {typing.get_args(hint)}")
        return value
    if origin is list:
        return _convert_list(kind, name, value, typing.get_args(hint)[0])
    plain: Any = dict if origin is dict else (int, float) if hint is float else hint
    if not isinstance(value, plain) or (isinstance(value, bool) and hint is not bool):
        raise _bad_field(kind, name, f"{_short(value)} is of type {type(value).__name__}")
    if name == "view" and not _VIEW_ID.fullmatch(value):
        raise _bad_field(kind, name, f"{_short(value)} is not a view id")
    if isinstance(value, str) and len(value) > (limit := _max_chars(kind, name)):
        raise _bad_field(kind, name, f"{len(value)} characters, more than {limit}")
    return value


def _max_chars(kind: Any, name: str) -> float:
    if name == "sdp":
        return MAX_SDP_CHARS
    return MAX_TEXT_CHARS if kind in _BOUNDED else math.inf


def _convert_list(kind: Any, name: str, value: Any, item: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _bad_field(kind, name, f"{_short(value)} is of type {type(value).__name__}")
    if kind in _BOUNDED and len(value) > MAX_CANDIDATES:
        raise _bad_field(kind, name, f"{len(value)} entries, more than {MAX_CANDIDATES}")
    if dataclasses.is_dataclass(item):
        return [_build(item, dict(each)) for each in value if _is_object(kind, name, each)]
    return [_convert(kind, name, each, item) for each in value]


def _is_object(kind: Any, name: str, value: object) -> bool:
    if not isinstance(value, dict):
        raise _bad_field(kind, name, f"{_short(value)} is of type {type(value).__name__}")
    return True


def _bad_field(kind: Any, name: str, why: str) -> SignalError:
    shape = ", ".join(f"{f.name}: {f.type}" for f in dataclasses.fields(kind))
    return SignalError(
        f"cannot read field {_short(name)} of {kind.__name__}: {why}",
        expected=f"{kind.__name__}({shape})",
        fix="reload the page; if that does not help, page and package are of two versions",
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
