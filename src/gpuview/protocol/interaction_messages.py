"""What a view and the kernel say to each other about the picture: events, knobs, requests.

A view says a `FromView` over the fastest way that is open: a reliable data channel of its own
(`INTERACTION_CHANNEL`), the Jupyter server's WebSocket, or the comm. By the first two the media
process hears it, checks it and passes it on, so it reaches the kernel while a cell runs. A `ToView`
goes back the same way. `Interaction` is for all pages, in the trait of that name, and comes over a
WebSocket as well; each page that opens one is told the newest.

For a request and its reply, declare a subclass of each, list them in `FROM_VIEW` and `TO_VIEW`, and
tell `gpuview.interaction.interactions.Interactions.answer` what answers it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from gpuview.protocol.page_messages import Message, ViewId

__all__ = [
    "EVENT_TYPES",
    "FROM_VIEW",
    "INTERACTION_CHANNEL",
    "LOOSE_TYPES",
    "MAX_FROM_VIEW_CHARS",
    "TO_VIEW",
    "Element",
    "EventType",
    "Events",
    "Freeze",
    "FromView",
    "GetElement",
    "GetRegion",
    "GetReplay",
    "GetStatistics",
    "Interaction",
    "Knob",
    "KnobValue",
    "Place",
    "Region",
    "RenderEvent",
    "Replay",
    "SetKnob",
    "Statistics",
    "ToView",
    "Touch",
    "pieces_of",
]

INTERACTION_CHANNEL = "gpuview-interaction"
"""The label of the data channel: ordered, and nothing is lost."""

MAX_FROM_VIEW_CHARS = 16 * 1024
"""The longest of these messages that is read from a data channel."""

EventType = Literal[
    "pointer_down",
    "pointer_up",
    "pointer_move",
    "pointer_enter",
    "pointer_leave",
    "double_click",
    "wheel",
    "key_down",
    "key_up",
    "char",
    "resize",
    "focus",
    "blur",
    "close",
]
"""Those of the renderview specification, and ``focus`` and ``blur``."""

EVENT_TYPES: tuple[EventType, ...] = EventType.__args__  # type: ignore[attr-defined]

LOOSE_TYPES = frozenset({"pointer_move", "wheel", "resize"})
"""Of these the newest counts: they are merged, and may get lost."""

_Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Name = Annotated[str, Meta(max_length=128)]
_Word = Annotated[str, Meta(max_length=256)]
_Button = Annotated[int, Meta(ge=0, le=32)]


class FromView(Message, frozen=True, kw_only=True):
    """Base of what a view says. Limited to some 300 a second for each view."""

    view: ViewId

    @property
    def may_be_lost(self) -> bool:
        """Whether it is dropped first where too much waits for the kernel."""
        return True


class ToView(Message, frozen=True, kw_only=True):
    """Base of what one view is told."""

    view: str


class Touch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finger on the picture; part of `RenderEvent`."""

    id: int
    x: _Number
    y: _Number
    pressure: Annotated[float, Meta(ge=0, le=1)]


class RenderEvent(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One event of the renderview specification, as far as it applies; part of `Events`."""

    type: EventType
    timestamp: Annotated[float, Meta(ge=0, le=1e12)]
    """Seconds, on the page's clock."""
    x: _Number = 0
    """In CSS pixels from the left edge of the picture."""
    y: _Number = 0
    u: _Number | None = None
    """Where in the stream's picture that is, 0 at its left edge and 1 at its right edge."""
    v: _Number | None = None
    """The same from top to bottom."""
    button: _Button = 0
    """0: none, 1: left, 2: right, 3: middle, and so on."""
    buttons: Annotated[list[_Button], Meta(max_length=32)] = []
    modifiers: Annotated[list[Literal["Shift", "Control", "Alt", "Meta"]], Meta(max_length=4)] = []
    touches: Annotated[list[Touch], Meta(max_length=16)] = []
    dx: _Number = 0
    """CSS pixels that the wheel would have scrolled."""
    dy: _Number = 0
    key: Annotated[str, Meta(max_length=64)] = ""
    data: _Word = ""
    """The text of a ``char``."""
    width: _Number = 0
    """Of the room for the picture on the page, in CSS pixels."""
    height: _Number = 0
    ratio: _Number = 0
    """Device pixels for one of CSS."""


class Events(FromView, frozen=True, kw_only=True):
    """What has happened to the picture, in order."""

    events: Annotated[list[RenderEvent], Meta(min_length=1, max_length=64)]

    @property
    def may_be_lost(self) -> bool:
        return all(each.type in LOOSE_TYPES for each in self.events)


KnobValue = (
    bool
    | Annotated[int, Meta(ge=-(2**53), le=2**53)]
    | float
    | _Word
    | Annotated[list[float], Meta(max_length=16)]
)
"""A slider's number or numbers, a toggle's bool, a choice's text; for a button, how often it was
pressed."""


class SetKnob(FromView, frozen=True, kw_only=True):
    """A person has moved a knob."""

    name: _Name
    value: KnobValue

    @property
    def may_be_lost(self) -> bool:
        return False


class Knob(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One knob below the picture; part of `Interaction`."""

    kind: Literal["slider", "toggle", "choice", "button"]
    name: str
    """Without markup."""
    value: bool | int | float | str | list[float]
    low: float = 0
    """Of a slider, as are those that follow."""
    high: float = 0
    step: float = 0
    """0: as fine as the page can."""
    is_log: bool = False
    options: list[str] = []
    """Of a choice."""


class Interaction(Message, frozen=True, kw_only=True):
    """What a view may say; the ``interaction`` trait."""

    events: list[EventType] = []
    """Those that somebody waits for; no others are sent."""
    knobs: list[Knob] = []

    def with_values(self, values: Mapping[str, KnobValue]) -> Interaction:
        """Return the same with these values of the knobs that have such a name."""
        knobs = [
            replace(each, value=values[each.name]) if each.name in values else each
            for each in self.knobs
        ]
        return replace(self, knobs=knobs)


# --- the inspector: places are shares of the picture's sides, from its upper left corner

_Seq = Annotated[int, Meta(ge=0, le=2**53)]
_Pixels = Annotated[int, Meta(ge=1, le=4096)]


class GetElement(FromView, frozen=True, kw_only=True):
    """What is at a place of the picture? Answered by `Element`."""

    seq: _Seq
    """Comes back with the answer. The newest question of a view is answered, and older ones may be
    left out."""
    x: _Number
    y: _Number


class GetStatistics(FromView, frozen=True, kw_only=True):
    """What is in a box, of the tile that it begins in or of one near its middle? Answered by
    `Statistics`."""

    seq: _Seq
    x: _Number
    y: _Number
    to_x: _Number
    to_y: _Number


class GetRegion(FromView, frozen=True, kw_only=True):
    """A part of the picture at the tensor's resolution; answered by `Region`."""

    seq: _Seq
    x: _Number
    y: _Number
    width: _Number
    height: _Number
    pixel_width: _Pixels
    """The size that is wanted; the answer may be smaller."""
    pixel_height: _Pixels


class Freeze(FromView, frozen=True, kw_only=True):
    """Answer this view with the values of the present frame from now on, or of the newest again."""

    is_on: bool

    @property
    def may_be_lost(self) -> bool:
        return False


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the picture; part of other messages."""

    x: float
    y: float
    width: float
    height: float


_NOWHERE = Place(x=0, y=0, width=0, height=0)


class Element(ToView, frozen=True, kw_only=True):
    """What is at a place. Numbers are text, as JSON has no int64, NaN or Inf; without markup."""

    seq: int
    is_frozen: bool = False
    """Whether it is of the frame that the view has frozen."""
    problem: str = ""
    """Why nothing is known, if that is so."""
    panel: str = ""
    index: str = ""
    """In the tensor, as in ``[3, :, 12, 40]``; empty if there is no element."""
    row: int = 0
    column: int = 0
    values: list[str] = []
    """Of all channels."""
    dtype: str = ""
    low: str = ""
    high: str = ""
    """What is shown as the ends of the colours."""
    place: Place = _NOWHERE
    """Where the element is shown."""


class Statistics(ToView, frozen=True, kw_only=True):
    """What the values in a box have in common. As in `Element`, numbers may be text."""

    seq: int
    is_frozen: bool = False
    problem: str = ""
    panel: str = ""
    index: str = ""
    """As in ``[3, :, 10:20, 4:9]``; empty if the box begins in no tile."""
    dtype: str = ""
    n: int = 0
    n_nan: int = 0
    n_inf: int = 0
    least: str = ""
    greatest: str = ""
    mean: str = ""
    std: str = ""
    counts: list[int] = []
    """Of a histogram of the finite values, from the least to the greatest."""
    place: Place = _NOWHERE


class Region(ToView, frozen=True, kw_only=True):
    """A piece of a PNG; the pieces come in order."""

    seq: int
    is_frozen: bool = False
    problem: str = ""
    nbytes: int = 0
    """Of the whole PNG; 0 if there is none."""
    offset: int = 0
    """Of this piece in it."""
    data: str = ""
    """Base64."""


_PIECE_NBYTES = 32 * 1024
"""Of an image, so that each message fits into the pipe and into a data channel."""


def pieces_of(image: bytes) -> Iterator[dict[str, Any]]:
    """Return the fields of a message for each piece of an image; one without any if it is empty."""
    if not image:
        yield {}
    for offset in range(0, len(image), _PIECE_NBYTES):
        data = b64encode(image[offset : offset + _PIECE_NBYTES]).decode()
        yield {"nbytes": len(image), "offset": offset, "data": data}


# --- replay: times are milliseconds on the clock of `gpuview.protocol.page_messages.Pong`


class GetReplay(FromView, frozen=True, kw_only=True, omit_defaults=True):
    """A picture that was shown before, answered by `Replay`. The media process answers it itself.

    Without a time, no picture is wanted: what is kept now is to stay for this view, until it is
    sent the stream again.
    """

    seq: _Seq
    time_ms: Annotated[float, Meta(ge=0, le=1e15)] | None = None
    step: Annotated[int, Meta(ge=-10_000, le=10_000)] = 0
    """So many pictures after the one of that time, or before it."""


class Replay(ToView, frozen=True, kw_only=True):
    """A piece of a JPEG; the pieces come in order."""

    seq: int
    problem: str = ""
    time_ms: float = 0
    """When this picture was first shown."""
    oldest_ms: float = 0
    """The same of the oldest picture that is kept; 0 if there is none."""
    newest_ms: float = 0
    nbytes: int = 0
    """Of the whole JPEG; 0 if there is none."""
    offset: int = 0
    """Of this piece in it."""
    data: str = ""
    """Base64."""


FROM_VIEW: tuple[type[FromView], ...] = (
    Events,
    SetKnob,
    GetElement,
    GetStatistics,
    GetRegion,
    Freeze,
    GetReplay,
)
"""All that a view says."""

TO_VIEW: tuple[type[ToView], ...] = (Element, Statistics, Region, Replay)
"""All that one view is told."""
