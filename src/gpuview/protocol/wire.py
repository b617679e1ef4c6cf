"""Messages to JSON and back. Nothing that a peer sends is trusted."""

from __future__ import annotations

import json
from typing import Any, Union, cast

from msgspec import Struct, convert, to_builtins

from gpuview.errors import SignalError
from gpuview.protocol.page_messages import Message

__all__ = ["decode_line", "decode_text", "encode", "encode_text", "from_wire", "to_wire"]


def to_wire(message: Struct) -> dict[str, Any]:
    """Return the JSON object for a message or a part of one, without fields that are None."""
    return cast(dict[str, Any], to_builtins(message))


def from_wire(data: object, *kinds: type[Message]) -> Message:
    """Read a JSON object as one of ``kinds``.

    Args:
        data: What a peer sent, decoded from JSON; nothing about it is trusted.
        kinds: The messages that are acceptable here.

    Raises:
        SignalError: Not an object or not one of ``kinds``, or a field is missing, unknown, of
            another type or too long. The error names the field and does not show its value.
    """
    try:
        return cast(Message, convert(data, Union[kinds]))  # noqa: UP007 - of a tuple
    except ValueError as exc:  # msgspec's, or a UnicodeEncodeError for half a surrogate pair
        given = data.get("type") if isinstance(data, dict) else type(data).__name__
        raise SignalError(
            f"cannot read a message of type {_short(given)}: {_short(exc)}",
            expected=f"one of {', '.join(kind.__name__ for kind in kinds)}",
            fix="reload the page; if that does not help, page and package are of two versions",
        ) from None


def encode(stream: str, message: Message) -> bytes:
    """Return the line that carries ``message`` about ``stream`` over the socket pair."""
    # Not by msgspec: it refuses half a surrogate pair, which a page can send.
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


def encode_text(message: Message) -> str:
    """Return the text that carries ``message`` over a data channel."""
    return json.dumps(to_wire(message))


def decode_text(text: object, *kinds: type[Message]) -> Message:
    """Read what `encode_text` wrote, or the page's half of it.

    Raises:
        SignalError: As `from_wire`, or ``text`` is not JSON.
    """
    try:
        data = json.loads(text, parse_constant=_refuse) if isinstance(text, str) else text
    except (ValueError, RecursionError) as exc:
        raise SignalError(
            f"cannot read a message of {len(str(text))} characters: {_short(exc)}",
            expected="a JSON object",
            fix="reload the page; if that does not help, page and package are of two versions",
        ) from None
    return from_wire(data, *kinds)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _short(value: object) -> str:
    text = "".join(char if char.isprintable() else "?" for char in str(value))
    return text if len(text) <= 100 else text[:97] + "..."
