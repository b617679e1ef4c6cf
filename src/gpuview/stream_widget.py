"""A stream's widget: its pages, its viewers and its recordings, wherever its frames come from."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from gpuview.abandoned import follow
from gpuview.engine.shared_engine import shared_engine
from gpuview.errors import MediaEndedError, MediaError, StreamClosedError
from gpuview.interaction.interactions import Reply
from gpuview.ipykernel_compat import read_messages_while_cells_run
from gpuview.log import log_to_stderr
from gpuview.page_traits import PageTraits
from gpuview.protocol.cluster_messages import JoinChanged, Listening, OpenRun, WorkersChanged
from gpuview.protocol.interaction_messages import FromView, Interaction
from gpuview.protocol.local_socket import is_extension_announced
from gpuview.protocol.media_messages import PublishingChanged, RecordingEnded, RecordingProgress
from gpuview.protocol.page_messages import (
    Answer,
    Candidates,
    Carrier,
    GetPeerConfig,
    PageLog,
    Refusal,
    Status,
)
from gpuview.protocol.wire import to_wire
from gpuview.publication import Publication, Publications
from gpuview.recording import Recording, Recordings
from gpuview.settings import Settings
from gpuview.signalling.pages import Pages
from gpuview.signalling.published_status import PublishedStatus
from gpuview.signalling.status import StreamState
from gpuview.stream_copy import StreamCopy
from gpuview.view_recording import ViewRecording

if TYPE_CHECKING:
    from gpuview.doctor import Report

__all__ = ["StreamWidget"]


class StreamWidget(PageTraits):
    """The half of a stream that its pages talk to; a `StreamListener`. From any thread."""

    # --- made in this order, the last two with the lock ------------------------------------------

    def _prepare_widget(self, state: StreamState, settings: Settings) -> None:
        """Make what the engine's callbacks need."""
        if settings.log is not None:
            log_to_stderr(settings.log)
        self._lock = threading.RLock()  # guards the state and the viewers
        self._published = PublishedStatus(state, self._publish_status, self._lock)
        self._viewers: tuple[str, ...] = ()
        self._are_views_seen = False
        self._engine = shared_engine(settings)

    def _open_stream(self, *, fps: float, max_bitrate_bps: int, run: OpenRun | None = None) -> None:
        self._handle = self._engine.open_stream(
            self, fps=fps, max_bitrate_bps=max_bitrate_bps, run=run
        )

    def _open_widget(
        self, settings: Settings, close: Callable[[], None], carriers: Sequence[Carrier]
    ) -> None:
        """Open the comm, and hear pages from now on; ``close`` is as for `follow`."""
        self._pages = Pages(settings, self, self._handle)
        self._recordings = Recordings(
            self._handle.send,
            self._newest_seq,
            on_change=self._follow_watchers,
            on_failed=lambda error: self._published.update(recording_error=error),
        )
        self._publications = Publications(
            self._handle.send,
            on_failed=lambda error: self._published.update(publish_error=error),
            on_hint=lambda hint: self._published.update(publish_hint=hint),
        )
        self._view_recording = ViewRecording(self.record, self._publish_recording)
        status = self._published.state.status
        super().__init__(
            epoch=self._engine.epoch,
            needs_peer_config=self._pages.need_peer_config,
            place=self._handle.place,
            has_server_extension=is_extension_announced(os.environ),
            carriers=list(carriers),
            status=to_wire(status),
        )
        self._handle.send(status)
        read_messages_while_cells_run(self.comm)
        self._followed = follow(self, close)
        self.observe(self._read_offers, "offers")
        self.on_msg(self._read_custom)

    def __del__(self) -> None:
        """Do nothing. ipywidgets would call `close`, even if the constructor failed half-way."""

    def __copy__(self) -> StreamCopy:
        return StreamCopy()

    def __deepcopy__(self, _memo: object) -> StreamCopy:
        return StreamCopy()

    def __reduce__(self) -> tuple[object, ...]:
        return (StreamCopy, ())

    # --- the public API -----------------------------------------------------------------------

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

    def close(self) -> None:
        """End the stream and its recordings. Its views say so and keep their last picture.

        Waits for the recordings' files, see `Recording.stop`. Safe to call twice.
        """
        if self._published.state.is_closed:
            return
        self._recordings.close()
        self._leave_picture()
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

    # --- what depends on where the frames come from ---------------------------------------------

    def _end(self) -> None:
        """Make no more frames, and change the status no more."""
        raise NotImplementedError

    def _leave_picture(self) -> None:
        """Put the last picture in the place of the view."""

    def _newest_seq(self) -> int:
        """Return the number of the newest frame, which a recording ends with."""
        return self._handle.frames_pushed

    def _follow_watchers(self) -> None:
        """Viewers have come or gone, or a recording; on any thread."""
        self._followed.keep_alive(self if self._recordings.is_active else None)

    def _interaction_message(self) -> Interaction:
        """Return what views may say."""
        return Interaction()

    def arrange_for(self, width: int) -> None:
        """A view has so much room, in CSS pixels."""

    def views_are_kept(self) -> None:
        """A page replaces an output without drawing its view anew."""

    def interact(self, message: FromView, reply: Reply) -> None:
        """A view says something about the picture."""

    # --- messages from pages: on any thread ---------------------------------------------------

    def _read_offers(self, change: Any) -> None:
        for data in change["new"].values():
            self._read_page(data)

    def _read_custom(self, _widget: object, content: object, _buffers: object) -> None:
        self._read_page(content)

    def _read_page(self, data: object) -> None:
        if not self._published.state.is_closed:
            self._pages.read(data)

    def record_by_view(self, is_on: bool) -> None:
        self._view_recording.ask(is_on)

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
            self._pages.forget_answers_but(views)
            self._followed.watched(bool(views))
            self._follow_watchers()

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
            self._handle.send(self._interaction_message())

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
        self._recordings.abandon()
        self._publications.end()

    def _publish_status(self, status: Status) -> None:
        """Tell the pages, and those that are reached by the media process only."""
        self.status = to_wire(status)
        self._handle.send(status)

    def cluster_changed(self, message: Listening | WorkersChanged | JoinChanged) -> None:
        """Something about other machines has changed, for a stream that has to do with some."""
