"""Questions for streams' counters that the media process has not answered yet."""

from __future__ import annotations

import itertools
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuview.errors import MediaError
from gpuview.protocol.media_messages import GetStats, Stats

if TYPE_CHECKING:
    from gpuview.engine.stream import StreamHandle

__all__ = ["StatsRequests"]


@dataclass(frozen=True)
class _Request:
    handle: StreamHandle
    reply: Future[Stats] = field(default_factory=Future)


class StatsRequests:
    """Asks the media process for counters. From any thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Request] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def ask(self, handle: StreamHandle, timeout_s: float) -> Stats:
        """Return a stream's counters.

        Raises:
            MediaError: They did not come in time.
        """
        number = next(self._numbers)
        request = self._pending[number] = _Request(handle)
        handle.send(GetStats(request=number))
        try:
            return request.reply.result(timeout_s)
        except TimeoutError as exc:
            raise MediaError(
                f"the media process did not answer within {timeout_s} s",
                expected="its counters",
                fix="try again; after a restart the first answer takes a second",
            ) from exc
        finally:
            self._pending.pop(number, None)

    def ask_again(self) -> None:
        """Ask the next media process what the dead one has not answered."""
        for number, request in list(self._pending.items()):
            request.handle.send(GetStats(request=number))

    def take(self, reply: Stats) -> None:
        """Take a reply; a second one to the same question is ignored."""
        request = self._pending.pop(reply.request, None)
        if request is not None:
            request.reply.set_result(reply)

    def __repr__(self) -> str:
        return f"<StatsRequests pending={len(self)}>"
