"""Measure what showing a tensor costs, and write the figures down.

    python -m benchmarks.frames [--rounds 3] [--only cpu] [--out artifacts] [--from FILE]

Writes ``bench-frames.json``, or ``bench-frames-cuda.json`` where there is an NVIDIA GPU, and, after
a complete run, the tables in ``docs/benchmarks.md``. Takes about five minutes; the machine should
have nothing else to do. ``--from`` takes the figures from such a file, which another machine wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.document import replace_between_markers
from benchmarks.frames import cpu, device, training, unused
from benchmarks.frames.report import Results, Row, page, table

_ROOT = Path(__file__).parents[2]
_DOCUMENT = _ROOT / "docs" / "benchmarks.md"

# What only a borrowed machine can measure comes first, and what takes the longest comes last.
_PARTS: dict[str, dict[str, Callable[[int], Iterator[Row]]]] = {
    "cuda": {
        "Time inside `push` on the calling thread, CUDA": device.pushes,
        "Device time of a frame, CUDA": device.kernels,
        "From the device to the ring, CUDA": device.copies,
    },
    "training": {"A training loop with a tap": training.rows},
    "unwatched": {"`push` while nobody watches": cpu.unwatched},
    "unused": {"A push beside what is not used, CPU time": unused.rows},
    "cpu": {"A frame on the CPU, CPU time": cpu.conversion},
}


def main() -> None:
    """Measure, or read; print; write."""
    options = _parse()
    if options.read:
        _write_document(Results.from_json(options.read.read_text()))
        return
    results = Results.begin(options.command, options.rounds)
    for part in options.only or _PARTS:
        if part == "cuda" and not torch.cuda.is_available():
            print("CUDA: not measured: no NVIDIA GPU here\n", flush=True)
            continue
        for title, measure in _PARTS[part].items():
            results = results.with_section(title, list(measure(options.rounds)))
            print(f"{title}\n\n{table(results.sections[title])}\n", flush=True)
            _write_files(results, options.out)  # each time: a borrowed machine may go away
    if not options.only and _DOCUMENT.exists():
        _write_document(results)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=_PARTS)
    parser.add_argument("--out", type=Path, default=_ROOT / "artifacts")
    parser.add_argument("--command", default="make bench-frames", help="how it was called")
    parser.add_argument("--from", dest="read", type=Path, help="a file that a run has written")
    return parser.parse_args()


def _name(results: Results) -> str:
    has_gpu = results.measured_on["GPU"] != "none"
    return "bench-frames-cuda" if has_gpu else "bench-frames"


def _write_files(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = _name(results)
    (folder / f"{name}.json").write_text(results.to_json())
    (folder / f"{name}.md").write_text(page(results) + "\n")


def _write_document(results: Results) -> None:
    replace_between_markers(_DOCUMENT, _name(results), page(results))


if __name__ == "__main__":
    main()
