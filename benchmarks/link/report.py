"""From the sessions to a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.document import markdown_table
from benchmarks.link.measure import Step

__all__ = ["COLUMNS", "Result", "line", "notes", "tables", "title"]


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario of one contender."""

    scenario: str
    contender: str
    steps: list[Step]


COLUMNS: tuple[tuple[str, str, Callable[[Step], float | None]], ...] = (
    ("frames shown/s", "{:.1f}", lambda step: step.shown_fps),
    ("p50, ms", "{:.0f}", lambda step: step.p50_ms),
    ("p95, ms", "{:.0f}", lambda step: step.p95_ms),
    ("longest gap, ms", "{:.0f}", lambda step: step.longest_gap_ms),
    ("picture", "{}p", lambda step: step.height or None),
    ("quantiser", "{:.1f}", lambda step: step.quantiser),
    ("Mbit/s", "{:.2f}", lambda step: step.received_bps / 1e6),
    ("sharp after, s", "{:.1f}", lambda step: step.sharp_after_s),
    ("moving after, ms", "{:.0f}", lambda step: step.moving_after_ms),
    ("cores busy", "{:.1f}", lambda step: step.cpu_s["machine"] / (step.ended_s - step.began_s)),
)
"""Title, template, and how to read it from a step."""

_HEADS = [head for head, *_ in COLUMNS]


def tables(results: Sequence[Result]) -> str:
    """Return a Markdown table for each scenario."""
    found = []
    for scenario in dict.fromkeys(result.scenario for result in results):
        rows = [
            (f"{result.contender}: {title(step)}", _cells(step))
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
    return f"{title(step)}: {figures}; cores: {cores}"


def notes(measured_on: dict[str, str]) -> str:
    """Return what the figures were measured on, as a Markdown list."""
    return "\n".join(f"- {key}: {value}" for key, value in measured_on.items())


def title(step: Step) -> str:
    """Return the step's name, with its viewer's where there are several."""
    return f"{step.name}, {step.viewer}" if step.viewer else step.name


def _cells(step: Step) -> list[str]:
    found = ((template, read(step)) for _, template, read in COLUMNS)
    return ["" if value is None else template.format(value) for template, value in found]
