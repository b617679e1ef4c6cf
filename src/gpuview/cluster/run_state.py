"""Pure: what a stream of another machine tells its pages, by what is known of the run's workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpuview.protocol.cluster_messages import Worker
from gpuview.protocol.page_messages import Problem, Status
from gpuview.signalling.status import StreamState

__all__ = ["GridState", "RunState", "WorkersState"]

_MOST_LISTED = 8


@dataclass(frozen=True)
class WorkersState(StreamState):
    """Everything that the `Status` of such a stream depends on."""

    run: str = ""
    rank: int | None = None
    """Whose frames are shown; None: those of a grid."""
    ranks: tuple[int, ...] = ()
    """Those of the grid, in order; none: of all that join."""
    workers: tuple[Worker, ...] = ()
    refusal: Problem | None = None
    """Why the last worker that tried was not let in."""

    @property
    def shown(self) -> str:
        """What is shown, in words."""
        raise NotImplementedError

    @property
    def _has_own_trouble(self) -> bool:
        return self.is_closed or self._error[1] is not None or self.media == "restarting"

    def _said(self, *others: str) -> str:
        """Return a hint: why a worker was refused, and what else there is to say."""
        refused = self.refusal
        refusal = (
            f"a worker was refused: {refused.problem}; expected: {refused.expected}; "
            f"try: {refused.fix}"
            if refused is not None
            else ""
        )
        parts = (refusal, *others, self.publish_hint, self.picture_hint)
        return "; ".join(filter(None, parts))


@dataclass(frozen=True)
class RunState(WorkersState):
    """That of a stream that shows one rank."""

    rank: int = 0
    silent_since: str = ""
    """The time of day at which the shown worker said something last; empty while it is there."""

    @property
    def shown(self) -> str:
        return f"rank {self.rank}"

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
        worker, theirs = self.worker, self._theirs
        if self._has_own_trouble:
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
        silence = f"{self._who} has been silent since {self.silent_since}"
        return "; ".join(filter(None, (silence * bool(self.silent_since), self._said(*others))))

    @property
    def _who(self) -> str:
        worker = self.worker
        return f"rank {self.rank}" + ("" if worker is None else f" on {worker.host}")


@dataclass(frozen=True)
class GridState(WorkersState):
    """That of a stream that shows several ranks. Each tile says itself what is wrong with it."""

    @property
    def shown(self) -> str:
        return _named(self.ranks) if self.ranks else "all ranks"

    @property
    def _doing(self) -> dict[str, Any]:
        if self._has_own_trouble:
            return super()._doing
        joined = [each for each in self.workers if not self.ranks or each.rank in self.ranks]
        if any(each.status is not None and each.status.state == "live" for each in joined):
            is_alone = all(each.silent_s is not None for each in joined)
            waits_for = f"{self.shown} of {self.run}" if is_alone else ""
            return {"state": "live", "waits_for": waits_for, "hint": self._said()}
        if joined:
            waits_for = f"the first frame of {_named([each.rank for each in joined])}"
            return {"state": "waiting", "waits_for": waits_for, "hint": self._said()}
        return {
            "state": "waiting",
            "waits_for": f"{self.shown} of {self.run}" if self.ranks else f"workers of {self.run}",
            "fix": self.waiting_hint,
            "hint": self._said(_listed(self.workers)),
        }


def _named(ranks: Sequence[int]) -> str:
    """As in "rank 3" or "ranks 0, 3, 5"."""
    more = ", ..." if len(ranks) > _MOST_LISTED else ""
    word = "rank" if len(ranks) == 1 else "ranks"
    return f"{word} {', '.join(map(str, ranks[:_MOST_LISTED]))}{more}"


def _listed(workers: Sequence[Worker]) -> str:
    """Say which workers are there, none of which is shown."""
    there = sorted((each.rank, each.host) for each in workers if each.silent_s is None)
    if not there:
        return ""
    hosts = ", ".join(sorted({host for _, host in there})[:_MOST_LISTED])
    verb = "is" if len(there) == 1 else "are"
    return f"{_named([rank for rank, _ in there])} on {hosts} {verb} there"
