"""A worker's view that a notebook can watch."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gpuview.cluster.identity import Identity
from gpuview.cluster.knob_sync import KnobSync, checked_step
from gpuview.cluster.rejoining import Joining
from gpuview.cluster.view import View
from gpuview.engine.shared_engine import shared_engine
from gpuview.errors import MediaError, SettingsError, StreamClosedError, shorten
from gpuview.frame_stream import FrameStream
from gpuview.frames.error_reporter import explain
from gpuview.frames.torch_compat import opaque_to_dynamo
from gpuview.log import log_to_stderr
from gpuview.protocol.cluster_messages import (
    Agreed,
    JoinChanged,
    JoinRun,
    Listening,
    WorkersChanged,
)
from gpuview.protocol.interaction_messages import FromView
from gpuview.protocol.join_file import JoinFile
from gpuview.protocol.media_messages import PublishingChanged, RecordingEnded, RecordingProgress
from gpuview.protocol.page_messages import (
    Answer,
    Candidates,
    GetPeerConfig,
    PageLog,
    Refusal,
    Status,
)
from gpuview.settings import Settings
from gpuview.signalling.published_status import PublishedStatus
from gpuview.sources.parse import parse_tapped

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PublishedView"]


class PublishedView(FrameStream, View):
    """See `View`. A `StreamListener`: its media process says who watches.

    Args:
        name: The run.
        identity: Which of its workers this is.
        find: As for `Joining`.
        options: Of `LiveOptions`.

    Raises:
        FrameError: A display option is invalid.
        MediaError: The media process cannot be started.
        SettingsError: An option or a setting is invalid.
    """

    def __init__(
        self, name: str, identity: Identity, find: Callable[[], JoinFile], **options: Any
    ) -> None:
        super().__init__(name, **options)
        self.identity = identity
        settings = Settings()
        # A job's output is where people look; a program with handlers of its own keeps them.
        log_to_stderr(settings.log or "warning")
        self._prepare_frames()
        self._lock = threading.RLock()
        self._are_views_seen = False
        state = self._state_at_first("push one")
        self._published = PublishedStatus(state, self._publish_status, self._lock)
        self._engine = shared_engine(settings)
        with self._lock:  # The engine's callbacks wait until the view is complete.
            self._handle = self._engine.open_stream(self, **self._limits())
            self._open_frames()
            self._handle.send(state.status)
            self._follow_options()
            self._joining = Joining(find, self._join)
            self._steps = KnobSync(
                self._interaction.knobs.turn,
                self._handle.send,
                lambda: self.is_connected,
                self._knob_failed,
            )
            self._interactions.answer(Agreed, lambda message, _: self._steps.hear(message))

    @property
    def is_watched(self) -> bool:
        return self._are_views_seen

    @property
    def is_connected(self) -> bool:
        return self._joining.is_connected

    @opaque_to_dynamo
    def push(self, frame: object) -> None:
        try:
            self._feed.push(frame, self._select)
        except StreamClosedError:  # also in a forked child, such as a worker that loads data
            return
        except Exception as exc:
            self._errors.report(explain(exc, "push"))
            return
        self._note_shown()

    def tap(self, model: nn.Module, layer: str | list[str] | None = None) -> None:
        try:
            parsed = parse_tapped(model, layer)
        except Exception as exc:
            self._errors.report(explain(exc, "tap"), "tap")
            return
        with self._lock:
            earlier, self._source = self._source, None
            if earlier is not None:
                earlier.close()
            self._errors.clear("tap")
            self._published.update(waiting_hint=parsed.waiting_hint)
            self._start_source(parsed)
            self._watch(self._are_views_seen)

    def sync(self, step: int | None = None) -> None:
        try:
            number = None if step is None else checked_step(step)
        except Exception as exc:
            self._errors.report(explain(exc, "sync"), "sync")
            return
        self._errors.clear("sync")
        self._steps.sync(number)

    def close(self) -> None:
        if self._published.state.is_closed:
            return
        self._joining.close()
        self._end_frames()
        self._published.publish()
        self._handle.close()
        self._are_views_seen = False

    def __repr__(self) -> str:
        state = "closed" if self._published.state.is_closed else repr(self._joining)
        return f"<View of {self.name} rank={self.identity.rank} {state}>"

    def _join(self, found: JoinFile) -> None:
        self._handle.join(
            JoinRun(
                endpoints=found.endpoints,
                notebook_key=found.notebook_key,
                public_key=found.public_key,
                secret_key=found.secret_key,
                run=found.run,
                rank=self.identity.rank,
                world_size=self.identity.world_size,
                host=socket.gethostname(),
            )
        )

    def _knob_failed(self, exc: Exception) -> None:
        self._errors.report(
            SettingsError(
                f"a knob was turned, and that failed with {shorten(repr(exc), 200)}",
                expected="a knob that can be turned",
                fix="give the job more threads or memory if it lacks them; else report this",
            )
        )

    def _publish_status(self, status: Status) -> None:
        self._handle.send(status)

    # --- callbacks of the engine (`StreamListener`), on the engine's thread -------------------

    def viewers_changed(self, views: Sequence[str], paused: Sequence[str] = ()) -> None:
        with self._lock:
            self._are_views_seen = not set(views) <= set(paused)
            self._watch(self._are_views_seen)
            if views:
                self._published.greet(made_ns=self._feed.pushed_ns)

    def asked(self, message: GetPeerConfig | PageLog | FromView) -> None:
        if isinstance(message, FromView):
            self.interact(message, self._handle.send)

    def cluster_changed(self, message: Listening | WorkersChanged | JoinChanged) -> None:
        if isinstance(message, JoinChanged):
            self._joining.take(message)

    def process_started(self, epoch: int) -> None:
        self.viewers_changed(())
        self._published.update(media="restarting", media_error=None)
        self._handle.send(self._interactions.newest)

    def process_ready(self) -> None:
        self._published.update(media="running")

    def process_failed(self, error: MediaError) -> None:
        self.viewers_changed(())
        self._published.update(media="failed", media_error=error)

    def encode_failed(self, error: MediaError | None) -> None:
        self._published.update(media_error=error)

    def engine_closing(self) -> None:
        self._joining.close()
        self._end_frames()

    def forked(self, error: StreamClosedError) -> None:
        self._joining.close()
        self._steps.abandon()
        self._abandon_frames(error)

    # A worker's media process has no page, no tunnel, no recording and no publication.

    def answered(self, message: Answer | Refusal) -> None:
        pass

    def gathered(self, message: Candidates) -> None:
        pass

    def carried(self, view: str, content: str | bytes) -> None:
        pass

    def carrier_closed(self, view: str) -> None:
        pass

    def recorded(self, message: RecordingProgress | RecordingEnded) -> None:
        pass

    def published(self, message: PublishingChanged) -> None:
        pass
