"""Background tasks: kept alive until they end, with their failures logged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from gpuview.media.internal_error import log_fault

__all__ = ["BackgroundTasks"]


class BackgroundTasks:
    """The background tasks of one object. Lives on one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(
        self,
        work: Coroutine[Any, Any, None],
        on_error: Callable[[BaseException], None] | None = None,
    ) -> asyncio.Task[None]:
        """Run ``work`` in the background; the task may be cancelled.

        Args:
            work: Any exception from it is logged as a fault of gpuview.
            on_error: Called with the exception after it was logged.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

        def finished(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if task.cancelled() or (exc := task.exception()) is None:
                return
            log_fault(exc)
            if on_error is not None:
                on_error(exc)

        task.add_done_callback(finished)
        return task

    async def finish(self) -> None:
        """Wait until every task has ended by itself, those that begin meanwhile as well."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cancel(self) -> None:
        """Cancel every task, and wait until all have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
