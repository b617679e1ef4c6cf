"""What a source that takes an argument is told for each frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gpuview.interaction.camera import CameraView

__all__ = ["FrameContext", "FrameContexts"]

_MAX_EVENTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameContext:
    """What a frame is made for.

    def source(context):
        width, height = context.size or (640, 360)
        return render(width, height, context.time_s)

    GPUStream(source)
    """

    number: int
    """How many frames were asked for before this one."""
    time_s: float
    """Seconds since the first frame was asked for."""
    size: tuple[int, int] | None
    """Width and height in device pixels of the largest view, both even and within what can be
    shown; None until a view has been laid out."""
    camera: CameraView | None
    """The stream's camera as it is now; None if it has none."""
    events: tuple[Mapping[str, Any], ...]
    """What people did in the views since the frame before, oldest first, as an event handler gets
    it. At most 1024: the newest."""


class HasView(Protocol):
    """A camera."""

    def at(self, time_s: float, size: tuple[int, int] | None) -> CameraView:
        """Return where the camera is at a time on ``time.monotonic``, for a picture of a size."""


class FrameContexts:
    """Makes the context of each frame. From any thread."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self.camera: HasView | None = None
        self._events: deque[Mapping[str, Any]] = deque(maxlen=_MAX_EVENTS)
        self._lock = threading.Lock()  # guards what follows
        self._number = 0
        self._began_s: float | None = None

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Keep an event for the next frame."""
        self._events.append(event)

    def next(self) -> FrameContext:
        """Return the context of a frame that is made now."""
        now_s = time.monotonic()
        with self._lock:
            if self._began_s is None:
                self._began_s = now_s
            number, self._number = self._number, self._number + 1
        camera = self.camera
        return FrameContext(
            number=number,
            time_s=now_s - self._began_s,
            size=self.size,
            camera=None if camera is None else camera.at(now_s, self.size),
            events=tuple(self._take_events()),
        )

    def _take_events(self) -> list[Mapping[str, Any]]:
        # One at a time: another thread may add some meanwhile.
        return [self._events.popleft() for _ in range(len(self._events))]
