"""Run the contenders in turn and write the figures down.

    python -m benchmarks.notebook [--rounds 3] [--only jupyter_rfb] [--ssh]

Writes ``artifacts/bench-notebook.json`` and, after a complete run, the tables in ``README.md`` and
``docs/benchmarks.md``. A round takes about 13 minutes; the machine should have nothing else to do.
With ``--ssh`` the browser is behind an ``ssh -L``, and all UDP is dropped. Ends with what is wanted
of the carriers, and with the status 1 if one of these figures is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize

from benchmarks.document import environment, replace_between_markers
from benchmarks.notebook.contenders import CONTENDERS
from benchmarks.notebook.measure import Run, Stretch, measure
from benchmarks.notebook.places import behind_ssh, same_machine
from benchmarks.notebook.report import notes, table
from benchmarks.notebook.wanted import WANTED, WANTED_BEHIND_SSH, check

_ROOT = Path(__file__).parents[2]
_VIEWPORT: ViewportSize = {"width": 1500, "height": 1100}  # 1280x720 fits into the notebook
_SIZES = ((640, 360), (1280, 720))
_PACKAGES = ("jupyter_rfb", "jupyterlab", "ipykernel", "torch", "numpy")


def main() -> int:
    """Measure, print, write; return 1 if a figure is not what is wanted of it."""
    options = _parse()
    runs: list[Run] = []
    place = behind_ssh if options.ssh else same_machine
    with tempfile.TemporaryDirectory() as folder, place(Path(folder)) as (lab, browser):
        chromium = browser.new_context(viewport=_VIEWPORT)
        for round_ in range(options.rounds):
            # The order alternates, so that neither always has the warmer machine.
            contenders = options.only or CONTENDERS[:: -1 if round_ % 2 else 1]
            for width, height in _SIZES:
                for contender in contenders:
                    runs.append(measure(lab, chromium, contender, width, height))
                    print(_line(runs[-1]), flush=True)
        command = "python -m benchmarks.notebook --ssh" if options.ssh else "make bench-notebook"
        measured_on = environment(command, options.rounds, _PACKAGES, Chromium=browser.version)
    _write(runs, measured_on, is_complete=not options.only and not options.ssh)
    comparison, is_as_wanted = check(runs, WANTED_BEHIND_SSH if options.ssh else WANTED)
    print(comparison)
    return 0 if is_as_wanted else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebook")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=CONTENDERS)
    parser.add_argument("--ssh", action="store_true")
    return parser.parse_args()


def _write(runs: list[Run], measured_on: dict[str, str], *, is_complete: bool) -> None:
    artifacts = _ROOT / "artifacts"
    artifacts.mkdir(exist_ok=True)
    record = {"measured_on": measured_on, "runs": [dataclasses.asdict(run) for run in runs]}
    (artifacts / "bench-notebook.json").write_text(json.dumps(record, indent=2))
    print(table(runs), notes(measured_on), sep="\n\n")
    if is_complete:
        replace_between_markers(_ROOT / "README.md", "bench-notebook", table(runs))
        page = f"{table(runs)}\n\n{notes(measured_on)}"
        replace_between_markers(_ROOT / "docs" / "benchmarks.md", "bench-notebook", page)


def _line(run: Run) -> str:
    stretches = f"idle {_figures(run.idle)}; busy {_figures(run.busy)}"
    name = f"{run.contender} {run.width}x{run.height}"
    first = "/".join(f"{each:.0f}" for each in run.first_pictures_ms)
    return f"{name}: first pictures {first} ms; {stretches}"


def _figures(stretch: Stretch) -> str:
    if stretch.p50_ms is None:
        return "nothing shown"
    ages = f"{stretch.p50_ms:.0f}/{stretch.p95_ms:.0f}/{stretch.p99_ms:.0f} ms"
    costs = f"{stretch.cpu_ms_per_frame:.1f} ms CPU a frame"
    touch = f"click {stretch.click_p50_ms:.0f} ms"
    if stretch.value_p50_ms is not None:
        touch += f", value {stretch.value_p50_ms:.0f} ms"
    return f"{stretch.shown_fps:.1f} fps, {ages}, {costs}, {touch}"


if __name__ == "__main__":
    sys.exit(main())
