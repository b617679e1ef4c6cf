"""`StreamStats` as a table, in text and in HTML. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msgspec import Struct

    from gpuview.stats import StreamStats

__all__ = ["as_html", "as_text"]

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class _Table:
    """One row for each field, one column for each object that has it."""

    title: str
    rows: list[list[str]]


def as_text(stats: StreamStats) -> str:
    """Return the tables one below the other, in columns."""
    return "\n\n".join(map(_text, _tables(stats)))


def as_html(stats: StreamStats) -> str:
    """Return the tables as HTML, whatever their values contain."""
    return "".join(map(_html, _tables(stats)))


def _tables(stats: StreamStats) -> list[_Table]:
    parts = ("viewers", "encoders", "network")
    own = [each.name for each in fields(stats) if each.name not in parts]
    stream = _Table("stream", [[name, _value(getattr(stats, name))] for name in own])
    several = [_of_structs(name, getattr(stats, name)) for name in parts[:2]]
    return [stream, *several, _of_structs("network", (stats.network,))]


def _of_structs(title: str, structs: Sequence[Struct]) -> _Table:
    names = structs[0].__struct_fields__ if structs else ()
    rows = [[name, *(_value(getattr(each, name)) for each in structs)] for name in names]
    return _Table(title, rows or [["none"]])


def _value(value: object) -> str:
    match value:
        case float():
            return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
        case Mapping():
            return ", ".join(f"{name} {count}" for name, count in value.items()) or _NOTHING
        case list() | tuple():
            return ", ".join(map(str, value)) or _NOTHING
        case None | "":
            return _NOTHING
        case _:
            return str(value)


def _text(table: _Table) -> str:
    widths = [max(map(len, column)) for column in zip(*table.rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in table.rows)
    return "\n".join([table.title, *(f"  {line}" for line in lines)])


def _html(table: _Table) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(each)}</td>' for each in values)}</tr>"
        for name, *values in table.rows
    )
    return f"<table><caption>{table.title}</caption>{rows}</table>"
