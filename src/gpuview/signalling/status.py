"""A stream's state, and its `Status` for the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gpuview.errors import GpuviewError, MediaError
from gpuview.protocol.page_messages import LegendEntry, Status, StreamPart

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
    recording_error: GpuviewError | None = None
    """Why a recording has ended; until another one begins."""
    publish_error: GpuviewError | None = None
    """Why a publication has ended; until another one begins."""
    handler_error: GpuviewError | None = None
    """What an event handler of the user's raised last."""
    handler_hint: str = ""
    """Which handler does not return; empty if none."""
    source_hint: str = ""
    """What of the source is not shown, and why; empty if nothing."""
    publish_hint: str = ""
    """Why it is not published now; empty if it is, or is not to be."""
    picture_hint: str = ""
    """What the user may want to set, and why; empty if nothing."""
    legend: tuple[LegendEntry, ...] = ()
    sides: tuple[int, int] | None = None
    """Width and height of the picture, if they are known."""
    is_size_chosen: bool = False
    has_ended: bool = False
    """Whether the source has no more frames."""
    made_ns: int = 0
    """When the newest frame was pushed, as of the last change of the viewers."""
    caption: str = ""
    is_closed: bool = False

    @property
    def status(self) -> Status:
        width, height = self.sides or (0, 0)
        return Status(
            **self._doing,
            width=width,
            height=height,
            is_size_chosen=self.is_size_chosen,
            has_ended=self.has_ended,
            made_ms=self.made_ns / 1e6,
            caption=self.caption,
        )

    @property
    def _doing(self) -> dict[str, Any]:
        """The fields that depend on what the stream is doing."""
        if self.is_closed:
            return {"state": "closed"}
        part, error = self._error
        if error is not None:
            has_media = self.media != "failed"
            return {
                "state": "error" if has_media else "failed",
                "part": part if has_media else "",
                "problem": error.problem,
                "expected": error.expected,
                "fix": error.fix,
            }
        if self.media == "restarting":
            return {"state": "restarting"}
        if self.has_picture:
            hints = filter(None, self._hints)
            return {"state": "live", "hint": "; ".join(hints), "legend": list(self.legend)}
        return {"state": "waiting", "fix": self.waiting_hint, "hint": self.source_hint}

    @property
    def _hints(self) -> tuple[str, ...]:
        return self.handler_hint, self.publish_hint, self.source_hint, self.picture_hint

    @property
    def _error(self) -> tuple[StreamPart, GpuviewError | None]:
        """The error that matters most, and the part that it is of."""
        if self.media_error is not None:
            return "encoder", self.media_error
        if self.source_error is not None:
            return "source", self.source_error
        if self.recording_error is not None:
            return "recording", self.recording_error
        if self.publish_error is not None:
            return "publishing", self.publish_error
        if self.handler_error is not None:
            return "handler", self.handler_error
        return "", None
