"""A fake stream: it keeps the frames of a source, and what is reported about the source."""

import queue

from gpuview.frames.error_reporter import ErrorReporter

__all__ = ["TIMEOUT_S", "Recorder"]

TIMEOUT_S = 30


class Recorder:
    """Takes the frames and the errors of one source."""

    def __init__(self) -> None:
        self.frames: queue.Queue[object] = queue.Queue()
        self.reports: queue.Queue[object] = queue.Queue()
        """Errors, and "recovered"."""
        self.errors = ErrorReporter(self.keep, lambda: self.keep("recovered"))

    def keep(self, report: object) -> None:
        self.reports.put(report)

    def frame(self) -> object:
        return self.frames.get(timeout=TIMEOUT_S)

    def report(self) -> object:
        return self.reports.get(timeout=TIMEOUT_S)
