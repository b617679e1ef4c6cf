"""Trying several ways to one end, and trying again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar

__all__ = ["NEXT_AFTER_S", "cancel", "first_of", "first_result", "pauses"]

T = TypeVar("T")

NEXT_AFTER_S = 0.3
"""How long a try has to itself before the next one is begun beside it."""

_MAX_PAUSE_S = 30.0


async def first_result(
    tries: Sequence[asyncio.Task[T | None]], timeout_s: float | None
) -> T | None:
    """Return the first result of ``tries`` that is not None; None if there is none in time.

    A try that raises has no result.
    """
    pending = set(tries)
    while pending:
        done, pending = await asyncio.wait(
            pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            if task.exception() is None and (result := task.result()) is not None:
                return result
        if not done:
            break
    return None


async def first_of(works: Sequence[Callable[[], Coroutine[Any, Any, T | None]]]) -> T | None:
    """Begin each of ``works`` soon after the one before; return the first result, end the others.

    Raises:
        Exception: What the first of them has raised that has, where there is no result.
    """
    tries: list[asyncio.Task[T | None]] = []
    try:
        for work in works:
            tries.append(asyncio.create_task(work()))
            if (result := await first_result(tries, NEXT_AFTER_S)) is not None:
                return result
        if (result := await first_result(tries, None)) is not None:
            return result
        for task in tries:
            task.result()
        return None
    finally:
        await cancel(tries)


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def pauses() -> Iterator[float]:
    """Yield the seconds before each try after the first: 2, 4, 8, 16, 30, 30, ..."""
    for n in count(1):
        yield min(_MAX_PAUSE_S, 2.0**n)
