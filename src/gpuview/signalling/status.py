"""A stream's state, and its `Status` for the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpuview.errors import GpuviewError, MediaError
from gpuview.protocol.messages import Status

__all__ = ["StreamState"]


@dataclass(frozen=True, slots=True)
class StreamState:
    """Everything that a stream's `Status` depends on."""

    waiting_hint: str
    """What the user must do for a first frame; empty if nothing."""
    has_picture: bool = False
    media: Literal["running", "restarting", "failed"] = "running"
    media_error: MediaError | None = None
    """Why no media process runs, or why it cannot encode."""
    source_error: GpuviewError | None = None
    source_hint: str = ""
    """What of the source is not shown, and why; empty if nothing."""
    picture_hint: str = ""
    """What the user may want to set, and why; empty if nothing."""
    is_closed: bool = False

    @property
    def status(self) -> Status:
        if self.is_closed:
            return Status(state="closed")
        error = self.media_error or self.source_error
        if error is not None:
            return Status(
                state="failed" if self.media == "failed" else "error",
                problem=error.problem,
                expected=error.expected,
                fix=error.fix,
            )
        if self.media == "restarting":
            return Status(state="restarting")
        if self.has_picture:
            hints = filter(None, (self.source_hint, self.picture_hint))
            return Status(state="live", hint="; ".join(hints))
        return Status(state="waiting", fix=self.waiting_hint, hint=self.source_hint)
