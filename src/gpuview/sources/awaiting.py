"""Sources that are awaited: async functions, and async iterables of frames."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable

from gpuview.sources.context import FrameContext

__all__ = ["Awaiting"]


class Awaiting:
    """Calls a source and awaits what it returns, if that is awaitable.

    All awaitables of a source run on one event loop, on a thread of its own: the kernel's loop
    stands still while a cell runs.

    Args:
        next_frame: Takes a frame's context, and returns the frame or an awaitable of it, which
            raises StopAsyncIteration after the last.
    """

    def __init__(self, next_frame: Callable[[FrameContext], object]) -> None:
        self._next_frame = next_frame
        self._lock = threading.Lock()  # guards the loop; never held for long
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, context: FrameContext) -> object:
        """Return the next frame.

        Raises:
            StopIteration: There is none.
            concurrent.futures.CancelledError: `close` was called.
        """
        frame = self._next_frame(context)
        if not inspect.isawaitable(frame):
            return frame
        with self._lock:
            self._loop = self._loop or _running_loop()
            result = asyncio.run_coroutine_threadsafe(_result(frame), self._loop)
        try:
            return result.result()
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Cancel what is awaited, and end the thread. Safe to call twice."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    __del__ = close


def _running_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=_run, args=(loop,), name="gpuview-event-loop", daemon=True).start()
    return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:  # at its end it cancels all tasks
        while _was_ended_by_a_task(runner.get_loop()):
            pass


def _was_ended_by_a_task(loop: asyncio.AbstractEventLoop) -> bool:
    """Run ``loop``, which ends if it is stopped, or if a task raises one of these exceptions."""
    try:
        loop.run_forever()
    except (SystemExit, KeyboardInterrupt):
        return True
    return False


async def _result(awaitable: Awaitable[object]) -> object:
    return await awaitable
