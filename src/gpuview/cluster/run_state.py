"""Pure: what a stream of another machine tells its pages, by what is known of the run's workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpuview.protocol.cluster_messages import Worker
from gpuview.protocol.page_messages import Problem, Status
from gpuview.signalling.status import StreamState

__all__ = ["RunState"]

_MOST_LISTED = 8


@dataclass(frozen=True)
class RunState(StreamState):
    """Everything that the `Status` of such a stream depends on."""

    run: str = ""
    rank: int = 0
    """Whose frames are shown."""
    workers: tuple[Worker, ...] = ()
    silent_since: str = ""
    """The time of day at which the shown worker said something last; empty while it is there."""
    refusal: Problem | None = None
    """Why the last worker that tried was not let in."""

    @property
    def worker(self) -> Worker | None:
        """The one whose frames are shown, if it has joined."""
        return next((each for each in self.workers if each.rank == self.rank), None)

    @property
    def status(self) -> Status:
        theirs = self._theirs
        if theirs is None:
            return super().status
        return Status(
            **self._doing,
            width=theirs.width,
            height=theirs.height,
            is_size_chosen=theirs.is_size_chosen,
            has_ended=theirs.has_ended,
            caption=self.caption or theirs.caption,
            made_ms=theirs.made_ms,
        )

    @property
    def _theirs(self) -> Status | None:
        """What the shown worker's stream is doing, as it has told last."""
        worker = self.worker
        return None if worker is None else worker.status

    @property
    def _doing(self) -> dict[str, Any]:
        has_own_trouble = self._error[1] is not None or self.media == "restarting"
        worker, theirs = self.worker, self._theirs
        if self.is_closed or has_own_trouble:
            return super()._doing
        if worker is None or (self.silent_since and theirs is None):
            return {
                "state": "waiting",
                "waits_for": f"rank {self.rank} of {self.run}",
                "fix": self.waiting_hint,
                "hint": self._hint(_listed(self.workers)),
            }
        who = f"rank {self.rank} on {worker.host}"
        if theirs is None:  # it has just joined
            return {"state": "waiting", "waits_for": f"the first frame of {who}"}
        match theirs.state:
            case "error":
                return {
                    "state": "error",
                    "part": theirs.part,
                    "problem": f"{who}: {theirs.problem}",
                    "expected": theirs.expected,
                    "fix": theirs.fix,
                    "hint": self._hint(),
                }
            case "live":
                return {
                    "state": "live",
                    "waits_for": who if self.silent_since else "",
                    "hint": self._hint(theirs.hint),
                    "legend": theirs.legend,
                }
            case "waiting":
                return {
                    "state": "waiting",
                    "waits_for": f"the first frame of {who}",
                    "fix": theirs.fix,
                    "hint": self._hint(theirs.hint),
                }
            case "closed":
                return {
                    "state": "waiting",
                    "waits_for": f"{who}, which has closed its view",
                    "fix": f'gpuview.publish("{self.run}")',
                    "hint": self._hint(),
                }
            case _:  # restarting, or failed for now
                hint = f"{who}: {theirs.problem or 'its media process starts again'}"
                return {"state": "live", "hint": self._hint(hint)}

    def _hint(self, *others: str) -> str:
        refused = self.refusal
        parts = (
            f"{self._who} has been silent since {self.silent_since}" if self.silent_since else "",
            f"a worker was refused: {refused.problem}; expected: {refused.expected}; "
            f"try: {refused.fix}"
            if refused is not None
            else "",
            *others,
            self.publish_hint,
            self.picture_hint,
        )
        return "; ".join(filter(None, parts))

    @property
    def _who(self) -> str:
        worker = self.worker
        return f"rank {self.rank}" + ("" if worker is None else f" on {worker.host}")


def _listed(workers: Sequence[Worker]) -> str:
    """Say which workers are there, none of which is shown."""
    there = sorted((each.rank, each.host) for each in workers if each.silent_s is None)
    if not there:
        return ""
    ranks = ", ".join(str(rank) for rank, _ in there[:_MOST_LISTED])
    more = ", ..." if len(there) > _MOST_LISTED else ""
    hosts = ", ".join(sorted({host for _, host in there})[:_MOST_LISTED])
    word = "rank" if len(there) == 1 else "ranks"
    verb = "is" if len(there) == 1 else "are"
    return f"{word} {ranks}{more} on {hosts} {verb} there"
