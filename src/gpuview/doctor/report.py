"""The doctor's report, as a table, as HTML and as JSON. Pure."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Literal

from gpuview.errors import GpuviewError

__all__ = ["Check", "Report"]

Mark = Literal["ok", "remark", "fail", "skipped"]

_WIDTH = 100
_MAX_NAME_CHARS = 44
_MIN_FOUND_CHARS = 24
_COLOURS = {"ok": "#2e7d32", "remark": "#b26a00", "fail": "#c62828", "skipped": "#757575"}


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    mark: Mark
    """remark: a warning, intended or unknown; skipped: the check is impossible or needless."""
    found: str
    """The finding. It contains no secret."""
    fix: str = ""
    """One action or command that fixes it; empty if nothing is wrong."""

    @staticmethod
    def failed(name: str, error: GpuviewError) -> Check:
        """Return a check that failed with ``error``."""
        return Check(name, "fail", error.problem, error.fix)


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """All checks in order. It shows itself as a table, in a terminal and in a cell."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed; remarks do not count."""
        return all(check.mark != "fail" for check in self.checks)

    @property
    def summary(self) -> str:
        """One sentence about all checks."""
        n_failed = sum(check.mark == "fail" for check in self.checks)
        if not n_failed:
            return f"None of {len(self.checks)} checks failed."
        return f"{n_failed} of {len(self.checks)} checks failed."

    def to_json(self) -> str:
        """Return the report as JSON: ``{"ok": ..., "checks": [{"name", "mark", ...}]}``."""
        checks = [dataclasses.asdict(check) for check in self.checks]
        return json.dumps({"ok": self.ok, "checks": checks}, indent=2)

    @staticmethod
    def from_json(text: str) -> Report:
        """Parse the output of `to_json`.

        Raises:
            ValueError: The text is not a report.
        """
        try:
            return Report(tuple(Check(**check) for check in json.loads(text)["checks"]))
        except (TypeError, KeyError) as exc:
            raise ValueError(f"not a report of the doctor: {exc}") from exc

    def to_text(self, width: int = _WIDTH) -> str:
        """Return the table, its lines at most ``width`` characters long if words allow it."""
        longest = max((len(check.name) for check in self.checks), default=0)
        name_chars = min(longest, _MAX_NAME_CHARS)
        lines = [line for check in self.checks for line in _rows(check, name_chars, width)]
        return "\n".join([*lines, "", self.summary])

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        rows = "".join(_html_row(check) for check in self.checks)
        return f"<table>{rows}</table><p>{escape(self.summary)}</p>"


def _rows(check: Check, name_chars: int, width: int) -> Iterator[str]:
    """Yield the mark, the name and the finding, then the fix below the finding."""
    indent = " " * (len("skipped") + 2 + name_chars + 2)
    found_chars = max(width - len(indent), _MIN_FOUND_CHARS)
    lines = _wrapped(check.found, found_chars)
    if check.fix:
        lines += _wrapped(f"try: {check.fix}", found_chars)
    mark = check.mark.upper() if check.mark == "fail" else check.mark
    head = f"{mark:<7}  {check.name:<{name_chars}}"
    if len(check.name) > name_chars:
        yield head
    else:
        yield f"{head}  {lines.pop(0)}"
    yield from (indent + line for line in lines)


def _wrapped(text: str, width: int) -> list[str]:
    # Commands and addresses are never broken, because people copy them.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _html_row(check: Check) -> str:
    fix = f"<br><b>try:</b> {escape(check.fix)}" if check.fix else ""
    mark = f'<b style="color:{_COLOURS[check.mark]}">{escape(check.mark)}</b>'
    cells = (mark, escape(check.name), escape(check.found) + fix)
    style = "text-align:left;vertical-align:top"
    return "<tr>" + "".join(f'<td style="{style}">{cell}</td>' for cell in cells) + "</tr>"
