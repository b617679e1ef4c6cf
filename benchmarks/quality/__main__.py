"""Measure how good the picture is on a fast link, and write the figures down.

    python -m benchmarks.quality [--out artifacts]

Writes ``bench-quality.json`` and the table in ``docs/benchmarks.md``. Takes half a minute.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from benchmarks.document import environment, markdown_table, replace_between_markers
from benchmarks.quality.contents import CONTENTS
from benchmarks.quality.measure import WAYS, Figures, measure

_ROOT = Path(__file__).parents[2]
_DOCUMENT = _ROOT / "docs" / "benchmarks.md"
_NAME = "bench-quality"
_PACKAGES = ("av", "simplejpeg", "numpy")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("--out", type=Path, default=_ROOT / "artifacts")
    out = parser.parse_args().out
    results = {content: {way: measure(content, way) for way in WAYS} for content in CONTENTS}
    measured_on = environment("make bench-quality", 1, _PACKAGES)
    page = "\n".join(
        [_table(results), "", *(f"- {key}: {measured_on[key]}" for key in measured_on)]
    )
    print(page)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{_NAME}.json").write_text(_json(results, measured_on))
    if _DOCUMENT.exists():
        replace_between_markers(_DOCUMENT, _NAME, page)


def _table(results: dict[str, dict[str, Figures]]) -> str:
    heads = [f"{way}, dB / Mbit/s / ms" for way in WAYS]
    rows = [
        (content, [_cell(figures[way]) for way in WAYS]) for content, figures in results.items()
    ]
    return markdown_table(heads, rows)


def _cell(figures: Figures) -> str:
    return f"{figures.psnr_db:.1f} / {figures.mbit_per_s:.1f} / {figures.cpu_ms:.1f}"


def _json(results: dict[str, dict[str, Figures]], measured_on: dict[str, str]) -> str:
    plain = {
        content: {way: dataclasses.asdict(figures) for way, figures in ways.items()}
        for content, ways in results.items()
    }
    return json.dumps({"measured_on": measured_on, "contents": plain}, indent=2)


if __name__ == "__main__":
    main()
