"""Several attempts at one thing, side by side or one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar

__all__ = ["NEXT_AFTER_S", "cancel", "first_of", "first_result", "pauses", "retransmit"]

T = TypeVar("T")

NEXT_AFTER_S = 0.3
"""How long an attempt runs alone before the next one is started beside it."""

_RETRANSMIT_AFTER_S = 0.5  # RFC 8489, section 6.2.1
_MAX_PAUSE_S = 30.0


async def retransmit(send: Callable[[], Awaitable[None] | None], response: asyncio.Future[T]) -> T:
    """Send every 0.5 s until ``response`` is there, and return it. Cancels it at the end."""
    try:
        while not response.done():
            if (sending := send()) is not None:
                await sending
            await asyncio.wait({response}, timeout=_RETRANSMIT_AFTER_S)
        return response.result()
    finally:
        response.cancel()


async def first_result(
    tries: Sequence[asyncio.Task[T | None]], timeout_s: float | None
) -> T | None:
    """Return the first result of ``tries`` that is not None, or None after ``timeout_s``.

    Exceptions of a try are ignored.
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
    """Start each of ``works`` soon after the one before; return the first result, end the others.

    Raises:
        Exception: The first exception in the order of ``works``, where there is no result.
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
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def pauses() -> Iterator[float]:
    """Yield the seconds before each further attempt: 2, 4, 8, 16, 30, 30, ..."""
    for n in count(1):
        yield min(_MAX_PAUSE_S, 2.0**n)
