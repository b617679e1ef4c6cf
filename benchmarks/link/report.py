"""From the sessions to a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.document import markdown_table
from benchmarks.link.measure import Step

__all__ = ["Result", "line", "notes", "tables"]


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario of one contender."""

    scenario: str
    contender: str
    steps: list[Step]


_HEADS = (
    "frames shown/s",
    "p50, ms",
    "p95, ms",
    "longest gap, ms",
    "picture",
    "quantiser",
    "Mbit/s",
    "sharp after, s",
    "moving after, ms",
    "cores busy",
)


def tables(results: Sequence[Result]) -> str:
    """Return a Markdown table for each scenario."""
    found = []
    for scenario in dict.fromkeys(result.scenario for result in results):
        rows = [
            (f"{result.contender}: {_title(step, result.steps)}", _cells(step))
            for result in results
            if result.scenario == scenario
            for step in result.steps
        ]
        found.append(f"**{scenario}**\n\n{markdown_table(_HEADS, rows)}")
    return "\n\n".join(found)


def line(step: Step) -> str:
    """Return one step in a line, with what the machine had to do."""
    figures = "; ".join(f"{head} {cell}" for head, cell in zip(_HEADS, _cells(step), strict=True))
    seconds = step.ended_s - step.began_s
    cores = ", ".join(f"{name} {spent / seconds:.2f}" for name, spent in step.cpu_s.items())
    return f"{step.name}: {figures}; cores: {cores}"


def notes(measured_on: dict[str, str]) -> str:
    """Return what the figures were measured on, as a Markdown list."""
    return "\n".join(f"- {key}: {value}" for key, value in measured_on.items())


def _title(step: Step, steps: Sequence[Step]) -> str:
    is_shared = any(each.page for each in steps)
    return f"{step.name}, stream {step.page + 1}" if is_shared else step.name


def _cells(step: Step) -> list[str]:
    return [
        f"{step.shown_fps:.1f}",
        _number(step.p50_ms),
        _number(step.p95_ms),
        _number(step.longest_gap_ms),
        f"{step.height}p" if step.height else "none",
        _number(step.quantiser, 1),
        f"{step.received_bps / 1e6:.2f}",
        _number(step.sharp_after_s, 1),
        _number(step.moving_after_ms),
        _number(step.cpu_s["machine"] / (step.ended_s - step.began_s), 1),
    ]


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}f}"
