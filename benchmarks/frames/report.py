"""From rows to tables and a page."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmarks.document import environment, markdown_table

__all__ = ["Results", "Row", "page", "table"]

_PACKAGES = ("torch", "triton", "av", "numpy")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    name: str
    figures: Mapping[str, float | str]
    """By the column's head; numbers are rounded to three digits."""


@dataclass(frozen=True, slots=True)
class Results:
    """All that one run measured."""

    measured_on: Mapping[str, str]
    sections: Mapping[str, Sequence[Row]]
    """By title, in order."""

    @classmethod
    def begin(cls, command: str, rounds: int) -> Results:
        """Say what is being measured on, in words that fit any machine of the kind."""
        gpu = _gpu() if torch.cuda.is_available() else "none"
        measured_on = {**environment(command, rounds, _PACKAGES), "GPU": gpu}
        return cls(measured_on, {})

    def with_section(self, title: str, rows: Sequence[Row]) -> Results:
        return Results(self.measured_on, {**self.sections, title: rows})

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Results:
        record = json.loads(text)
        sections = {
            title: [Row(**row) for row in rows] for title, rows in record["sections"].items()
        }
        return cls(record["measured_on"], sections)


def _gpu() -> str:
    """Return the card, its driver, and the CUDA that torch was built with."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, check=True, capture_output=True, text=True, timeout=30)
        driver = asked.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = "unknown"
    return f"{torch.cuda.get_device_name()}, driver {driver}, CUDA {torch.version.cuda}"


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table; what a row does not have is left empty."""
    heads = list(dict.fromkeys(head for row in rows for head in row.figures))
    cells = [(row.name, [_cell(row.figures.get(head, "")) for head in heads]) for row in rows]
    return markdown_table(heads, cells)


def _cell(figure: float | str) -> str:
    """Return a number with three digits, or a whole one with all it has."""
    if isinstance(figure, str):
        return figure
    digits = next((digits for digits, least in ((0, 100), (1, 10)) if figure >= least), 2)
    return f"{figure:.{digits}f}"


def page(results: Results) -> str:
    """Return everything as Markdown."""
    tables = [f"**{title}**\n\n{table(rows)}" for title, rows in results.sections.items()]
    notes = "\n".join(f"- {key}: {value}" for key, value in results.measured_on.items())
    return "\n\n".join([*tables, notes])
