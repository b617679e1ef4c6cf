"""Modules whose inputs are all optional: a call without one shows whether they need it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from gpuview.frames.error_reporter import explain, is_interrupt
from gpuview.sources.parse import ParsedSource

if TYPE_CHECKING:
    from gpuview.sources.source import Source

__all__ = ["ProbedSource"]


class ProbedSource:
    """A source with undecided modules, which are tapped at first.

    When somebody watches for the first time, each of them is called once without an input, on a
    thread of its own. Those that do not raise are polled from then on.

    Args:
        parsed: Has undecided modules.
        start: Starts a source without any.
        on_waiting: Called with the user's next step once the modules have been called.
    """

    def __init__(
        self,
        parsed: ParsedSource,
        start: Callable[[ParsedSource], Source],
        on_waiting: Callable[[str], None],
    ) -> None:
        self._parsed = parsed
        self._start = start
        self._on_waiting = on_waiting
        self._source = start(parsed.decided(()))
        self._probing = threading.Lock()  # held while the modules are called
        self._is_probed = False
        self._lock = threading.Lock()  # guards what follows; never held for long
        self._is_watched = False
        self._fps: float | None = None  # as set since the start
        self._is_closed = False

    @property
    def source_ms(self) -> float | None:
        return self._source.source_ms

    def watch(self, is_watched: bool) -> None:
        with self._lock:
            self._is_watched = is_watched
            self._source.watch(is_watched)
        if is_watched and not self._is_probed:
            threading.Thread(target=self._probe, name="gpuview-probe", daemon=True).start()

    def wake(self) -> bool:
        return self._source.wake()

    def go_on(self) -> None:
        self._source.go_on()

    def set_fps(self, fps: float) -> None:
        with self._lock:
            self._fps = fps
            self._source.set_fps(fps)

    def abandon(self) -> None:
        self._source.abandon()

    def ensure_frame(self) -> None:
        self._probe()
        self._source.ensure_frame()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
        self._source.close()

    def __repr__(self) -> str:
        return repr(self._source)

    def _probe(self) -> None:
        with self._probing:
            if self._is_probed:
                return
            errors = {name: _error_of(module) for name, module in self._parsed.undecided.items()}
            self._is_probed = True
            parsed = self._parsed.decided([name for name, error in errors.items() if not error])
            if not all(errors.values()):
                self._replace_source(parsed)
        if parsed.waiting_hint:
            # It may have raised for another reason, so its words are shown.
            raised = "; ".join(filter(None, errors.values()))
            self._on_waiting(f"{parsed.waiting_hint} (without an input, {raised})")

    def _replace_source(self, parsed: ParsedSource) -> None:
        self._source.close()  # first: both poll the same iterables
        source = self._start(parsed)
        with self._lock:
            self._source = source
            if self._fps is not None:
                source.set_fps(self._fps)
            is_closed = self._is_closed
            source.watch(self._is_watched and not is_closed)
        if is_closed:
            source.close()


def _error_of(module: nn.Module) -> str:
    """Return what ``module`` raises without an input; empty if nothing."""
    # Its forward: neither the user's hooks nor torch.compile should see this call.
    forward = getattr(module, "_orig_mod", module).forward
    try:
        with torch.no_grad():
            forward()
    except BaseException as exc:
        if is_interrupt(exc):
            raise
        return explain(exc, "it").problem
    return ""
