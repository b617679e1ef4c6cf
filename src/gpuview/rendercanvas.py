"""A backend of rendercanvas, for pygfx, fastplotlib and whatever else draws with it.

    from gpuview.rendercanvas import RenderCanvas

    canvas = RenderCanvas(size=(640, 360))
    renderer = pygfx.renderers.WgpuRenderer(canvas)

Note [threads]. A canvas belongs to the thread of its loop, which in a notebook is the kernel's: it
draws there, and calls event handlers there, between two cells. What views say arrives on other
threads, and waits until the loop asks for it, about 10 times a second or before each frame.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from gpuview.errors import FrameError, StreamClosedError
from gpuview.interaction.events import merged
from gpuview.protocol.interaction_messages import EVENT_TYPES
from gpuview.sources.context import Room
from gpuview.widget import GPUStream

try:
    import rendercanvas
    from rendercanvas.asyncio import loop
    from rendercanvas.base import BaseCanvasGroup, BaseRenderCanvas
    from rendercanvas.core.events import EventEmitter
except ImportError as exc:
    raise ImportError(
        "gpuview.rendercanvas needs rendercanvas, which cannot be imported\n"
        "  expected: rendercanvas 2.7 or newer, below 3\n"
        '  try:      pip install "gpuview[rendercanvas]"'
    ) from exc

if not (2, 7) <= rendercanvas.version_info[:2] < (3, 0):
    raise ImportError(
        f"gpuview.rendercanvas does not know rendercanvas {rendercanvas.__version__}\n"
        "  expected: rendercanvas 2.7 or newer, below 3\n"
        '  try:      pip install "gpuview[rendercanvas]", which installs one that it knows'
    )

__all__ = ["RenderCanvas", "loop"]

Event = Mapping[str, Any]

_MAX_FPS = 240  # of a stream
_MAX_ARRIVED = 1024  # events, while a cell keeps the loop busy; then the oldest are lost

_PASSED_ON = tuple(each for each in EVENT_TYPES if each not in ("resize", "focus", "blur", "close"))
"""A canvas makes its own ``resize`` and ``close``: a view that is closed is not its end."""

_OUR_KEYS = frozenset({"type", "timestamp", "view", "u", "v", "pixel", "panel", "tile"})
"""What an event of ours has besides; pygfx refuses keys that it does not know."""


class _CanvasGroup(BaseCanvasGroup):  # type: ignore[misc]
    """The canvases of this process, which share a loop."""


class RenderCanvas(BaseRenderCanvas):  # type: ignore[misc]
    """A canvas whose picture is a `GPUStream`: ``canvas.stream``, for its options and methods.

    It is displayed like a stream. It is drawn while somebody sees it or it is recorded, and once
    when it is displayed. ``size`` is its size until a view is there. Then it keeps that ratio, and
    is as large as the largest view has room for, in that view's device pixels. The title is the
    caption. Alpha and the shape of the cursor are ignored.

    Args:
        args, kwargs: As for every canvas of rendercanvas.

    Raises:
        MediaError: The media process cannot be started.
    """

    _rc_canvas_group = _CanvasGroup(loop)
    _is_closed = True  # until its stream is there

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"title": "", **kwargs})
        # The first one is the loop's as well, which would keep alive what handlers refer to.
        self._events = EventEmitter()
        self.stream = GPUStream(layout="HWC")
        self._own_thread = threading.get_ident()
        self._is_closed = False
        self._is_watched = False
        self._is_draw_due = False
        self._has_drawn = False
        self._lock = threading.Lock()
        self._arrived: deque[dict[str, Any]] = deque(maxlen=_MAX_ARRIVED)
        self._contexts = self.stream.use_frame_contexts()
        self._room: Room | None = None
        self._rc_set_logical_size(640, 360)  # of a canvas without a size
        self._follow_max_fps(kwargs.get("max_fps"))
        self.stream.use_source(_Drawing(self), self)
        self._final_canvas_init()

    def __del__(self) -> None:
        """Do nothing: gpuview closes a stream that is gone, and this may be any thread."""

    def add_event_handler(self, *args: Any, order: float = 0) -> Any:
        """As in rendercanvas. Views send the events that have a handler, and no others."""
        added = super().add_event_handler(*args, order=order)
        wanted = [each for each in _PASSED_ON if each in args or "*" in args]
        if wanted:
            self.stream.add_event_handler(self._take, *wanted)
        return added

    def remove_event_handler(self, callback: Any, *types: str) -> None:
        """As in rendercanvas."""
        super().remove_event_handler(callback, *types)
        heard = {each for each, handlers in self._events._event_handlers.items() if handlers}
        unheard = [] if "*" in heard else [each for each in _PASSED_ON if each not in heard]
        if unheard:
            self.stream.remove_event_handler(self._take, *unheard)

    def set_update_mode(self, update_mode: str, **limits: float | None) -> None:
        """As in rendercanvas."""
        super().set_update_mode(update_mode, **limits)
        self._follow_max_fps(limits.get("max_fps"))

    def ensure_frame(self) -> None:
        """Draw now if nothing has been drawn.

        Raises:
            FrameError: Nothing was drawn, or this is not the canvas's own thread.
        """
        if not self._has_drawn and threading.get_ident() == self._own_thread:
            self.force_draw()
        if not self._has_drawn:
            raise FrameError(
                "the canvas has not drawn anything yet",
                expected="a draw function, and time between two cells to call it",
                fix="canvas.request_draw(draw_function)",
            )

    def _follow_max_fps(self, max_fps: float | None) -> None:
        if max_fps is not None:
            self.stream.fps = min(max_fps, _MAX_FPS)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self._draw_for_display()
        return self.stream._repr_mimebundle_(**options)

    def _ipython_display_(self) -> None:
        self._draw_for_display()
        self.stream._ipython_display_()

    def _draw_for_display(self) -> None:
        """Have a picture for the first view, which may come while a cell runs, and for the file."""
        with suppress(FrameError):
            self.ensure_frame()

    # --- from gpuview, on any thread ------------------------------------------------------------

    def watch(self, is_watched: bool) -> None:
        """Draw from now on, or stop; the loop notices."""
        self._is_watched = is_watched

    def stream_closed(self) -> None:
        """Let the loop close this canvas."""
        self._is_closed = True

    def _take(self, event: dict[str, Any]) -> None:
        with self._lock:
            together = merged(self._arrived[-1], event) if self._arrived else None
            if together is not None:
                self._arrived.pop()
            self._arrived.append(event if together is None else together)

    # --- from rendercanvas, on the loop's thread ------------------------------------------------

    def _rc_gui_poll(self) -> None:
        self._follow_room()
        with self._lock:
            arrived = list(self._arrived)
            self._arrived.clear()
        for event in arrived:
            self.submit_event(in_canvas(event, self.get_logical_size()))
        self._draw_if_watched()

    def _rc_get_present_info(self, present_methods: list[str]) -> dict[str, Any] | None:
        if "bitmap" not in present_methods:
            return None
        return {"method": "bitmap", "formats": ["rgba-u8"]}

    def _rc_request_draw(self) -> None:
        self._is_draw_due = True
        self._draw_if_watched()

    def _draw_if_watched(self) -> None:
        if self._is_draw_due and self._is_watched:
            self._is_draw_due = False
            self._time_to_draw()

    def _rc_request_paint(self) -> None:
        """Do nothing: what is presented is shown."""

    def _rc_force_paint(self) -> None:
        """Do nothing, likewise."""

    def _rc_present_bitmap(self, *, data: Any, format: str, **_kwargs: Any) -> None:  # noqa: A002
        self._has_drawn = True
        with suppress(StreamClosedError):  # while the frame was on its way
            self.stream.push(np.asarray(data))

    def _follow_room(self) -> None:
        room = self._contexts.room
        if room is None or room == self._room:
            return
        self._room = room
        size = fitted(room.size, self._aspect)
        # The page's room has the picture's ratio, which rounding changes: this comes to rest.
        is_near = all(abs(a - b) <= 2 for a, b in zip(size, self.get_physical_size(), strict=True))
        if not is_near or room.ratio != self.get_pixel_ratio():
            self._size_info.set_physical_size(*size, room.ratio)
            self.request_draw()

    def _rc_set_logical_size(self, width: float, height: float) -> None:
        self._aspect = max(width, 1.0) / max(height, 1.0)
        ratio = 1.0 if self._room is None else self._room.ratio
        sides = (max(1, round(side * ratio)) for side in (width, height))
        self._size_info.set_physical_size(*sides, ratio)

    def _rc_close(self) -> None:
        self._is_closed = True
        self.stream.close()

    def _rc_get_closed(self) -> bool:
        return self._is_closed

    def _rc_set_title(self, title: str) -> None:
        self.stream.caption = title

    def _rc_set_cursor(self, cursor: str) -> None:
        """Do nothing: views keep their cursor."""


class _Drawing:
    """The source of a canvas's stream: the canvas, which is drawn by its loop."""

    source_ms = None

    def __init__(self, canvas: RenderCanvas) -> None:
        self._canvas = canvas

    def watch(self, is_watched: bool) -> None:
        self._canvas.watch(is_watched)

    def ensure_frame(self) -> None:
        self._canvas.ensure_frame()

    def close(self) -> None:
        self._canvas.stream_closed()

    def wake(self) -> bool:
        return False  # The loop's thread calls no handlers of the stream's.

    def go_on(self) -> None:
        """Do nothing, likewise."""

    def set_fps(self, fps: float) -> None:
        """Do nothing: the canvas has a limit of its own, and the encoder keeps to this one."""

    def abandon(self) -> None:
        self._canvas.stream_closed()


def fitted(room: tuple[int, int], aspect: float) -> tuple[int, int]:
    """Return the largest width and height of a ratio that have room."""
    width, height = room
    if width > height * aspect:
        return max(1, round(height * aspect)), height
    return width, max(1, round(width / aspect))


def in_canvas(event: Event, size: tuple[float, float]) -> dict[str, Any]:
    """Return an event as rendercanvas has it, with places in logical pixels of the canvas.

    Args:
        event: An event of gpuview's, with places in CSS pixels of one view, which may show the
            canvas at any size.
        size: Of the canvas, in logical pixels.
    """
    given = {key: value for key, value in event.items() if key not in _OUR_KEYS}
    if event.get("u") is None:
        return given
    x, y = event["u"] * size[0], event["v"] * size[1]
    given |= {"x": x, "y": y}
    if event.get("touches"):
        # The picture keeps its ratio, so one scale serves both directions.
        scale = (abs(x) + abs(y)) / max(abs(event["x"]) + abs(event["y"]), 1e-9)
        given["touches"] = {
            name: {**touch, "x": touch["x"] * scale, "y": touch["y"] * scale}
            for name, touch in event["touches"].items()
        }
    return given
