"""Retries: retransmission, attempts in parallel, and growing pauses between attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar

__all__ = ["NEXT_AFTER_S", "cancel", "first_of", "first_success", "pauses", "retransmit"]

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


async def first_success(
    tasks: Sequence[asyncio.Task[T]], timeout_s: float | None = None
) -> asyncio.Task[T] | None:
    """Return the first of ``tasks`` to end without an exception; None if all fail or time is up."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(
            pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            if task.exception() is None:
                return task
        if not done:
            break
    return None


async def first_of(attempts: Iterable[Callable[[], Coroutine[Any, Any, T]]]) -> T:
    """Start the attempts one soon after the other; return the first result, cancel the rest.

    Raises:
        Exception: All attempts failed; this is the exception of the first.
    """
    tasks: list[asyncio.Task[T]] = []
    try:
        for attempt in attempts:
            tasks.append(asyncio.create_task(attempt()))
            if (winner := await first_success(tasks, NEXT_AFTER_S)) is not None:
                return winner.result()
        return (await first_success(tasks) or tasks[0]).result()
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
