"""The current hint and legend of a stream: measured seldom, reported when they change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from gpuview.frames.picture.legend import Meaning
from gpuview.frames.picture.look import Look

__all__ = ["Found", "HintReporter"]

_PERIOD_NS = 1_000_000_000
_LEGEND_PERIOD_NS = 100_000_000
_READING_NS = 20_000_000_000
_MAX_BURST = 20


class Found(NamedTuple):
    """What there is to say about the values of a frame."""

    hint: str = ""
    legend: tuple[Meaning, ...] = ()


class HintReporter:
    """Decides which frames are measured, and reports each change. From any thread.

    Measuring takes a part of a frame's time, so it is done once a second; at once for a new look,
    and for every frame while there is a hint, so that it is gone when it no longer holds.

    Frames whose legend depends on their values are measured ten times a second, and up to 20 that
    come at once: the last of some frames that a cell or a slider pushes is to have its own numbers.
    After a faster source has ended, they may be those of a frame up to 0.1 s older.

    Args:
        on_hint: Called with the hint, or an empty string, in the reporting thread.
        on_legend: Called with the legend, perhaps empty, in the reporting thread.
    """

    def __init__(
        self,
        on_hint: Callable[[str], None],
        on_legend: Callable[[tuple[Meaning, ...]], None] = lambda _: None,
    ) -> None:
        self._on_hint = on_hint
        self._on_legend = on_legend
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._measured_ns = 0
        self._found_ns = 0
        self._is_waiting = False
        self._pending: tuple[Callable[[], Found], Look, int] | None = None
        self._reading = ""  # the hint that is reported
        self._newest_reading = ""
        self._newest_since_ns = 0
        self._range = ""
        self._legend: tuple[Meaning, ...] = ()
        self._allowance = 0.0  # the frames with a legend that may be measured now
        self._allowed_ns = 0

    def admit(self, look: Look, now_ns: int, *, has_legend: bool = False) -> bool:
        """Decide whether the frame pushed at ``now_ns`` is measured.

        One whose legend depends on its values uses up some of the allowance for such frames.
        """
        if has_legend and self._take_allowance(now_ns):
            return True
        if self._is_waiting:
            return False
        is_same_look = look is self._look or look == self._look
        if not is_same_look or self._range:
            return True
        return not has_legend and now_ns - self._measured_ns >= _PERIOD_NS

    def report_reading(self, hint: str, now_ns: int) -> None:
        """Report how the newest frame was read, if that needs a hint.

        A hint that stands for 20 s has been seen, and the next frame takes it away: the reading may
        be the one that was meant.
        """
        if hint != self._newest_reading:
            self._newest_reading, self._newest_since_ns = hint, now_ns
        reported = hint if now_ns - self._newest_since_ns < _READING_NS else ""
        if reported != self._reading:
            self._reading = reported
            self._tell()

    def report_found(self, found: Found, look: Look, now_ns: int) -> None:
        """Report what was found in a frame that was due.

        The words of the hint change at most once a second: the values may be others in each frame.
        """
        with self._lock:
            if now_ns < self._found_ns:
                return  # a newer frame is on another device
            is_recent = look == self._look and now_ns - self._measured_ns < _PERIOD_NS
            has_changed = False
            if not (found.hint and self._range and is_recent):
                has_changed = found.hint != self._range
                self._look, self._measured_ns, self._range = look, now_ns, found.hint
        if has_changed:
            self._tell()
        self.report_legend(found.legend, now_ns)

    def report_legend(self, legend: tuple[Meaning, ...], now_ns: int) -> None:
        """Report the legend of the frame pushed at ``now_ns``."""
        with self._lock:
            if now_ns < self._found_ns:
                return
            self._found_ns = now_ns
            before, self._legend = self._legend, legend
        if legend != before:
            self._on_legend(legend)

    def report_later(self, find: Callable[[], Found], look: Look, now_ns: int) -> None:
        """Call ``find``, which waits for a device, on a thread, and report its result.

        In the meantime no frame without a legend is due. Of those with one, the newest is reported.
        """
        with self._lock:
            self._pending = (find, look, now_ns)
            if self._is_waiting:
                return
            self._is_waiting = True
        try:
            threading.Thread(target=self._wait, name="gpuview-hint", daemon=True).start()
        except RuntimeError:  # no thread can be started now
            self._is_waiting = False

    def renew_lock(self) -> None:
        """Make a new lock in a forked child: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()
        self._is_waiting = False

    def _take_allowance(self, now_ns: int) -> bool:
        new = (now_ns - self._allowed_ns) / _LEGEND_PERIOD_NS
        self._allowance, self._allowed_ns = min(_MAX_BURST, self._allowance + new), now_ns
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _wait(self) -> None:
        while (pending := self._next()) is not None:
            find, look, now_ns = pending
            with suppress(RuntimeError):  # the device has failed, which the next frame says
                self.report_found(find(), look, now_ns)

    def _next(self) -> tuple[Callable[[], Found], Look, int] | None:
        with self._lock:
            pending, self._pending = self._pending, None
            self._is_waiting = pending is not None
            return pending

    def _tell(self) -> None:
        self._on_hint("; ".join(filter(None, (self._reading, self._range))))
