"""From rows to tables, and the tables into the document."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

__all__ = ["Results", "Row", "page", "replace_between_markers", "table"]

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
        measured_on = {
            "date": datetime.now(UTC).date().isoformat(),
            "command": command,
            "rounds": str(rounds),
            "machine": f"{os.cpu_count()} cores, {_cpu_model()}, {platform.system()}",
            "versions": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
            "GPU": _gpu() if torch.cuda.is_available() else "none",
        }
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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


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
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for row in rows:
        cells = [_cell(row.figures.get(head, "")) for head in heads]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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


def replace_between_markers(document: Path, name: str, text: str) -> None:
    """Put ``text`` between the two HTML comments of this name in the document."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise LookupError(f"{document.name} has no {begin} ... {end}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")
