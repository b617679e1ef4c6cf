"""Waiting for something that another process brings about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_until", "wait_until_async"]

T = TypeVar("T")

_POLL_S = 0.05


def wait_until(
    ask: Callable[[], T],
    what: str,
    timeout_s: float = 120.0,
    *,
    describe: Callable[[], object] | None = None,
) -> T:
    """Ask again and again until the answer is true, and return it.

    Raises:
        TimeoutError: It did not become true. The message says ``what`` was awaited, and what
            ``describe`` returns instead.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        if time.monotonic() > deadline:
            found = describe() if describe else answer
            raise TimeoutError(f"not within {timeout_s:g} s: {what}; instead: {found!r}")
        time.sleep(_POLL_S)
    return answer


async def wait_until_async(ask: Callable[[], object], what: str) -> None:
    """Let the event loop run until the answer is true, for two minutes at most.

    Raises:
        TimeoutError: It did not become true.
    """
    deadline = time.monotonic() + 120.0
    while not ask():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within two minutes: {what}")
        await asyncio.sleep(_POLL_S)
