"""A worker's part in agreeing on knobs: takes each change at its step. See `View.sync`."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from operator import index
from statistics import median
from typing import SupportsIndex

from gpuview.errors import SettingsError
from gpuview.protocol.cluster_messages import Agreed, Change, Synced
from gpuview.protocol.interaction_messages import KnobValue

__all__ = ["KnobSync", "Schedule", "checked_step"]

logger = logging.getLogger("gpuview")

_REPORT_EVERY_S = 0.05
_WAIT_S = 1.0
"""The longest that a step waits for word of a change that was proposed for it."""
_PERIODS = 8
_SHORTEST_S = 1e-6
_MAX_STEP = 2**53 - 1


class Schedule:
    """Which changes a rank takes at which step. Pure."""

    def __init__(self) -> None:
        self.epoch = ""
        self._changes: tuple[Change, ...] = ()
        self._of_before: tuple[Change, ...] = ()
        """Final ones of earlier epochs, which other ranks may have taken already."""
        self._taken: set[int] = set()
        self._given_up: set[int] = set()

    @property
    def held(self) -> list[int]:
        """The numbers of the changes that are known here."""
        return sorted({each.number for each in self._changes})

    def replace(self, message: Agreed) -> None:
        """Take what the notebook says now in place of what it said before."""
        if message.epoch != self.epoch:
            self.epoch = message.epoch
            self._of_before += tuple(
                each for each in self._changes if each.is_final and each.number not in self._taken
            )
            self._taken.clear()
            self._given_up.clear()
        self._changes = tuple(sorted(message.changes, key=lambda each: each.number))
        self._taken &= set(self.held)
        self._given_up &= set(self.held)

    def is_in_doubt(self, step: int) -> bool:
        """Tell whether the word is missing on a change that was proposed for now or before."""
        return bool(self._doubtful(step))

    def give_up(self, step: int) -> None:
        """Stop waiting for what is still missing."""
        self._given_up |= self._doubtful(step)

    def due(self, step: int) -> list[Change]:
        """Return the changes to be taken at this step, in order; they are not returned again."""
        due = [
            each
            for each in self._changes
            if each.is_final and each.step <= step and each.number not in self._taken
        ]
        self._taken |= {each.number for each in due}
        newer = {each.name for each in due}
        before = [each for each in self._of_before if each.step <= step]
        self._of_before = tuple(
            each for each in self._of_before if each.step > step and each.name not in newer
        )
        return before + due

    def is_late(self, change: Change) -> bool:
        """Tell whether a change has become final although it was given up."""
        return change in self._changes and change.number in self._given_up

    def _doubtful(self, step: int) -> set[int]:
        proposed = (each for each in self._changes if not each.is_final and each.step <= step)
        return {each.number for each in proposed} - self._given_up


class KnobSync:
    """One view's steps. `sync` belongs to one thread, `hear` to another.

    Args:
        take: Turns a knob.
        report: Tells the notebook; never waits.
        is_connected: Whether there is one.
        on_error: Called where `take` raises; the other changes are taken, and `sync` goes on.
    """

    def __init__(
        self,
        take: Callable[[str, KnobValue], None],
        report: Callable[[Synced], None],
        is_connected: Callable[[], bool],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._take = take
        self._report = report
        self._is_connected = is_connected
        self._on_error = on_error
        self._changed = threading.Condition()  # guards the rest
        self._schedule = Schedule()
        self._step: int | None = None
        self._synced_s = 0.0
        self._periods: deque[float] = deque(maxlen=_PERIODS)
        self._reported_s = float("-inf")

    def sync(self, step: int | None = None) -> None:
        """Begin a step; see `View.sync`."""
        with self._changed:
            self._begin(step)
            if self._is_connected() and not self._is_sure():
                self._tell()  # so that the notebook withdraws what is not final yet
                self._changed.wait_for(self._is_sure, timeout=_WAIT_S)
            self._schedule.give_up(self._now)
            due = self._schedule.due(self._now)
            late = [each for each in due if self._schedule.is_late(each)]
            self._tell_now_and_then()
        for change in late:
            logger.warning(
                "word of a change came late: %s changes at step %d here, and perhaps at "
                "step %d on other ranks",
                change.name,
                self._now,
                change.step,
            )
        for change in due:
            try:
                self._take(change.name, change.value)
            except Exception as exc:  # it must not reach the job, and no other change may be lost
                self._on_error(exc)

    def hear(self, message: Agreed) -> None:
        """Learn what is agreed on; on any thread."""
        with self._changed:
            self._schedule.replace(message)
            self._changed.notify_all()
            if self._step is not None:
                self._tell()

    def abandon(self) -> None:
        """Agree with nobody in a forked child, where the parent's threads are gone."""
        self._changed = threading.Condition()
        self._is_connected = lambda: False

    def _is_sure(self) -> bool:
        return not self._schedule.is_in_doubt(self._now)

    @property
    def _now(self) -> int:
        return self._step or 0

    def _begin(self, step: int | None) -> None:
        now_s = time.monotonic()
        before = self._step
        self._step = step if step is not None else 0 if before is None else before + 1
        if before is not None and self._step > before:
            each_s = (now_s - self._synced_s) / (self._step - before)
            self._periods.append(max(each_s, _SHORTEST_S))
        self._synced_s = now_s

    def _tell_now_and_then(self) -> None:
        if self._synced_s - self._reported_s >= _REPORT_EVERY_S and self._is_connected():
            self._tell()

    def _tell(self) -> None:
        now_s = self._reported_s = time.monotonic()
        self._report(
            Synced(
                step=self._now,
                since_ms=(now_s - self._synced_s) * 1000,
                period_ms=median(self._periods) * 1000 if self._periods else None,
                epoch=self._schedule.epoch,
                held=self._schedule.held,
            )
        )


def checked_step(step: SupportsIndex) -> int:
    """Return the number of a step.

    Raises:
        SettingsError: It is not an integer from 0 on.
    """
    try:
        number = index(step)
    except TypeError:
        number = -1
    if not 0 <= number <= _MAX_STEP:
        raise SettingsError(
            f"cannot count {step = }",
            expected="a whole number from 0 on, the same on all ranks",
            fix="view.sync() counts its calls",
        )
    return number
