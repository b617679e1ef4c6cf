"""What one frame costs a process that sends, with so many viewers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import cpu_s
from benchmarks.sender.contenders import CONTENDERS, Contender

__all__ = ["Cost", "measure"]

_ROOT = Path(__file__).parents[2]
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


def measure(name: str, viewers: int) -> Cost:
    """Show the texture to so many viewers, for 13 s and the time that they need to connect."""
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
    used_s, frames, kilobits, seconds = (b - a for a, b in zip(before, after, strict=True))
    frames /= viewers
    return Cost(
        name,
        viewers,
        cpu_ms=used_s * 1000 / frames,
        fps=frames / seconds,
        mbit_s=kilobits / 1000 / seconds,
        load=os.getloadavg()[0],
    )


def _read(contender: Contender) -> tuple[float, float, float, float]:
    """Return CPU seconds, frames, kilobits, and the time."""
    return cpu_s(contender.pid), contender.frames(), contender.kilobits(), time.monotonic()
