"""What every benchmark writes down: the machine, and its tables in the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["environment", "markdown_table", "replace_between_markers"]


def environment(
    command: str, rounds: int, packages: Sequence[str], **versions: str
) -> dict[str, str]:
    """Describe the measurement without naming the machine.

    Args:
        command: The command that repeats it.
        rounds: How often each figure was measured.
        packages: Installed distributions whose versions matter.
        versions: Versions of other programs, by name.
    """
    known = {**versions, **{package: _version(package) for package in packages}}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "rounds": str(rounds),
        "machine": f"{os.cpu_count()} cores, {_cpu_model()}, {platform.system()}",
        "versions": ", ".join(f"{name} {number}" for name, number in known.items()),
    }


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


def markdown_table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a Markdown table; each row has a name and a cell for each head."""
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows)])


def replace_between_markers(document: Path, name: str, text: str) -> None:
    """Put ``text`` between the two HTML comments of this name in the document.

    Raises:
        LookupError: The document has no such comments.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise LookupError(f"{document.name} has no {begin} ... {end}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")
