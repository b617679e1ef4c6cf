"""Assembles the outputs of several tapped modules into frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from gpuview.sources.due_times import next_due

__all__ = ["AT_ONCE", "FrameAssembler"]

OutputT = TypeVar("OutputT")

AT_ONCE = float("-inf")
"""A due time that has always passed."""


class FrameAssembler(Generic[OutputT]):
    """Gathers the outputs of tapped modules, by name, into frames. Pure; times in seconds.

    A frame takes each name once. It ends when it has all names, or when a name comes again at least
    a period after the frame began: then some module is no longer called, and the others are shown
    without it. The name that came first begins every frame, so that one frame is one pass through
    the model. If another name comes twice without it, that name begins the frame.

    Args:
        names: The names of all modules.
        period: The minimum time between the beginnings of two frames.
        first: The name that begins a frame, if it is known.
    """

    def __init__(self, names: Iterable[str], period: float, first: str | None = None) -> None:
        self._names = frozenset(names)
        self._period = period
        self._first = first
        self._due = AT_ONCE
        self._began = AT_ONCE
        self._outputs: dict[str, OutputT] = {}
        self._skipped: set[str] = set()

    @property
    def due(self) -> float:
        """No output is wanted before this time."""
        return AT_ONCE if self._outputs else self._due

    def restarted(self, period: float | None = None) -> FrameAssembler[OutputT]:
        """Return an assembler that is due at once and holds no output; None keeps the period."""
        return FrameAssembler(self._names, period or self._period, self._first)

    def wants(self, name: str, now: float) -> bool:
        """Tell whether the output of ``name`` is needed now. Call it once for each output."""
        if self._outputs:
            return name not in self._outputs or now >= self._began + self._period
        if now < self._due:
            return False
        if self._first in (None, name) or name in self._skipped:
            return True
        self._skipped.add(name)
        return False

    def add(self, name: str, output: OutputT, now: float) -> dict[str, OutputT] | None:
        """Add an output that was wanted; return the outputs of a frame if this ends it."""
        incomplete = None
        if name in self._outputs:
            incomplete, self._outputs = self._outputs, {}
        if not self._outputs:
            self._begin(name, now)
        self._outputs[name] = output
        if self._outputs.keys() != self._names:
            return incomplete
        complete, self._outputs = self._outputs, {}
        return complete

    def _begin(self, name: str, now: float) -> None:
        self._first = name
        self._skipped.clear()
        self._began = now
        self._due = next_due(now, now if self._due == AT_ONCE else self._due, self._period)
