"""From the runs to a table, and the table into the document."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.notebook.measure import Run

__all__ = ["environment", "notes", "replace_between_markers", "table"]

_BEGIN = "<!-- bench-notebook: begin -->"
_END = "<!-- bench-notebook: end -->"
_PACKAGES = ("jupyter_rfb", "jupyterlab", "ipykernel", "torch", "numpy")

_ROWS: tuple[tuple[str, int, Callable[[Run], float | None]], ...] = (
    ("first picture, ms", 0, lambda run: statistics.median(run.first_pictures_ms)),
    ("idle: frames shown per s", 1, lambda run: run.idle.shown_fps),
    ("idle: glass to glass p50, ms", 0, lambda run: run.idle.p50_ms),
    ("idle: p95, ms", 0, lambda run: run.idle.p95_ms),
    ("idle: p99, ms", 0, lambda run: run.idle.p99_ms),
    ("idle: CPU per frame shown, ms", 1, lambda run: run.idle.cpu_ms_per_frame),
    ("busy: frames shown per s", 1, lambda run: run.busy.shown_fps),
    ("busy: glass to glass p50, ms", 0, lambda run: run.busy.p50_ms),
    ("busy: p95, ms", 0, lambda run: run.busy.p95_ms),
    ("busy: p99, ms", 0, lambda run: run.busy.p99_ms),
    ("busy: CPU per frame shown, ms", 1, lambda run: run.busy.cpu_ms_per_frame),
)


def environment(command: str, chromium: str, rounds: int) -> dict[str, str]:
    """Say what the figures were measured on, in words that fit any machine of the kind."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "rounds": str(rounds),
        "machine": f"{os.cpu_count()} cores, {_cpu_model()}, {platform.system()}",
        "versions": ", ".join(
            [f"Chromium {chromium}", *(f"{name} {version(name)}" for name in _PACKAGES)]
        ),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def table(runs: Sequence[Run]) -> str:
    """Return the medians over the rounds, as a Markdown table."""
    columns = list(dict.fromkeys((run.contender, run.width, run.height) for run in runs))
    columns.sort(key=lambda column: column[1])
    heads = [f"{contender} {width}x{height}" for contender, width, height in columns]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for title, digits, read in _ROWS:
        cells = [_median(runs, column, read, digits) for column in columns]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def notes(measured_on: dict[str, str]) -> str:
    """Return what the figures were measured on, as a Markdown list."""
    return "\n".join(f"- {key}: {value}" for key, value in measured_on.items())


def _median(
    runs: Sequence[Run],
    column: tuple[str, int, int],
    read: Callable[[Run], float | None],
    digits: int,
) -> str:
    values = [read(run) for run in runs if (run.contender, run.width, run.height) == column]
    shown = [value for value in values if value is not None]
    return f"{statistics.median(shown):.{digits}f}" if shown else "nothing shown"


def replace_between_markers(document: Path, text: str) -> None:
    """Put ``text`` between the two HTML comments that the document has for it."""
    before, _, rest = document.read_text().partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        raise LookupError(f"{document.name} has no {_BEGIN} ... {_END}")
    document.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")
