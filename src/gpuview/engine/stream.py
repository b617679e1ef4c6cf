"""The kernel's handle on one stream: takes its frames, sends and receives its messages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import ref

from gpuview.engine.process import MAX_LINE_NBYTES, MediaProcess
from gpuview.errors import MediaError, SignalError, StreamClosedError, system_refusal
from gpuview.protocol.cluster_messages import (
    JoinChanged,
    JoinRun,
    Listening,
    OpenRun,
    WorkersChanged,
)
from gpuview.protocol.event_fd import EventFd
from gpuview.protocol.interaction_messages import FromView
from gpuview.protocol.media_messages import (
    AttachRing,
    CloseStream,
    DetachRing,
    EncodeFailed,
    OpenStream,
    PublishingChanged,
    RecordingEnded,
    RecordingProgress,
    SetLimits,
    Stats,
    Viewers,
)
from gpuview.protocol.page_messages import (
    Answer,
    Candidates,
    GetPeerConfig,
    Message,
    PageLog,
    Refusal,
)
from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.ring import DEVICE_SLOTS, HOST_SLOTS, Reservation, RingWriter
from gpuview.protocol.wire import encode

if TYPE_CHECKING:
    from gpuview.engine.engine import Engine

__all__ = ["StreamHandle", "StreamListener"]

logger = logging.getLogger("gpuview")


class StreamListener(Protocol):
    """The owner of a stream. Called on the engine's thread, unless said otherwise."""

    def answered(self, message: Answer | Refusal) -> None:
        """An offer was answered or refused."""

    def gathered(self, message: Candidates) -> None:
        """The media process found more candidates, or a problem with a server."""

    def viewers_changed(self, views: Sequence[str], paused: Sequence[str] = ()) -> None:
        """These views have a connection now; nobody can see the picture of the paused ones."""

    def process_started(self, epoch: int) -> None:
        """Another media process was started after a death; all viewers are lost."""

    def process_ready(self) -> None:
        """The media process runs."""

    def process_failed(self, error: MediaError) -> None:
        """No media process runs: it cannot be started at present, or ever again."""

    def encode_failed(self, error: MediaError | None) -> None:
        """The stream's frames cannot be encoded; None after recovery."""

    def recorded(self, message: RecordingProgress | RecordingEnded) -> None:
        """A recording goes on, or has ended."""

    def published(self, message: PublishingChanged) -> None:
        """A publication does something else now."""

    def carried(self, view: str, content: str | bytes) -> None:
        """A message for a page came through its tunnel, text or binary. On a thread of its own."""

    def carrier_closed(self, view: str) -> None:
        """A page's tunnel has ended by itself. On a thread of its own."""

    def asked(self, message: GetPeerConfig | PageLog | FromView) -> None:
        """A page that is connected to the media process says something to the kernel."""

    def cluster_changed(self, message: Listening | WorkersChanged | JoinChanged) -> None:
        """Something about other machines has changed. Only of streams that have a run."""

    def engine_closing(self) -> None:
        """The kernel is ending: make no more frames. On any thread."""

    def forked(self, error: StreamClosedError) -> None:
        """The stream does not work in this forked child, and why. On its only thread."""


class StreamHandle:
    """One stream: takes its frames, and the messages for its viewers.

    A `gpuview.frames.cuda.writer.DeviceSink`: `begin` and `publish`, and `reserve` and
    `announce`, belong to one thread at a time. The listener is not kept alive.

    Raises:
        MediaError: No descriptor is left, or this Python has no eventfd.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        listener: StreamListener,
        opening: OpenStream,
        run: OpenRun | JoinRun | None = None,
    ) -> None:
        self.name = name
        self.run = run
        """Which workers its frames come from, or which notebook they go to; None: neither."""
        self._listener = ref(listener)
        self._engine = engine
        self._opening = opening
        self._lock = threading.Lock()  # guards the rest, and the order of messages
        self._opened_in: MediaProcess | None = None
        self._ring: RingWriter | None = None
        self._n_pushed_before = 0  # into rings that have been released
        self._event_fd = _new_event_fd()

    @property
    def frames_pushed(self) -> int:
        """How many frames have been published, or reserved for a device."""
        return self._ring.seq if self._ring is not None else self._n_pushed_before

    def begin(self, nbytes: int) -> memoryview:
        """Return ``nbytes`` writable bytes of a free slot, in a larger ring if necessary.

        Raises:
            MediaError: There is no memory for it, or the media process has ended for good.
            StreamClosedError: The stream is closed.
        """
        with self._lock:
            self.check_open()
            ring = self._ring
            if ring is None or nbytes > ring.slot_nbytes or not _has_room(ring):
                ring = self._replace_ring(nbytes, HOST_SLOTS)
            return ring.begin(nbytes)

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        """Publish the slot from `begin` as the newest frame, and wake the media process."""
        with self._lock:
            if self._ring is not None and self._event_fd.is_open:
                self._ring.publish(pixel_format, width, height, capture_ns)
                self._event_fd.wake()

    def reserve(self, nbytes: int) -> Reservation:
        """Reserve a slot for a device to write ``nbytes`` to, in a larger ring if necessary.

        Raises:
            MediaError: There is no memory for it, or the media process has ended for good.
            StreamClosedError: The stream is closed.
        """
        with self._lock:
            self.check_open()
            ring = self._ring
            if ring is None or nbytes > ring.slot_nbytes or ring.n_slots < DEVICE_SLOTS:
                ring = self._replace_ring(nbytes, DEVICE_SLOTS)
            return ring.reserve(nbytes)

    def announce(self, seq: int) -> None:
        """Make the media process expect the reserved frame, and wake it."""
        with self._lock:
            if self._ring is not None and self._event_fd.is_open:
                self._ring.announce(seq)
                self._event_fd.wake()

    def release(self) -> None:
        """Free the ring until the next frame."""
        with self._lock:
            if self._ring is None or not self._event_fd.is_open:
                return
            self._n_pushed_before = self._ring.seq
            self._ring.close()
            self._ring = None
            self._send(DetachRing())

    def check_open(self) -> None:
        """Raise unless frames may be sent.

        Raises:
            MediaEndedError: The media process has ended for good.
            StreamClosedError: The stream is closed.
        """
        self._engine.check_open()
        if not self._event_fd.is_open:
            raise StreamClosedError(
                "the stream is closed", expected="an open stream", fix="make a new GPUStream"
            )

    def set_limits(self, *, fps: float, max_bitrate_bps: int) -> None:
        """Encode at most so many frames and bits per second from now on."""
        limits = SetLimits(fps=fps, max_bitrate_bps=max_bitrate_bps)
        with self._lock:
            self._opening = OpenStream(fps=fps, max_bitrate_bps=max_bitrate_bps)
            if self._event_fd.is_open:
                self._send(limits)

    def join(self, run: JoinRun) -> None:
        """Let a notebook on another machine ask for the stream, in the place of an earlier one."""
        with self._lock:
            is_new = run != self.run
            self.run = run
            if self._event_fd.is_open and self._opened_in is self._engine.process and is_new:
                self._send(run)

    def stats(self, timeout_s: float = 10.0) -> Stats:
        """Return the media process's counters for this stream; waits for them.

        Raises:
            MediaError: It did not answer in time.
            StreamClosedError: The stream is closed.
        """
        return self._engine.request_stats(self, timeout_s)

    def close(self) -> None:
        """Disconnect the viewers, and free the ring. Safe to call twice."""
        with self._lock:
            if not self._event_fd.is_open:
                return
            self._send(CloseStream())
            self._event_fd.close()
            if self._ring is not None:
                self._ring.close()
        self._engine.forget_stream(self.name)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message about this stream; replies go to the listener. Never blocks.

        Args:
            message: The message.
            fds: Descriptors that go with it; they may be closed once this returns.

        Raises:
            SignalError: It is too long to send.
        """
        line = encode(self.name, message)
        if len(line) > MAX_LINE_NBYTES:
            raise SignalError(
                f"cannot send this {type(message).__name__} of {len(line)} bytes as JSON",
                expected=f"at most {MAX_LINE_NBYTES}",
                fix="reload the page; a browser's offer has some 6,000",
            )
        with self._lock:
            if self._event_fd.is_open:
                self._open_in_process().send(line, fds)

    @property
    def place(self) -> str:
        """Where the jupyter-server extension finds it, ``kernel/stream``; empty if it does not."""
        path = self._engine.configuration.socket_path
        return f"{Path(path).stem}/{self.name}" if path else ""

    def open_tunnel(self, view: str) -> bool:
        """Open a page's tunnel to the media process; the listener gets what comes. Never blocks.

        Returns:
            Whether it is open.
        """
        return self._engine.tunnels.open(self, view)

    def send_through_tunnel(self, view: str, text: str) -> bool:
        """Send a page's message through its tunnel. Never blocks.

        Returns:
            Whether the page has a tunnel; one that is full has ended.
        """
        return self._engine.tunnels.send(self, view, text)

    def close_tunnel(self, view: str) -> None:
        """Close a page's tunnel, if it has one."""
        self._engine.tunnels.close_view(self, view)

    def open_in_process(self) -> None:
        """Open this stream in the current media process, with its ring."""
        with self._lock:
            if self._event_fd.is_open:
                self._open_in_process()

    def abandon(self, error: StreamClosedError) -> None:
        """Close everything in a forked child; ``error`` says why."""
        self._lock = threading.Lock()
        self._event_fd.abandon()
        self.tell(lambda listener: listener.forked(error))

    def _send(self, message: Message, fds: Sequence[int] = ()) -> None:
        self._open_in_process().send(encode(self.name, message), fds)

    def _open_in_process(self) -> MediaProcess:
        """Return the current media process; opens this stream in it first if necessary."""
        process = self._engine.process
        if process is not self._opened_in:
            self._opened_in = process
            process.send(encode(self.name, self._opening), [self._event_fd.fileno()])
            if self.run is not None:
                process.send(encode(self.name, self.run))
            if self._ring is not None:
                process.send(encode(self.name, AttachRing()), [self._ring.fd])
                self._event_fd.wake()
        return process

    def receive(self, message: Message) -> None:
        """Notify the listener of a message from the media process."""
        match message:
            case Answer() | Refusal():
                self.tell(lambda listener: listener.answered(message))
            case Candidates():
                self.tell(lambda listener: listener.gathered(message))
            case Viewers():
                self.tell(lambda listener: listener.viewers_changed(message.views, message.paused))
            case EncodeFailed():
                error = MediaError(message.problem, expected=message.expected, fix=message.fix)
                self.tell(
                    lambda listener: listener.encode_failed(error if message.problem else None)
                )
            case GetPeerConfig() | PageLog() | FromView():
                self.tell(lambda listener: listener.asked(message))
            case Listening() | WorkersChanged() | JoinChanged():
                self.tell(lambda listener: listener.cluster_changed(message))
            case RecordingProgress() | RecordingEnded():
                self.tell(lambda listener: listener.recorded(message))
            case PublishingChanged():
                self.tell(lambda listener: listener.published(message))

    def tell(self, say: Callable[[StreamListener], None]) -> None:
        """Notify the listener; its exceptions must not end the engine's thread."""
        listener = self._listener()
        if listener is None:
            return
        try:
            say(listener)
        except Exception:
            logger.exception("a listener of stream %s failed", self.name)

    def _replace_ring(self, nbytes: int, n_slots: int) -> RingWriter:
        """Switch to another ring, at least this large and as large as the old ring.

        Frames that a device still writes into the old ring are lost.
        """
        old = self._ring
        if old is not None:
            nbytes, n_slots = max(nbytes, old.slot_nbytes), max(n_slots, old.n_slots)
        ring = RingWriter.create(nbytes, n_slots, self.frames_pushed)
        if old is not None:
            old.close()
        self._ring = ring
        self._send(AttachRing(), [ring.fd])
        return ring

    def __repr__(self) -> str:
        state = "open" if self._event_fd.is_open else "closed"
        return f"<StreamHandle {self.name} {state} frames_pushed={self.frames_pushed}>"


def _has_room(ring: RingWriter) -> bool:
    return ring.n_slots == HOST_SLOTS or ring.has_room()  # no device writes to the former


def _new_event_fd() -> EventFd:
    try:
        return EventFd.create()
    except (OSError, AttributeError) as exc:
        raise system_refusal("open a stream", exc) from exc
