"""Retries: retransmission, attempts in parallel, and growing pauses between attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar

__all__ = ["NEXT_AFTER_S", "cancel", "first_of", "first_result", "pauses", "retransmit"]

T = TypeVar("T")

NEXT_AFTER_S = 0.3
"""How long an attempt runs alone before the next attempt starts beside it."""

_RETRANSMIT_AFTER_S = 0.5  # RFC 8489, section 6.2.1
_MAX_PAUSE_S = 30.0


async def retransmit(send: Callable[[], Awaitable[None] | None], response: asyncio.Future[T]) -> T:
    """Send every 0.5 s until ``response`` is done, and return its result. Cancels it at the end."""
    try:
        while not response.done():
            if (sending := send()) is not None:
                await sending
            await asyncio.wait({response}, timeout=_RETRANSMIT_AFTER_S)
        return response.result()
    finally:
        response.cancel()


async def first_result(
    tasks: Sequence[asyncio.Task[T | None]], timeout_s: float | None
) -> T | None:
    """Return the first result of ``tasks`` that is not None, or None after ``timeout_s``.

    Ignores the tasks' exceptions.
    """
    pending = set(tasks)
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


async def first_of(attempts: Sequence[Callable[[], Coroutine[Any, Any, T | None]]]) -> T | None:
    """Start the attempts one soon after the other; return the first result, cancel the rest.

    Raises:
        Exception: No attempt has a result; the first exception in the order of ``attempts``.
    """
    tasks: list[asyncio.Task[T | None]] = []
    try:
        for attempt in attempts:
            tasks.append(asyncio.create_task(attempt()))
            if (result := await first_result(tasks, NEXT_AFTER_S)) is not None:
                return result
        if (result := await first_result(tasks, None)) is not None:
            return result
        for task in tasks:
            task.result()
        return None
    finally:
        await cancel(tasks)


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def pauses() -> Iterator[float]:
    """Yield the seconds before each further attempt: 2, 4, 8, 16, 30, 30, ..."""
    for n in count(1):
        yield min(_MAX_PAUSE_S, 2.0**n)
