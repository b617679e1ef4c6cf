"""What has become of a stream's frames, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from gpuview.frames.pushed_frame import PushedFrame
from gpuview.frames.sink import WriteStats

__all__ = ["READ", "UNWATCHED", "FeedCounters", "FeedStats"]

READ = "read"
UNWATCHED = "unwatched"


@dataclass(frozen=True, slots=True)
class FeedStats:
    """A snapshot of a feed's counters."""

    n_pushed: int
    n_read: int
    n_redrawn: int
    """How often a frame was written to the ring again, with another look or for a new viewer."""
    n_dropped: dict[str, int]
    """Frames that were pushed and not read, by reason: unwatched, superseded, failed, or a reason
    passed to `Feed.drop`. A frame that is being read now may be in neither count."""
    writes: WriteStats

    def n_shown(self, n_taken: int) -> int:
        """Return how many frames were encoded, each once.

        Args:
            n_taken: How many frames the media process took from the ring.
        """
        return max(0, n_taken - self.n_redrawn)

    def n_dropped_with(self, n_taken: int) -> dict[str, int]:
        """Return `n_dropped`, including the frames that were superseded in the ring."""
        n_lost = max(0, self.n_read - self.n_shown(n_taken))
        n_superseded = self.n_dropped.get("superseded", 0) + n_lost
        return self.n_dropped | ({"superseded": n_superseded} if n_superseded else {})


class FeedCounters:
    """Counts each frame once, by what became of it at last. Not thread-safe."""

    def __init__(self) -> None:
        self.n_pushed = 0
        self.n_redrawn = 0
        self._fates = dict.fromkeys((READ, UNWATCHED, "superseded", "failed"), 0)

    @property
    def n_read(self) -> int:
        return self._fates[READ]

    def count(self, pushed: PushedFrame, fate: str) -> None:
        """Count what became of a frame; this takes the place of what was counted before."""
        if pushed.fate == READ:  # it has been shown before, which is what counts
            self.n_redrawn += fate == READ
            return
        if pushed.fate is not None:
            self._fates[pushed.fate] -= 1
        self._fates[fate] += 1
        pushed.fate = fate

    def drop(self, reason: str) -> None:
        """Count a frame that could not be pushed."""
        self.n_pushed += 1
        self._fates[reason] = self._fates.get(reason, 0) + 1

    def stats(self, writes: WriteStats) -> FeedStats:
        """Return the counters; ``writes`` is the writer's part."""
        fates = sorted(self._fates.items())
        n_dropped = {reason: count for reason, count in fates if count and reason != READ}
        return FeedStats(self.n_pushed, self.n_read, self.n_redrawn, n_dropped, writes)
