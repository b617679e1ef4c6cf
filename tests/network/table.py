"""The table of what connects with what, as the test run found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cell", "Place", "render", "write_between_marks"]

_BEGIN = "<!-- matrix -->"
_END = "<!-- end of matrix -->"

Place = tuple[str, str, str]
"""Browser, kernel, servers."""


@dataclass(frozen=True)
class Cell:
    """The outcome of one connection.

    Args:
        pair: The selected pair; empty without a connection.
        first_frame_ms: From opening the view to its first decoded frame; None without a connection.
        note: Why WebRTC cannot connect, and what the page says if it may use nothing else.
        fallback_ms: Then from opening another view to its first picture through the kernel.
    """

    pair: str = ""
    first_frame_ms: float | None = None
    note: str = ""
    fallback_ms: float | None = None


def render(
    cells: Mapping[Place, Cell],
    browsers: Sequence[str],
    kernels: Sequence[str],
    servers: Sequence[str],
) -> str:
    """Return the table as Markdown, with a note below it for each kind of failure."""
    notes = list(dict.fromkeys(cell.note for cell in cells.values() if cell.note))
    lines = [_row("browser", "kernel", *servers), _row(*["---"] * (2 + len(servers)))]
    for browser in browsers:
        for kernel in kernels:
            row = [cells[browser, kernel, server] for server in servers]
            lines.append(_row(browser, kernel, *(_text(cell, notes) for cell in row)))
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
    return "\n".join(lines)


def write_between_marks(path: Path, text: str) -> None:
    """Replace the text between the marks in a file; make the file if it is missing."""
    old = path.read_text() if path.exists() else f"{_BEGIN}\n{_END}\n"
    before, _, rest = old.partition(_BEGIN)
    after = rest.partition(_END)[2]
    path.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


def _text(cell: Cell, notes: Sequence[str]) -> str:
    if cell.fallback_ms is not None:
        return f"through the kernel ({notes.index(cell.note) + 1})<br>{cell.fallback_ms:.0f} ms"
    return f"{cell.pair}<br>{cell.first_frame_ms:.0f} ms"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
