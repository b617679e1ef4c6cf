"""`GPUStream`: what a user makes, and the kernel's side of what its pages say.

What must not be saved in a notebook is in no trait: ``offers`` serialises to nothing, ``answers``
is emptied when a page has its answer, and ICE servers travel in custom messages.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anywidget
import traitlets

from gpuview.engine import shared_engine
from gpuview.errors import GpuviewError, MediaError, SettingsError
from gpuview.frames.layout import Layout, check_layout
from gpuview.frames.readback import Readback
from gpuview.frames.source import PullSource, as_pull
from gpuview.log import log_to_stderr
from gpuview.pages import Pages
from gpuview.settings import Settings
from gpuview.wire.messages import Answer, Candidates, Message, Refusal, Status, to_wire

if TYPE_CHECKING:
    from gpuview.doctor import Report

__all__ = ["GPUStream", "StreamStats"]

logger = logging.getLogger("gpuview")

_MAX_FPS = 240


def _front_end(name: str) -> Path:
    path = Path(__file__).parent / "static" / name
    if not path.exists():
        raise ImportError(
            f"gpuview's front end has not been built: {path.name} is missing\n"
            "  expected: an installed wheel, or a source tree after its build\n"
            "  try:      make build"
        )
    return path


@dataclass(frozen=True, slots=True)
class StreamStats:
    """One moment's counters of a stream."""

    frames_pushed: int
    """Frames that reached the ring; the newest is shown, so not all of them have been."""
    viewers: tuple[dict[str, Any], ...]
    """One for each view: view, state, codec, local, remote, frames_sent, frames_dropped."""
    encoders: tuple[dict[str, Any], ...]
    """One for each codec in use: codec, width, height, frames, keyframes, nbytes."""
    media_pid: int
    """The media process's id."""
    port: int | None
    """The UDP port that all viewers share; None before the first one."""
    dropped_datagrams: dict[str, int]
    """What came to that port and was not for us, by reason."""
    network: dict[str, Any]
    """How we are reached: public_ips, reflexive (how STUN servers see us), relay, relay_url and
    problems; empty before the first viewer."""


class GPUStream(anywidget.AnyWidget):
    """A live picture of tensors, in as many notebook outputs and tabs as there are.

        display(GPUStream(model))                  # a module or callable without arguments is asked
        stream = GPUStream(); stream.push(tensor)  # or push

    Frames are 8-bit, or floating point in [0, 1], as (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4
    channels, on any device. The newest frame is shown; older ones that nobody has seen are dropped.

    Args:
        source: A module or callable that takes no argument, an iterable of frames, or a tensor that
            changes in place: asked ``fps`` times a second, in inference mode, on a thread of
            gpuview's own, while somebody watches. None: you `push`.
        fps: The most frames shown in a second, up to 240.
        layout: ``"HW"``, ``"HWC"`` or ``"CHW"``; None guesses from the sizes.
        max_bitrate_bps: The most bits sent to one viewer in a second.
        settings: The network's settings; None reads them from the environment.

    Raises:
        FrameError: ``source`` or ``layout`` is none of these.
        SettingsError: ``fps``, ``max_bitrate_bps`` or a setting is wrong.
        MediaError: The media process cannot be started, or runs with other settings.
    """

    _esm = _front_end("widget.js")
    _css = _front_end("widget.css")

    offers = traitlets.Dict().tag(sync=True, echo_update=False, to_json=lambda _value, _widget: {})
    answers = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    epoch = traitlets.Int(1).tag(sync=True)
    needs_welcome = traitlets.Bool(False).tag(sync=True)

    _is_closed = True  # as ipywidgets closes an object whose making failed, too

    def __init__(
        self,
        source: object = None,
        *,
        fps: float = 30,
        layout: Layout | None = None,
        max_bitrate_bps: int = 8_000_000,
        settings: Settings | None = None,
    ) -> None:
        _check_numbers(fps, max_bitrate_bps)
        check_layout(layout)
        pull = as_pull(source)
        settings = settings or Settings()
        if settings.log is not None:
            log_to_stderr(settings.log)
        self._layout = layout
        self._pages = Pages(settings, self, self._hand_on)
        self._lock = threading.RLock()  # guards what follows: engine and source both call
        self._viewers: tuple[str, ...] = ()
        self._source_error: GpuviewError | None = None
        self._media_error: MediaError | None = None
        self._is_restarting = False
        self._is_failed = False
        engine = shared_engine(settings)
        self._engine = engine
        self._handle = engine.open_stream(self, fps=fps, max_bitrate_bps=max_bitrate_bps)
        self._is_closed = False
        self._readback = Readback(self._handle)
        self._source: PullSource | None = None
        super().__init__(
            epoch=engine.epoch,
            needs_welcome=self._pages.need_welcome,
            status=to_wire(self._status()),
        )
        self._answer_on_subshells()
        self.observe(self._read_offers, "offers")
        self.on_msg(self._read_custom)
        if pull is not None:
            self._source = PullSource(
                pull,
                self._push_pulled,
                fps=fps,
                on_error=self._source_failed,
                on_recovered=self._source_recovered,
            )

    # --- what a user calls --------------------------------------------------------------------

    def push(self, frame: object) -> None:
        """Show ``frame`` next, in every view. From any thread; waits for nobody.

        Args:
            frame: A tensor or an array, see the class. A CPU frame is copied before this returns; a
                CUDA frame is read in the order of the current stream, so later work on that
                stream may overwrite it.

        Raises:
            FrameError: It cannot be shown.
            MediaError: The stream is closed.
        """
        is_first = self._handle.frames_pushed == 0
        self._readback.push(frame, self._layout)
        if is_first:
            self._update_status()

    @property
    def viewers(self) -> tuple[str, ...]:
        """The ids of the views that have a connection, or are about to have one."""
        return self._viewers

    def stats(self) -> StreamStats:
        """Return this moment's counters; waits for the media process, 2 s at most.

        Raises:
            MediaError: It did not answer.
        """
        media = self._handle.stats()
        return StreamStats(
            frames_pushed=self._handle.frames_pushed,
            viewers=tuple(media["viewers"]),
            encoders=tuple(media["encoders"]),
            media_pid=self._engine.process.pid,
            port=media["port"],
            dropped_datagrams=media["dropped_datagrams"],
            network=media["network"],
        )

    def close(self) -> None:
        """End the stream: its views say so and keep their last picture. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._source is not None:
            self._source.close()
        self._readback.close()
        self._handle.close()
        self._viewers = ()
        self._pages.forget_all()
        self._update_status()

    @staticmethod
    def doctor(settings: Settings | None = None) -> Report:
        """Find out what keeps viewers from connecting; takes some 10 s.

        Args:
            settings: What is examined; None reads the environment, as ``gpuview doctor`` does.
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
            f"<GPUStream {state} viewers={len(self._viewers)} "
            f"frames_pushed={self._handle.frames_pushed}>"
        )

    # --- what pages say: on any thread --------------------------------------------------------

    def _read_offers(self, change: Any) -> None:
        for data in change["new"].values():
            self._read_page(data)

    def _read_custom(self, _widget: object, content: object, _buffers: object) -> None:
        self._read_page(content)

    def _read_page(self, data: object) -> None:
        if not self._is_closed:  # the status says so
            self._pages.read(data)

    def _hand_on(self, message: Message) -> None:
        self._handle.send(message)

    # --- what the engine says: a `StreamListener`, on the engine's thread ---------------------

    def answered(self, message: Answer | Refusal) -> None:
        self._pages.reply(message)

    def gathered(self, message: Candidates) -> None:
        self._pages.tell(message)

    def viewers_changed(self, views: Sequence[str]) -> None:
        self._viewers = tuple(views)
        self._pages.forget_answers_but(views)
        if self._source is not None:
            self._source.watch(bool(views))

    def process_started(self, epoch: int) -> None:
        self.viewers_changed(())
        with self._lock:
            self._is_restarting = True
            self.epoch = epoch
            self._update_status()

    def process_ready(self) -> None:
        with self._lock:
            if self._is_restarting:
                self._is_restarting = False
                self._update_status()

    def process_failed(self, error: MediaError) -> None:
        self.viewers_changed(())
        with self._lock:
            self._is_failed = True
            self._media_error = error
            self._update_status()

    def troubled(self, error: MediaError | None) -> None:
        with self._lock:
            self._media_error = error
            self._update_status()

    # --- what the source says: on its thread --------------------------------------------------

    def _push_pulled(self, frame: object) -> None:
        try:
            self.push(frame)
        except MediaError:
            if not self._is_closed:
                raise

    def _source_failed(self, error: GpuviewError) -> None:
        logger.warning("the source of a stream failed: %s", error, exc_info=error.__cause__)
        with self._lock:
            self._source_error = error
            self._update_status()

    def _source_recovered(self) -> None:
        with self._lock:
            self._source_error = None
            self._update_status()

    # --- state --------------------------------------------------------------------------------

    def _update_status(self) -> None:
        with self._lock:
            self.status = to_wire(self._status())

    def _status(self) -> Status:
        if self._is_closed:
            return Status(state="closed")
        error = self._media_error or self._source_error
        if error is not None:
            return Status(
                state="failed" if self._is_failed else "error",
                problem=error.problem,
                expected=error.expected,
                fix=error.fix,
            )
        if self._is_restarting:
            return Status(state="restarting")
        return Status(state="live" if self._handle.frames_pushed else "waiting")

    def _answer_on_subshells(self) -> None:
        """Let pages' messages be answered while a cell runs.

        ipykernel 7.4 sends a comm's messages to the subshell that last published on it: for a
        widget that a cell has just made, to the thread that runs cells. Without this method of its
        own it takes the message's word for it, as 7.3 does.
        """
        comm = self.comm
        if comm is not None and hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = None


def _check_numbers(fps: float, max_bitrate_bps: int) -> None:
    if not 0 < fps <= _MAX_FPS:
        raise SettingsError(
            f"cannot show {fps = } frames a second",
            expected=f"0 < fps <= {_MAX_FPS}",
            fix="leave fps out for 30",
        )
    if not 100_000 <= max_bitrate_bps <= 100_000_000:
        raise SettingsError(
            f"cannot hold {max_bitrate_bps = }",
            expected="100_000 to 100_000_000 bits a second",
            fix="leave max_bitrate_bps out for 8_000_000",
        )
