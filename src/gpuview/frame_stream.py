"""A stream whose frames are made in this process: the half of `GPUStream` that is no widget.

A worker's view of a run, which has no page in its process, is the same without the other half.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from gpuview.errors import FrameError, GpuviewError, MediaError, StreamClosedError
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.frames.feed import Feed
from gpuview.frames.picture.legend import Meaning
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.page_width import USUAL_ROOM, next_room
from gpuview.frames.picture.select import CurrentSelect, as_select
from gpuview.frames.snapshot import extremes
from gpuview.interaction.inspector import Inspector
from gpuview.interaction.interactions import Interactions, Reply
from gpuview.interaction.public_methods import LiveInteraction
from gpuview.interaction.stream_interaction import StreamInteraction
from gpuview.options import LIMITS, LOOK, LiveOptions
from gpuview.protocol.interaction_messages import FromView, Interaction
from gpuview.protocol.page_messages import ColourBar, LegendEntry
from gpuview.signalling.published_status import PublishedStatus
from gpuview.signalling.status import StreamState
from gpuview.sources.batch import why_not_shown
from gpuview.sources.context import FrameContexts
from gpuview.sources.hints import SourceHints
from gpuview.sources.parse import ParsedSource
from gpuview.sources.source import Source, start_source
from gpuview.sources.thread_context import as_on_this_thread
from gpuview.stats import StreamStats, stream_stats

if TYPE_CHECKING:
    from gpuview.engine.engine import Engine
    from gpuview.engine.stream import StreamHandle

__all__ = ["FrameStream"]

logger = logging.getLogger("gpuview")


def _entry(meaning: Meaning) -> LegendEntry:
    text, colour, bar = meaning
    if bar is None:
        return LegendEntry(text=text, colour=colour)
    fields = bar._asdict() | {"colours": list(bar.colours)}
    return LegendEntry(text=text, colour=colour, bar=ColourBar(**fields))


class FrameStream(LiveInteraction, LiveOptions):
    """The frames of one stream, their options, and what people do to them. From any thread.

    Who inherits from this opens the stream: it sets the attributes that are declared here, between
    `_prepare_frames` and `_open_frames`.
    """

    _engine: Engine
    _handle: StreamHandle
    _lock: threading.RLock
    """Guards the state and the viewers."""
    _published: PublishedStatus
    _are_views_seen: bool

    def _state_at_first(self, waiting_hint: str) -> StreamState:
        return StreamState(
            waiting_hint,
            sides=self.size if isinstance(self.size, tuple) else None,
            is_size_chosen=self.size is not None,
            caption=self.caption,
        )

    def _prepare_frames(self) -> None:
        """Make what the engine's callbacks need; the options are set."""
        self._select = CurrentSelect(as_select(self.select))
        self._room = USUAL_ROOM
        self._source: Source | None = None
        self._interactions = Interactions(self._publish_interaction)
        self._frame_contexts = FrameContexts()
        self._interaction = StreamInteraction(
            self._interactions,
            update=self._update,
            picture_map=lambda: self._feed.map,
            in_this_cell=as_on_this_thread,
        )
        self._errors = ErrorReporter(self._source_failed, self._source_recovered)

    def _open_frames(self) -> None:
        """Take frames from now on; the caller holds the lock."""
        self._feed = Feed(
            self._handle,
            self._look(),
            self._errors,
            on_hint=lambda hint: self._published.update(picture_hint=hint),
            on_legend=self._follow_legend,
        )
        self._inspector = Inspector(self._feed, self._interactions)

    def _start_source(self, parsed: ParsedSource) -> None:
        self._source = start_source(
            parsed,
            self._push_made,
            contexts=self._frame_contexts,
            select=self._select,
            why_not=lambda part, batch: why_not_shown(part, batch, self._feed.look),
            fps=self.fps,
            errors=self._errors,
            hints=SourceHints(lambda hint: self._published.update(source_hint=hint)),
            on_waiting=lambda hint: self._published.update(waiting_hint=hint),
            on_ended=lambda: self._published.update(has_ended=True),
            on_captured=lambda: self._feed.drop("capturing"),
            between=self._interaction.run_waiting,
        )
        self._interaction.run_on(self._source)

    def _follow_options(self) -> None:
        """Let options have an effect when they change."""
        self.observe(self._follow_look, LOOK)
        self.observe(self._follow_select, "select")
        self.observe(self._follow_limits, LIMITS)
        self.observe(self._follow_caption, "caption")

    def stats(self) -> StreamStats:
        """Return the current counters.

        Waits for the media process, at most 10 s, and for the newest frame's device.

        Raises:
            FrameError: The newest frame cannot be shown, or its device has failed.
            MediaError: The media process did not answer.
            StreamClosedError: The stream is closed.
        """
        self._feed.check_open()
        media = self._handle.stats()
        frame = self._feed.selected()
        return stream_stats(
            media,
            self._feed.stats(),
            media_pid=self._engine.process.pid,
            source_ms=None if self._source is None else self._source.source_ms,
            extremes=None
            if frame is None
            else extremes(frame, self._feed.look, self._feed.readings),
        )

    def use_frame_contexts(self) -> FrameContexts:
        """Hear of the room that views have; return what a camera and the source share."""
        self._interaction.handlers.listen(self._frame_contexts.take, ("resize",))
        return self._frame_contexts

    def interact(self, message: FromView, reply: Reply) -> None:
        """Take what a view says, unless the stream is closed."""
        if not self._published.state.is_closed:
            self._interactions.take(message, reply)

    def _show(self, frame: object) -> None:
        try:
            self._feed.push(frame, self._select)
        except MediaError as exc:  # not the frame's fault, and the user's loop goes on
            self._errors.report(exc)
        except FrameError as exc:
            if str(exc) != str(self._published.state.source_error):
                self._published.update(source_error=copy(exc))  # whose traceback holds no tensors
            # The lines of our code say nothing to the user.
            raise exc.with_traceback(None) from exc.__cause__
        self._note_shown()

    def _note_shown(self) -> None:
        """A frame was taken, so whatever was wrong with the one before is over."""
        state, error = self._published.state, self._errors.error
        if not state.has_picture or state.has_ended or state.source_error is not error:
            self._published.update(has_picture=True, has_ended=False, source_error=error)
            self._have_picture()

    def _have_picture(self) -> None:
        """There is a first frame, or one after an error."""
        self._tell_size()

    def _update(self, **changes: Any) -> None:
        self._published.update(**changes)

    def _watch(self, is_watched: bool) -> None:
        """Read frames while somebody wants them."""
        self._feed.watch(is_watched)
        if self._source is not None:
            self._source.watch(is_watched)

    def _keep_views(self, views: Sequence[str]) -> None:
        """Forget what was kept for all other views; the caller holds the lock."""
        self._inspector.keep_views(views)
        self._frame_contexts.keep_views(views)

    def _end_frames(self) -> None:
        """Stop the source and refuse further frames."""
        self._published.end()
        self._interaction.close()
        source, self._source = self._source, None  # releases the user's model
        if source is not None:
            source.close()
        self._feed.close()
        self._inspector.close()

    def _abandon_frames(self, error: StreamClosedError) -> None:
        """End in a forked child, where locks may be held by threads that are gone."""
        self._lock = threading.RLock()
        self._published.abandon(self._lock)
        self._interactions.renew_lock()
        self._inspector.renew_lock()
        self._interaction.abandon()
        self._feed.abandon(error)
        if self._source is not None:
            self._source.abandon()

    def _publish_interaction(self, interaction: Interaction) -> None:
        self._handle.send(interaction)

    # --- changed options: on the thread that sets them ---------------------------------------

    def _look(self) -> Look:
        return Look(**{name: getattr(self, name) for name in LOOK}, room=self._room)

    def _limits(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in LIMITS}

    def _arrange_for(self, width: int) -> None:
        """Arrange the picture for views of this width, in CSS pixels."""
        room = next_room(self._room, width)
        if room != self._room:
            self._room = room
            if self.size is None and self.columns is None:
                self._follow_look(None)

    def _follow_look(self, _change: object) -> None:
        self._feed.check_open()
        with self._lock:  # or another thread's change is lost
            self._feed.show(self._look())
        self._tell_size()

    def _follow_select(self, _change: object) -> None:
        self._feed.check_open()
        self._select.pick = as_select(self.select)
        self._feed.redraw()

    def _follow_limits(self, _change: object) -> None:
        self._feed.check_open()
        with self._lock:
            self._handle.set_limits(**self._limits())
            if self._source is not None:
                self._source.set_fps(self.fps)

    def _follow_caption(self, _change: object) -> None:
        self._feed.check_open()
        self._published.set_caption(self.caption, are_views_seen=self._are_views_seen)

    def _follow_legend(self, legend: Sequence[Meaning]) -> None:
        self._published.set_legend([_entry(each) for each in legend])

    def _tell_size(self) -> None:
        chosen = self.size
        sides = chosen if isinstance(chosen, tuple) else self._feed.sides
        self._published.set_sides(sides, is_chosen=chosen is not None)

    # --- callbacks of the source: on its thread, or the thread that called the tapped module ---

    def _push_made(self, frame: object) -> None:
        if self._published.state.is_closed:
            return
        self._feed.push(frame)
        if not self._published.state.has_picture:
            self._published.update(has_picture=True)
            self._have_picture()

    def _source_failed(self, error: GpuviewError) -> None:
        if self._published.state.is_closed:
            return
        logger.warning("the source of a stream failed: %s", error, exc_info=error.__cause__)
        self._published.update(source_error=self._errors.error)

    def _source_recovered(self) -> None:
        self._published.update(source_error=self._errors.error, has_picture=True)
