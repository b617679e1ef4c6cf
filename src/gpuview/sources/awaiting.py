"""Sources that are awaited: async functions, and async iterables of frames."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable

__all__ = ["awaiting"]


def awaiting(next_frame: Callable[[], object]) -> Callable[[], object]:
    """Return a function that returns what ``next_frame`` returns, awaited if it is awaitable.

    All awaitables of one source run on one event loop, on a thread that both end when the returned
    function is no longer referenced. It is not the kernel's loop, which stands still while a cell
    runs. StopAsyncIteration becomes StopIteration.
    """
    loop: _EventLoop | None = None

    def awaited() -> object:
        nonlocal loop
        frame = next_frame()
        if not inspect.isawaitable(frame):
            return frame
        loop = loop or _EventLoop()
        try:
            return loop.wait_for(frame)
        except StopAsyncIteration:
            raise StopIteration from None

    return awaited


class _EventLoop:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(
            target=_run, args=(self._loop,), name="gpuview-event-loop", daemon=True
        ).start()
        weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    def wait_for(self, awaitable: Awaitable[object]) -> object:
        return asyncio.run_coroutine_threadsafe(_result(awaitable), self._loop).result()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:  # at its end it cancels all tasks
        runner.get_loop().run_forever()


async def _result(awaitable: Awaitable[object]) -> object:
    return await awaitable
