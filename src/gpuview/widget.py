"""`GPUStream`, the widget that users create."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from gpuview.abandoned import follow
from gpuview.engine.shared import shared_engine
from gpuview.errors import (
    FrameError,
    GpuviewError,
    MediaEndedError,
    MediaError,
    StreamClosedError,
)
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.frames.feed import Feed
from gpuview.frames.picture.layout import Layout
from gpuview.frames.picture.legend import Meaning
from gpuview.frames.picture.look import Look, Size, ValueRange
from gpuview.frames.picture.room import USUAL_ROOM, next_room
from gpuview.frames.picture.select import CurrentSelect, Index, Select, as_select
from gpuview.frames.pushed_frame import PushedFrame, to_keep
from gpuview.frames.snapshot import extremes, snapshot, video_picture
from gpuview.frames.torch_compat import opaque_to_dynamo
from gpuview.interaction.inspector import Inspector
from gpuview.interaction.interactions import Interactions, Reply
from gpuview.interaction.live import INTERACTION, LiveInteraction
from gpuview.interaction.stream_interaction import StreamInteraction
from gpuview.ipykernel_compat import read_messages_while_cells_run
from gpuview.log import log_to_stderr
from gpuview.options import LIMITS, LOOK, LiveOptions, unknown_attribute
from gpuview.page_traits import PageTraits
from gpuview.protocol.interaction_messages import FromView, Interaction
from gpuview.protocol.local_socket import is_extension_announced
from gpuview.protocol.media_messages import PublishingChanged, RecordingEnded, RecordingProgress
from gpuview.protocol.page_messages import (
    Answer,
    Candidates,
    ColourBar,
    GetPeerConfig,
    LegendEntry,
    PageLog,
    Refusal,
    Status,
)
from gpuview.protocol.wire import to_wire
from gpuview.public_face import PublicFace
from gpuview.publication import Publication, Publications
from gpuview.recording import Recording, Recordings
from gpuview.saved_output import SavedOutput, display_value
from gpuview.settings import Settings
from gpuview.signalling.pages import Pages
from gpuview.signalling.published_status import PublishedStatus
from gpuview.signalling.status import StreamState
from gpuview.sources.batch import why_not_shown
from gpuview.sources.context import FrameContexts
from gpuview.sources.hints import SourceHints
from gpuview.sources.parse import parse_source
from gpuview.sources.source import Source, start_source
from gpuview.sources.thread_context import as_on_this_thread
from gpuview.stats import StreamStats, stream_stats
from gpuview.stream_copy import StreamCopy
from gpuview.view_recording import ViewRecording

if TYPE_CHECKING:
    from PIL.Image import Image

    from gpuview.doctor import Report

__all__ = ["GPUStream", "StreamStats"]

logger = logging.getLogger("gpuview")


def _entry(meaning: Meaning) -> LegendEntry:
    text, colour, bar = meaning
    if bar is None:
        return LegendEntry(text=text, colour=colour)
    fields = bar._asdict() | {"colours": list(bar.colours)}
    return LegendEntry(text=text, colour=colour, bar=ColourBar(**fields))


class GPUStream(LiveInteraction, LiveOptions, PageTraits, metaclass=PublicFace):
    """A live picture of tensors, in any number of notebook outputs and browser tabs.

        display(GPUStream(generator))                     # polls a callable without arguments
        display(GPUStream(model, layer="layer3.0"))       # taps a layer: shows each output
        display(GPUStream({"in": camera, "out": model}))  # shows several sources as labelled panels
        stream = GPUStream(); stream.push(tensor)         # shows the frames that you push

    A frame is a tensor or array of any real dtype on any device: ``(H, W)``, ``(H, W, C)``,
    ``(C, H, W)`` or a batch of these. One or three channels are a picture, and so is a lone
    ``(H, W)``; all else holds maps, in a grid. A dict or list becomes labelled panels. The newest
    frame wins: older frames that were not shown in time are dropped.

    All options but ``source``, ``layer`` and ``settings`` are attributes, which may be read and set
    on a live stream, from any thread, and are checked as here. They hold from the next frame on,
    and a picture that stands still is drawn again. ``layout`` is not ipywidgets' trait of that
    name; to style a stream, put it in an ``ipywidgets.Box``.

    Args:
        source: Where frames come from.

            - A module or callable without arguments, an iterable of frames (async ones too), or a
              tensor that changes in place is polled ``fps`` times a second while a view is open, on
              a thread of its own. A callable may take a `FrameContext`. A source that draws random
              numbers needs a generator of its own, or the numbers of your training depend on who
              watches.
            - A module that needs an input is tapped: each output is shown when your code calls it.
            - A dict or list of these becomes labelled panels; a `Panel` has a look of its own.
              Polling ends with the first iterable that ends.
            - None: you `push` frames.
        fps: The maximum frame rate, up to 240.
        layout: ``"HW"``, ``"HWC"``, ``"CHW"``, ``"NHW"``, ``"NCHW"`` or ``"NHWC"``. None guesses
            from the shape.
        value_range: ``(low, high)``, shown as black and white. ``"auto"`` takes the minimum and
            maximum of each picture, ``"frame"`` those of all pictures in a tensor, ``"robust"`` the
            1st and 99th percentile, and ``"symmetric"`` a range about 0. None is (0, 255) for
            uint8, (0, 1) for floating types, and ``"auto"`` for maps.
        colormap: ``"gray"``, ``"viridis"``, ``"magma"``, ``"turbo"``, ``"coolwarm"``,
            ``"labels"``, or the name of any matplotlib colour map.
        size: The longest side of the video in pixels, or its ``(width, height)``; at most
            3840 x 2400 pixels in all.
        columns: The number of columns of panels, or of a single tensor's tiles. None takes the one
            that wastes least in the width that the views have.
        layer: The dotted name of a submodule of ``source`` to tap, or a list of names.
        select: An index or a function that picks the part to show of each frame; with panels, of
            each panel's frame.
        max_bitrate_bps: The maximum bitrate of the video, for each viewer.
        caption: A line of text below the picture, of up to 300 characters.
        settings: Network settings. None reads them from the environment.

    Raises:
        FrameError: ``source``, ``layer``, ``select`` or a display option is invalid.
        SettingsError: ``fps``, ``max_bitrate_bps``, ``caption`` or a setting is invalid, or another
            stream of this kernel has different settings.
        MediaError: The media process cannot be started.
    """

    _fields = (
        "push",
        "frame",
        "snapshot",
        "record",
        "publish",
        "stats",
        "viewers",
        "close",
        "doctor",
        *INTERACTION,
    )
    """See `gpuview.public_face`."""

    def __init__(
        self,
        source: object = None,
        *,
        fps: float = 30,
        layout: Layout | None = None,
        value_range: ValueRange = None,
        colormap: str | None = None,
        size: Size = None,
        columns: int | None = None,
        layer: str | list[str] | None = None,
        select: Index | Select | None = None,
        max_bitrate_bps: int = 20_000_000,
        caption: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.layout, self.value_range = layout, value_range
        self.colormap, self.size, self.select = colormap, size, select
        self.columns = columns
        self.fps, self.max_bitrate_bps = fps, max_bitrate_bps
        self.caption = caption
        parsed = parse_source(source, layer)
        self._select = CurrentSelect(as_select(select))
        settings = settings or Settings()
        if settings.log is not None:
            log_to_stderr(settings.log)
        self._lock = threading.RLock()  # guards the state and the viewers
        state = StreamState(
            parsed.waiting_hint,
            sides=self.size if isinstance(self.size, tuple) else None,
            is_size_chosen=self.size is not None,
            caption=self.caption,
        )
        self._published = PublishedStatus(state, self._publish_status, self._lock)
        self._viewers: tuple[str, ...] = ()
        self._room = USUAL_ROOM
        self._are_views_seen = False
        self._source: Source | None = None
        self._interactions = Interactions(self._publish_interaction)
        self._frame_contexts = FrameContexts()
        self._interaction = StreamInteraction(
            self._interactions,
            update=self._published.update,
            picture_map=lambda: self._feed.map,
            in_this_cell=as_on_this_thread,
        )
        self._errors = ErrorReporter(self._source_failed, self._source_recovered)
        self._engine = shared_engine(settings)
        with self._lock:  # The engine's callbacks wait until the stream is complete.
            self._handle = self._engine.open_stream(self, **self._limits())
            self._feed = Feed(
                self._handle,
                self._look(),
                self._errors,
                on_hint=lambda hint: self._published.update(picture_hint=hint),
                on_legend=self._follow_legend,
            )
            self._inspector = Inspector(self._feed, self._interactions)
            labels = parsed.names or (() if layer is None else (str(layer),))
            self._saved = SavedOutput(
                self._feed,
                self._need_frame,
                labels,
                settings.saved_picture_bytes,
                caption=lambda: self.caption,
                knobs=lambda: self._interaction.knobs.text,
            )
            self._pages = Pages(settings, self, self._handle)
            self._recordings = Recordings(
                self._handle.send,
                lambda: self._handle.frames_pushed,
                on_change=self._follow_watchers,
                on_failed=lambda error: self._published.update(recording_error=error),
            )
            self._publications = Publications(
                self._handle.send,
                on_failed=lambda error: self._published.update(publish_error=error),
                on_hint=lambda hint: self._published.update(publish_hint=hint),
            )
            self._view_recording = ViewRecording(self.record, self._publish_recording)
            super().__init__(
                epoch=self._engine.epoch,
                needs_peer_config=self._pages.need_peer_config,
                place=self._handle.place,
                has_server_extension=is_extension_announced(os.environ),
                carriers=list(settings.carriers),
                status=to_wire(state.status),
            )
            self._handle.send(state.status)
            read_messages_while_cells_run(self.comm)
            self._followed = follow(self, self._handle.close)
            self.observe(self._read_offers, "offers")
            self.on_msg(self._read_custom)
            if source is not None:
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
            if parsed.takes_context:
                self.use_frame_contexts()
            self.observe(self._follow_look, LOOK)
            self.observe(self._follow_select, "select")
            self.observe(self._follow_limits, LIMITS)
            self.observe(self._follow_caption, "caption")

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute that has an effect. A subclass declares its own ones in its body.

        Raises:
            AttributeError: There is no such attribute.
        """
        if not (name.startswith("_") or hasattr(type(self), name)):
            raise unknown_attribute(name)
        super().__setattr__(name, value)

    def __del__(self) -> None:
        """Do nothing. ipywidgets would call `close`, even if the constructor failed half-way."""

    def __copy__(self) -> StreamCopy:
        return StreamCopy()

    def __deepcopy__(self, _memo: object) -> StreamCopy:
        return StreamCopy()

    def __reduce__(self) -> tuple[object, ...]:
        return (StreamCopy, ())

    # --- the public API -----------------------------------------------------------------------

    @opaque_to_dynamo
    def push(self, frame: object) -> None:
        """Show ``frame`` next, in every view. From any thread; never blocks.

        Without viewers, this takes about a microsecond and keeps a reference, without the graph. If
        the media process has failed or memory is used up, the frame is dropped and counted, and the
        views say why.

        Args:
            frame: As in the class. With viewers, a CPU frame is copied before this returns, and a
                CUDA frame is read in the order of the current stream: later work there may
                overwrite it.

        Raises:
            FrameError: The frame cannot be shown. Without viewers, only frames of a new type,
                shape, dtype or device are checked.
            StreamClosedError: The stream is closed.
        """
        self._show(frame)

    def frame(self) -> object:
        """Return the newest frame itself. Before the first, this calls the source.

        A tensor that was overwritten in place has its present values.

        Raises:
            FrameError: There is no frame.
            StreamClosedError: The stream is closed.
        """
        self._need_frame()
        return self._feed.frame()

    def snapshot(self) -> Image:
        """Return the newest frame as a `PIL.Image.Image`, pixel for pixel from the tensor.

        Before the first frame, this calls the source. Waits for the frame's device. Panels and
        tiles are arranged as in the video, but nothing is resized.

        Raises:
            FrameError: There is no frame.
            StreamClosedError: The stream is closed.
        """
        self._need_frame()
        return snapshot(self._feed.selected(), self._feed.look, self._feed.readings)

    def drawn(self, frame: object) -> Image:
        """Return what the video would show of ``frame``, before it is encoded.

        The frame need not be the stream's; nothing is pushed. For `gpuview.testing`.

        Raises:
            FrameError: The frame cannot be shown.
        """
        kept, _ = to_keep(frame)
        part = PushedFrame(kept, self._select, 0, 0).selected()
        return video_picture(part, self._feed.look, self._feed.readings)

    def record(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Recording:
        """Record what is shown to an MP4 file, also while no one watches.

            with stream.record("run.mp4"):
                train()

        The file holds the packets that viewers get, each frame with its true time. A picture of
        another size begins a new file, ``run-2.mp4`` and so on. A full disk ends the recording,
        with an error in the views; the stream plays on. Waits until the media process records: at
        most 10 s.

        Args:
            path: The file, whose name ends in ``.mp4``, in a folder that exists.
            overwrite: Whether files that exist are replaced. Otherwise ``path`` must not exist.

        Returns:
            The recording, which goes on until its `Recording.stop`, or until the stream is closed.

        Raises:
            MediaEndedError: The media process has ended for good.
            RecordingError: The file exists, is being recorded to, or cannot be written.
            StreamClosedError: The stream is closed.
        """
        self._handle.check_open()
        return self._recordings.start(path, overwrite=overwrite)

    def publish(self, url: str, *, token: str | None = None) -> Publication:
        """Send what is shown to an ingest for large audiences, by WHIP (RFC 9725).

            publication = stream.publish("https://live.example.org/whip", token=os.environ["TOKEN"])

        MediaMTX, Janus, LiveKit, Broadcast Box and others take it, and pass it on to any number of
        people: one upload, of the packets that viewers get. It keeps to what the ingest's side of
        the network takes, and comes back after an outage. Does not wait.

        Args:
            url: The ingest's WHIP URL.
            token: Its bearer token.

        Returns:
            The publication, which goes on until its `Publication.stop`, or until the stream is
            closed. If the ingest refuses it, the views say so.

        Raises:
            MediaEndedError: The media process has ended for good.
            PublishError: ``url`` is no web address, or ``token`` cannot be sent.
            StreamClosedError: The stream is closed.
        """
        self._handle.check_open()
        return self._publications.start(url, token)

    @property
    def viewers(self) -> tuple[str, ...]:
        """The ids of the views that are connected or connecting."""
        return self._viewers

    def use_frame_contexts(self) -> FrameContexts:
        """Hear of the room that views have; return what a camera and the source share."""
        self._interaction.handlers.listen(self._frame_contexts.take, ("resize",))
        return self._frame_contexts

    def use_source(self, source: Source, owner: object) -> None:
        """Tell a source that makes frames by itself, and pushes them, what it must know.

        Args:
            source: It is told who watches.
            owner: What people hold and display in place of this stream.
        """
        self._followed.owned_by(owner)
        with self._lock:
            self._source = source
            self._follow_watchers()

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

    def close(self) -> None:
        """End the stream and its recordings. Its views say so and keep their last picture.

        Waits for the recordings' files, see `Recording.stop`. Safe to call twice.
        """
        if self._published.state.is_closed:
            return
        self._recordings.close()
        self._saved.close()
        self._end()
        self._published.publish()
        self._handle.close()
        self._publications.end()
        self._viewers = ()
        self._pages.forget_all()

    @staticmethod
    def doctor(settings: Settings | None = None) -> Report:
        """Find out what keeps viewers from connecting; takes about 10 s.

        Args:
            settings: The settings to examine; None reads the environment, like ``gpuview doctor``.
        """
        from gpuview.doctor import run_in_subprocess

        return run_in_subprocess(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self.status.get("state", "waiting")
        return (
            f"<GPUStream {state} viewers={len(self._viewers)} frames_pushed={self._feed.n_pushed}>"
        )

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self._followed.described()
        data, _ = super()._repr_mimebundle_(**options) or ({}, {})
        described = self._saved.described(data, self._followed.display_ids)
        self._feed.expect_viewer()
        self._tell_size()
        return described

    def _ipython_display_(self) -> None:
        display_value(self._repr_mimebundle_)

    def _end(self) -> None:
        """Stop the source and refuse further frames."""
        self._published.end()
        self._interaction.close()
        source, self._source = self._source, None  # releases the user's model
        if source is not None:
            source.close()
        self._feed.close()
        self._inspector.close()

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
        state, error = self._published.state, self._errors.error
        if not state.has_picture or state.has_ended or state.source_error is not error:
            self._published.update(has_picture=True, has_ended=False, source_error=error)
            self._saved.fill()
            self._tell_size()

    def _need_frame(self) -> None:
        self._feed.check_open()
        if self._feed.has_frame:
            return
        if self._source is None:
            raise FrameError(
                "there is no frame yet", expected="a push first", fix="stream.push(tensor)"
            )
        self._source.ensure_frame()

    # --- changed options: on the thread that sets them ---------------------------------------

    def _look(self) -> Look:
        return Look(**{name: getattr(self, name) for name in LOOK}, room=self._room)

    def _limits(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in LIMITS}

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

    # --- messages from pages: on any thread ---------------------------------------------------

    def _read_offers(self, change: Any) -> None:
        for data in change["new"].values():
            self._read_page(data)

    def _read_custom(self, _widget: object, content: object, _buffers: object) -> None:
        self._read_page(content)

    def _read_page(self, data: object) -> None:
        if not self._published.state.is_closed:
            self._pages.read(data)

    def arrange_for(self, width: int) -> None:
        room = next_room(self._room, width)
        # A picture of another size would begin a new file.
        if room != self._room and not self._recordings.is_active:
            self._room = room
            if self.size is None and self.columns is None:
                self._follow_look(None)

    def views_are_kept(self) -> None:
        self._saved.views_are_kept()

    def record_by_view(self, is_on: bool) -> None:
        self._view_recording.ask(is_on)

    def interact(self, message: FromView, reply: Reply) -> None:
        if not self._published.state.is_closed:
            self._interactions.take(message, reply)

    def _publish_interaction(self, interaction: Interaction) -> None:
        self.interaction = to_wire(interaction)
        self._handle.send(interaction)

    # --- callbacks of the engine (`StreamListener`), on the engine's thread -------------------

    def answered(self, message: Answer | Refusal) -> None:
        self._pages.reply(message)

    def gathered(self, message: Candidates) -> None:
        self._pages.send(message)

    def carried(self, view: str, content: str | bytes) -> None:
        self._pages.carried(view, content)

    def carrier_closed(self, view: str) -> None:
        self._pages.carrier_closed(view)

    def asked(self, message: GetPeerConfig | PageLog | FromView) -> None:
        self._pages.asked(message)

    def viewers_changed(self, views: Sequence[str], paused: Sequence[str] = ()) -> None:
        with self._lock:
            self._viewers = tuple(views)
            self._are_views_seen = not set(views) <= set(paused)
            self._inspector.keep_views(views)
            self._pages.forget_answers_but(views)
            self._frame_contexts.keep_views(views)
            self._followed.watched(bool(views))
            self._follow_watchers()
            if views:
                # Each view says how long the picture has stood still.
                self._published.tell_caption(made_ns=self._feed.pushed_ns)

    def recorded(self, message: RecordingProgress | RecordingEnded) -> None:
        self._recordings.receive(message)

    def published(self, message: PublishingChanged) -> None:
        self._publications.receive(message)

    def process_started(self, epoch: int) -> None:
        self.viewers_changed(())
        self._recordings.resume()
        self._publications.resume()
        with self._lock:
            self.epoch = epoch
            self._published.update(media="restarting", media_error=None)
            self._handle.send(self._interactions.newest)

    def process_ready(self) -> None:
        with self._lock:
            if self._published.state.media == "restarting":
                self._published.update(media="running")

    def process_failed(self, error: MediaError) -> None:
        self.viewers_changed(())
        if isinstance(error, MediaEndedError):
            self._recordings.end(error)
            self._publications.end()
        self._published.update(media="failed", media_error=error)

    def encode_failed(self, error: MediaError | None) -> None:
        self._published.update(media_error=error)

    def engine_closing(self) -> None:
        self._publications.end()
        self._recordings.end(None)  # The media process still closes their files.
        self._end()  # The status stays as it is: each page notices by itself that the kernel ended.

    def forked(self, error: StreamClosedError) -> None:
        self._lock = threading.RLock()
        self._published.abandon(self._lock)
        self._interactions.renew_lock()
        self._inspector.renew_lock()
        self._interaction.abandon()
        self._feed.abandon(error)
        self._recordings.abandon()
        self._publications.end()
        if self._source is not None:
            self._source.abandon()

    # --- callbacks of the source: on its thread, or the thread that called the tapped module ---

    def _push_made(self, frame: object) -> None:
        if self._published.state.is_closed:
            return
        self._feed.push(frame)
        if not self._published.state.has_picture:
            self._published.update(has_picture=True)
            self._saved.fill()
            self._tell_size()

    def _source_failed(self, error: GpuviewError) -> None:
        if self._published.state.is_closed:
            return
        logger.warning("the source of a stream failed: %s", error, exc_info=error.__cause__)
        self._published.update(source_error=self._errors.error)

    def _source_recovered(self) -> None:
        self._published.update(source_error=self._errors.error, has_picture=True)

    def _follow_watchers(self) -> None:
        """Read frames while there is a viewer or a recording."""
        with self._lock:
            self._followed.keep_alive(self if self._recordings.is_active else None)
            is_watched = self._are_views_seen or self._recordings.is_active
            self._feed.watch(is_watched)
            if self._source is not None:
                self._source.watch(is_watched)

    def _follow_legend(self, legend: Sequence[Meaning]) -> None:
        self._published.set_legend([_entry(each) for each in legend])

    def _tell_size(self) -> None:
        chosen = self.size
        sides = chosen if isinstance(chosen, tuple) else self._feed.sides
        self._published.set_sides(sides, is_chosen=chosen is not None)

    def _publish_status(self, status: Status) -> None:
        """Tell the pages, and those that are reached by the media process only."""
        self.status = to_wire(status)
        self._handle.send(status)
