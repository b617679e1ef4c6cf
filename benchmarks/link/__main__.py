"""Run scenarios with each contender in turn and write the figures down.

    python -m benchmarks.link [--only gpuview] [SCENARIO...]

Writes ``artifacts/bench-link.json`` and, after a complete run, the tables in
``docs/benchmarks.md``. Takes about 20 minutes; the machine should have nothing else to do. Only
root can build the laboratory. Ends with what is wanted of gpuview, and with the status 1 if one of
these figures is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.document import environment, replace_between_markers
from benchmarks.link.contenders import CONTENDERS
from benchmarks.link.laboratory import VIEWER, Laboratory
from benchmarks.link.measure import Session
from benchmarks.link.report import Result, line, notes, tables
from benchmarks.link.scenarios import SCENARIOS
from benchmarks.link.wanted import check

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("aiortc", "av", "numpy")
_WARM_UP_S = 6.0


def main() -> int:
    """Measure, print, write; return 1 if a figure is not what is wanted of it."""
    options = _parse()
    scenarios = options.scenarios or list(SCENARIOS)
    record: list[dict[str, Any]] = []
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, Laboratory(Path(folder)) as laboratory:
        for scenario in scenarios:
            for contender in options.only or CONTENDERS:
                session = _run(laboratory, scenario, contender)
                results.append(Result(scenario, contender, session.steps))
                record.append(_record(scenario, contender, session))
        version = laboratory.browser(VIEWER).version
    measured_on = environment("make bench-link", 1, _PACKAGES, Chromium=version)
    _write(results, record, measured_on, is_complete=not options.only and not options.scenarios)
    comparison, is_as_wanted = check(results)
    print(f"\n{comparison}")
    return 0 if is_as_wanted else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.link")
    parser.add_argument("--only", action="append", choices=CONTENDERS)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(SCENARIOS)}")
    return options


def _run(laboratory: Laboratory, name: str, contender: str) -> Session:
    scenario = SCENARIOS[name]
    begin = CONTENDERS[contender]
    shown = (scenario.viewers, scenario.width, scenario.height)
    with begin(laboratory, scenario.route, *shown) as sender:
        time.sleep(_WARM_UP_S)
        with Session(laboratory, sender) as session:
            scenario.play(session)
    print(f"\n{name}, {contender}, load {os.getloadavg()[0]:.1f}")
    for step in session.steps:
        print(line(step), flush=True)
    return session


def _record(scenario: str, contender: str, session: Session) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "contender": contender,
        "load": os.getloadavg()[0],
        "steps": [asdict(step) for step in session.steps],
        "series": session.series,
        "pages": session.pages,
    }


def _write(
    results: list[Result],
    record: list[dict[str, Any]],
    measured_on: dict[str, str],
    *,
    is_complete: bool,
) -> None:
    artifacts = _ROOT / "artifacts"
    artifacts.mkdir(exist_ok=True)
    whole = {"measured_on": measured_on, "sessions": record}
    (artifacts / "bench-link.json").write_text(json.dumps(whole))
    print(f"\n{tables(results)}\n\n{notes(measured_on)}")
    if is_complete:
        page = f"{tables(results)}\n\n{notes(measured_on)}"
        replace_between_markers(_ROOT / "docs" / "benchmarks.md", "bench-link", page)


if __name__ == "__main__":
    sys.exit(main())
