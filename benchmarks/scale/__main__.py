"""Measure what each further viewer, rank and relayed viewer costs, and what a cluster adds.

    python -m benchmarks.scale [--only PART]...

Writes ``artifacts/bench-scale.json``, and after a complete run the table in ``docs/scale.md``. Ends
with the status 1 if a figure is beyond its bound. Takes about five minutes; the machine should have
nothing else to do. ``--only`` measures some parts anew and keeps the other figures of the file.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from benchmarks.document import environment, replace_between_markers
from benchmarks.scale.parts import PARTS
from benchmarks.scale.wanted import AT_MOST, check

_ROOT = Path(__file__).parents[2]
_RECORD = _ROOT / "artifacts" / "bench-scale.json"
_PACKAGES = ("torch", "aiortc", "av", "pyzmq", "numpy")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--only", action="append", choices=PARTS)
    only: list[str] | None = parser.parse_args().only
    parts: dict[str, dict[str, float]] = {}
    if only and _RECORD.exists():
        known: dict[str, Any] = json.loads(_RECORD.read_text())
        parts = known["parts"]
    for name in only or PARTS:
        parts[name] = PARTS[name]()
        print(f"{check(parts[name])[0]}\n", flush=True)
        _write(parts)
    figures = {name: value for part in PARTS for name, value in parts.get(part, {}).items()}
    is_complete = parts.keys() == PARTS.keys()
    if is_complete:  # a bound whose figure has another name now is missed
        figures |= dict.fromkeys(AT_MOST.keys() - figures.keys(), math.nan)
    table, is_met = check(figures)
    if is_complete:
        notes = "\n".join(f"- {name}: {value}" for name, value in _measured_on().items())
        replace_between_markers(_ROOT / "docs" / "scale.md", "bench-scale", f"{table}\n\n{notes}")
    sys.exit(not is_met)


def _measured_on() -> dict[str, str]:
    return environment("make bench-scale", 1, _PACKAGES)


def _write(parts: dict[str, dict[str, float]]) -> None:
    _RECORD.parent.mkdir(exist_ok=True)
    record = {"measured_on": _measured_on(), "parts": parts}
    _RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
