"""A page of a kernel's stream that stays while workers come and go, across network namespaces."""

from __future__ import annotations

from typing import Self

from gpuview.protocol.page_messages import Ping
from gpuview.testing.kernel import Kernel
from tests.cluster.worker import rank_of
from tests.kernel.pages import reach
from tests.waiting import wait_until

__all__ = ["Watched"]


class Watched:
    """A page of the stream that the kernel displayed last, in a variable of the name ``stream``.

    Args:
        kernel: On any machine: the page comes by its media process's socket.
        rank: Whose pictures it shows.
    """

    def __init__(self, kernel: Kernel, rank: int) -> None:
        self._kernel = kernel
        self._rank = rank
        self._page = reach(kernel)
        self._page.watch()

    def wait_until(self, expression: str) -> None:
        """Wait until this is true in the kernel. Meanwhile the page says that it is there."""

        def is_true() -> bool:
            self._page.say(Ping(sent_ms=0.0))
            return bool(self._kernel.evaluate(f"bool({expression})"))

        wait_until(is_true, expression)

    def wait_for_ranks(self, *ranks: int) -> None:
        """Wait until exactly these are connected."""
        present = "[w.rank for w in stream.workers if w.silent_s is None]"
        self.wait_until(f"{present} == {[*ranks]}")

    def wait_for_picture(self) -> None:
        """Wait until new pictures come."""
        image = self._page.frames_after(5, timeout_s=60.0)
        assert rank_of(image) == self._rank

    def close(self) -> None:
        """Close the page."""
        self._page.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
