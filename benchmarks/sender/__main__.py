"""Measure what one frame costs the sending process, with one viewer and with many.

    python -m benchmarks.sender

Writes ``artifacts/bench-sender.json`` and the table in ``docs/benchmarks.md``. Takes about three
minutes; the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.document import environment, markdown_table, replace_between_markers
from benchmarks.sender.contenders import CONTENDERS, Contender

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("aiortc", "av", "numpy")
_CROWDS = {"gpuview": (1, 10, 30), "aiortc H.264": (1, 10), "aiortc VP8": (1, 10)}
_WARM_UP_S, _MEASURE_S = 5.0, 8.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured in some seconds."""

    contender: str
    viewers: int
    cpu_ms: float
    """CPU time of the process for each frame of the stream."""
    fps: float
    """Frames that a viewer was sent in a second."""
    mbit_s: float
    load: float


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sender")
    parser.add_argument("--only", action="append", choices=CONTENDERS)
    only = parser.parse_args().only
    costs = []
    for contender in only or CONTENDERS:
        for viewers in _CROWDS[contender]:
            costs.append(_measure(contender, viewers))
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


def _measure(name: str, viewers: int) -> Cost:
    start, codec = CONTENDERS[name]
    crowd = [sys.executable, "-m", "benchmarks.sender.crowd", str(viewers), codec]
    with (
        start() as contender,
        subprocess.Popen(
            crowd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(viewers):
            answer = contender.answer(json.loads(process.stdout.readline()))
            process.stdin.write(json.dumps(answer) + "\n")
            process.stdin.flush()
        time.sleep(_WARM_UP_S)
        before = _read(contender)
        time.sleep(_MEASURE_S)
        after = _read(contender)
        process.stdin.close()
    cpu_s, frames, kilobits, seconds = (b - a for a, b in zip(before, after, strict=True))
    frames /= viewers
    return Cost(
        name,
        viewers,
        cpu_ms=cpu_s * 1000 / frames,
        fps=frames / seconds,
        mbit_s=kilobits / 1000 / seconds,
        load=os.getloadavg()[0],
    )


def _read(contender: Contender) -> tuple[float, float, float, float]:
    """Return CPU seconds, frames, kilobits, and the time."""
    words = Path(f"/proc/{contender.pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return cpu_s, contender.frames(), contender.kilobits(), time.monotonic()


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
