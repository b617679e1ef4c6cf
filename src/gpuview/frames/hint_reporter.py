"""The current hint of a stream: measured seldom, told when it changes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gpuview.frames.picture.look import Look

__all__ = ["HintReporter"]

_PERIOD_NS = 1_000_000_000


class HintReporter:
    """Decides which frames are measured, and reports each change of the hint. From any thread.

    Measuring takes a part of a frame's time, so it is done once a second; at once for a new look,
    and for every frame while there is a hint, so that it is gone when it no longer holds.

    Args:
        on_hint: Called with the hint, or an empty string, in the reporting thread.
    """

    def __init__(self, on_hint: Callable[[str], None]) -> None:
        self._on_hint = on_hint
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._measured_ns = 0
        self._is_measuring = False
        self._reading = ""
        self._range = ""

    def is_due(self, look: Look, now_ns: int) -> bool:
        """Tell whether to measure the values of the frame pushed at ``now_ns``."""
        if self._is_measuring:
            return False
        is_same_look = look is self._look or look == self._look
        return not is_same_look or bool(self._range) or now_ns - self._measured_ns >= _PERIOD_NS

    def report_reading(self, hint: str) -> None:
        """Report how the newest frame was read, if that needs a hint."""
        if hint != self._reading:
            self._reading = hint
            self._tell()

    def report_range(self, hint: str, look: Look, now_ns: int) -> None:
        """Report the hint about the values of a frame that was due.

        Its words change at most once a second: the values may be others in each frame.
        """
        with self._lock:
            is_recent = look == self._look and now_ns - self._measured_ns < _PERIOD_NS
            if hint and self._range and is_recent:
                return
            has_changed = hint != self._range
            self._look, self._measured_ns, self._range = look, now_ns, hint
        if has_changed:
            self._tell()

    def report_range_later(self, find_hint: Callable[[], str], look: Look, now_ns: int) -> None:
        """Call ``find_hint``, which waits for a device, on a thread, and report its result.

        No frame is due in the meantime.
        """

        def wait() -> None:
            try:
                self.report_range(find_hint(), look, now_ns)
            except RuntimeError:
                pass  # the device has failed, which the next frame says
            finally:
                self._is_measuring = False

        self._is_measuring = True
        try:
            threading.Thread(target=wait, name="gpuview-hint", daemon=True).start()
        except RuntimeError:  # no thread can be started now
            self._is_measuring = False

    def renew_lock(self) -> None:
        """Make a new lock in a forked child: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()
        self._is_measuring = False

    def _tell(self) -> None:
        self._on_hint("; ".join(filter(None, (self._reading, self._range))))
