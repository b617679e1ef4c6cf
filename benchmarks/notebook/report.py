"""From the runs to a table of medians."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.document import markdown_table
from benchmarks.notebook.measure import Run

__all__ = ["ROWS", "notes", "table"]

ROWS: tuple[tuple[str, int, Callable[[Run], float | None]], ...] = (
    ("first picture, ms", 0, lambda run: statistics.median(run.first_pictures_ms)),
    ("idle: frames shown per s", 1, lambda run: run.idle.shown_fps),
    ("idle: glass to glass p50, ms", 0, lambda run: run.idle.p50_ms),
    ("idle: p95, ms", 0, lambda run: run.idle.p95_ms),
    ("idle: p99, ms", 0, lambda run: run.idle.p99_ms),
    ("idle: CPU per frame shown, ms", 1, lambda run: run.idle.cpu_ms_per_frame),
    ("idle: click to changed picture p50, ms", 0, lambda run: run.idle.click_p50_ms),
    ("idle: value below the pointer p50, ms", 0, lambda run: run.idle.value_p50_ms),
    ("busy: frames shown per s", 1, lambda run: run.busy.shown_fps),
    ("busy: glass to glass p50, ms", 0, lambda run: run.busy.p50_ms),
    ("busy: p95, ms", 0, lambda run: run.busy.p95_ms),
    ("busy: p99, ms", 0, lambda run: run.busy.p99_ms),
    ("busy: longest pause in 30 s, ms", 0, lambda run: run.longest_pause_ms),
    ("busy: CPU per frame shown, ms", 1, lambda run: run.busy.cpu_ms_per_frame),
    ("busy: click to changed picture p50, ms", 0, lambda run: run.busy.click_p50_ms),
    ("busy: value below the pointer p50, ms", 0, lambda run: run.busy.value_p50_ms),
    ("seen again, ms", 0, lambda run: run.seen_again_ms),
)
"""Title, digits, and how to read it from a run."""


def table(runs: Sequence[Run]) -> str:
    """Return the medians over the rounds, as a Markdown table."""
    columns = list(dict.fromkeys((run.contender, run.width, run.height) for run in runs))
    columns.sort(key=lambda column: column[1])
    heads = [f"{contender} {width}x{height}" for contender, width, height in columns]
    rows = [
        (title, [_median(runs, column, read, digits) for column in columns])
        for title, digits, read in ROWS
    ]
    return markdown_table(heads, rows)


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
    return f"{statistics.median(shown):.{digits}f}" if shown else "-"
