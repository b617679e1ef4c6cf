"""Messages to JSON and back. Nothing that a peer sends is trusted."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from typing import Any, Literal

from gpuview.errors import SignalError
from gpuview.protocol.messages import (
    MAX_CANDIDATES,
    MAX_SDP_CHARS,
    MAX_TEXT_CHARS,
    Candidates,
    IceServer,
    Message,
    PageLog,
    Problem,
)
from gpuview.protocol.stats import EncoderStats, NetworkStats, ViewerStats

__all__ = ["decode_line", "encode", "from_wire", "to_wire"]

_VIEW_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# These come from pages, are kept or logged, and have no natural length.
_BOUNDED = (Candidates, PageLog, Problem)

_CLASSES: dict[str, type[Message]] = {kind.__name__: kind for kind in Message.__subclasses__()}
_HINTS: dict[type, dict[str, Any]] = {
    kind: typing.get_type_hints(kind)
    for kind in (*_CLASSES.values(), IceServer, Problem, ViewerStats, EncoderStats, NetworkStats)
}


def to_wire(message: Message) -> dict[str, Any]:
    """Return the JSON object for ``message``, without fields that are None."""
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
        SignalError: Not an object or not one of ``kinds``, or a field is missing, unknown, of
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
    if dataclasses.is_dataclass(hint):
        return _build(hint, _fields(kind, name, value))
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
    return [_convert(kind, name, each, item) for each in value]


def _fields(kind: Any, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad_field(kind, name, f"{_short(value)} is of type {type(value).__name__}")
    return dict(value)


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
