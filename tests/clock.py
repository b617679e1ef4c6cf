"""An event loop whose time passes without waiting."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_in_virtual_time"]

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """Its clock stands still while there is work, and then jumps to the next timer."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now_s


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(None if timeout is None else 0)
        if not events and timeout is not None:
            self._loop.now_s += timeout
        return events


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` on a loop whose clock begins at 0 and counts only the time that it waits.

    The clock does not wait for threads or other processes.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
