"""What a source that takes an argument is told for each frame."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from gpuview.interaction.camera import CameraView

__all__ = ["FrameContext", "FrameContexts", "Room"]

_MAX_EVENTS = 1024
_MAX_VIEWS = 256
_MAX_PIXELS = 3840 * 2400
_MIN_RATIO, _MAX_RATIO = 0.1, 16.0


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
    """Width and height in device pixels of the room that the largest view has, both even and within
    what can be shown; None until a view has been laid out. Its ratio is the picture's, or 16 to 9
    before the first picture."""
    camera: CameraView | None
    """The stream's camera as it is now; None if it has none."""
    events: tuple[Mapping[str, Any], ...]
    """What people did in the views since the frame before, oldest first, as an event handler gets
    it: of the types that have a handler, and ``resize``. At most 1024: the newest."""


class Room(NamedTuple):
    """What the largest view has room for."""

    size: tuple[int, int]
    """As in `FrameContext`."""
    ratio: float
    """Device pixels for one CSS pixel."""


class HasView(Protocol):
    """A camera."""

    def at(self, time_s: float, size: tuple[int, int] | None) -> CameraView:
        """Return where the camera is at a time on ``time.monotonic``, for a picture of a size."""


class FrameContexts:
    """Makes the context of each frame. From any thread."""

    def __init__(self) -> None:
        self.room: Room | None = None
        """None until a view has been laid out."""
        self.camera: HasView | None = None
        self._events: deque[Mapping[str, Any]] = deque(maxlen=_MAX_EVENTS)
        self._lock = threading.Lock()  # guards what follows
        self._rooms: dict[str, Room] = {}
        self._number = 0
        self._began_s: float | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """As in `FrameContext`."""
        return None if self.room is None else self.room.size

    def take(self, event: Mapping[str, Any]) -> None:
        """Keep an event for the next frame, and a view's size for all frames."""
        if event["type"] == "resize":
            self._resize(event)
        self._events.append(event)

    def _resize(self, event: Mapping[str, Any]) -> None:
        """Keep a view's size."""
        size = _even_size(event["width"] * event["ratio"], event["height"] * event["ratio"])
        room = Room(size, min(max(event["ratio"], _MIN_RATIO), _MAX_RATIO))
        with self._lock:
            if len(self._rooms) < _MAX_VIEWS or event["view"] in self._rooms:
                self._rooms[event["view"]] = room
            self._choose_room()

    def keep_views(self, views: Collection[str]) -> None:
        """Forget the sizes of the views that have gone. The last one's stays in force."""
        with self._lock:
            self._rooms = {view: room for view, room in self._rooms.items() if view in views}
            self._choose_room()

    def _choose_room(self) -> None:
        if self._rooms:
            self.room = max(self._rooms.values(), key=lambda room: math.prod(room.size))

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


def _even_size(width: float, height: float) -> tuple[int, int]:
    """Return the nearest even size, shrunk if it is larger than can be shown."""
    if width * height > _MAX_PIXELS:
        scale = math.sqrt(_MAX_PIXELS / (width * height))
        return max(2, 2 * int(width * scale / 2)), max(2, 2 * int(height * scale / 2))
    # Not the next smaller: a picture's height would shrink each time that it is asked for again.
    return max(2, 2 * round(width / 2)), max(2, 2 * round(height / 2))
