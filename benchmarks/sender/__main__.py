"""Measure what one frame costs the sending process, with one viewer and with many.

    python -m benchmarks.sender

Writes ``artifacts/bench-sender.json`` and the table in ``docs/benchmarks.md``. Takes about three
minutes; the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.document import environment, markdown_table, replace_between_markers
from benchmarks.sender.contenders import CONTENDERS
from benchmarks.sender.measure import Cost, measure

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("aiortc", "av", "numpy")
_CROWDS = {"gpuview": (1, 10, 30), "aiortc H.264": (1, 10), "aiortc VP8": (1, 10)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sender")
    parser.add_argument("--only", action="append", choices=CONTENDERS)
    only = parser.parse_args().only
    costs = []
    for contender in only or CONTENDERS:
        for viewers in _CROWDS[contender]:
            costs.append(measure(contender, viewers))
            print(costs[-1], flush=True)
    measured_on = environment("make bench-sender", 1, _PACKAGES)
    artifacts = _ROOT / "artifacts"
    artifacts.mkdir(exist_ok=True)
    record = {"measured_on": measured_on, "costs": [asdict(cost) for cost in costs]}
    (artifacts / "bench-sender.json").write_text(json.dumps(record, indent=1))
    notes = "\n".join(
        f"- {name}: {value}" for name, value in measured_on.items() if name != "rounds"
    )
    page = f"{_table(costs)}\n\n{notes}"
    print(page)
    if not only:
        replace_between_markers(_ROOT / "docs" / "benchmarks.md", "bench-sender", page)


def _table(costs: list[Cost]) -> str:
    rows = []
    for name in dict.fromkeys(cost.contender for cost in costs):
        mine = {cost.viewers: cost for cost in costs if cost.contender == name}
        most = max(mine)
        more = (mine[most].cpu_ms - mine[1].cpu_ms) / (most - 1)
        cells = [f"{mine[n].cpu_ms:.1f}" if n in mine else "" for n in (1, 10, 30)]
        rate = f"{mine[1].mbit_s:.1f}" if mine[1].mbit_s else ""
        speeds = ", ".join(f"{cost.fps:.0f}" for cost in mine.values())
        rows.append((name, [*cells, f"{more:.2f}", speeds, rate]))
    heads = ["1 viewer", "10 viewers", "30 viewers", "each further viewer", "frames/s", "Mbit/s"]
    return markdown_table(heads, rows)


if __name__ == "__main__":
    main()
