"""The kernel's handle on the media process.

One process for each kernel, started with the first stream. It ends when its pipe does. When it dies
by itself it is started again and told everything anew, and every page makes a new offer: `epoch`
counts the processes. The user's objects are never touched by that.

Threads: anything here may be called from any thread and none of it waits for the media process,
except `StreamHandle.stats`. What the media process says is heard on one thread of the engine's own.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import IO, Any, Protocol

from gpuview.errors import MediaError, SignalError
from gpuview.wire.messages import (
    Answer,
    AttachRing,
    CloseStream,
    Configure,
    GetStats,
    Log,
    Message,
    Offer,
    OpenStream,
    Ready,
    Refusal,
    Stats,
    Trouble,
    Viewers,
    decode_line,
    encode,
)
from gpuview.wire.ring import PixelFormat, RingWriter

__all__ = ["Engine", "StreamHandle", "StreamListener", "may_restart", "shared_engine"]

logger = logging.getLogger("gpuview")
media_logger = logging.getLogger("gpuview.media")

_MAX_DEATHS = 5
_DEATHS_WITHIN_S = 60.0
_MAX_LINE_NBYTES = 160_000  # what a socket pair takes in one piece with Linux's default buffers
_READ_NBYTES = 256 * 1024
_STDERR_TAIL_NBYTES = 2000
_EXIT_TIMEOUT_S = 5.0

_FROM_MEDIA = (Answer, Log, Ready, Refusal, Stats, Trouble, Viewers)


def may_restart(deaths_s: Sequence[float], now_s: float) -> bool:
    """Tell whether a media process that died may be started again.

    Args:
        deaths_s: When media processes of this kernel died, this time included.
        now_s: This moment, on the same clock, in seconds.
    """
    return sum(now_s - death_s < _DEATHS_WITHIN_S for death_s in deaths_s) <= _MAX_DEATHS


class StreamListener(Protocol):
    """Whoever owns a stream. Called on the engine's thread."""

    def answered(self, message: Answer | Refusal) -> None:
        """An offer has its answer."""

    def viewers_changed(self, views: Sequence[str]) -> None:
        """These views have a connection now."""

    def process_started(self, epoch: int) -> None:
        """A media process was started in place of one that died; its viewers are lost."""

    def process_ready(self) -> None:
        """The media process runs."""

    def process_failed(self, error: MediaError) -> None:
        """The media process died too often, and is not started again."""

    def troubled(self, error: MediaError | None) -> None:
        """The stream's frames cannot be encoded; None when they can again."""


class _Process:
    """One media process, and our end of its pipe."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock = ours
        self._lock = threading.Lock()  # no message may meet the descriptor's next owner
        # A file and not a pipe: nobody has to read it, and it is still there after a crash.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        command = [sys.executable, "-P", "-m", "gpuview.media"]
        with theirs:
            self._popen = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=[theirs.fileno()],
                # Jupyter interrupts and kills a kernel's whole process group.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, line: bytes, fds: Sequence[int] = ()) -> None:
        """Send one message, or none: a process that hangs or has died is replaced and told anew."""
        try:
            with self._lock:
                socket.send_fds(self._sock, [line], list(fds), socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._popen.kill()
        except OSError:
            pass  # it has died; the reading thread knows

    def receive(self) -> bytes:
        """Wait for one message; empty when the process has gone."""
        try:
            return self._sock.recv(_READ_NBYTES)
        except OSError:
            return b""

    def hang_up(self) -> None:
        """Close the pipe, at which the process ends, and `receive` returns."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def reap(self) -> str:
        """Wait for the process's end, and return its exit status and last words."""
        try:
            status = self._popen.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_NBYTES))
        last_words = self._stderr.read().decode(errors="replace").strip()
        with self._lock:
            self._sock.close()
        self._stderr.close()
        return f"exit status {status}" + (f": {last_words}" if last_words else "")

    def abandon(self) -> None:
        """Close our descriptors in a child that was forked; the process itself is the parent's."""
        self._sock.close()
        self._stderr.close()


class Engine:
    """Starts the media process, keeps it running, and carries messages for all streams.

    Args:
        configuration: The process-wide settings.
        process: A media process that runs already, see `prestart`; None starts one.
    """

    def __init__(self, configuration: Configure, process: _Process | None = None) -> None:
        self.configuration = configuration
        self.epoch = 1
        # Guards what follows. Never held while a handle's lock is taken: that one is the outer.
        self._lock = threading.Lock()
        self._streams: dict[str, StreamHandle] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._deaths_s: list[float] = []
        self._failure: MediaError | None = None
        self._is_closed = False
        self._process = process or _Process()
        self._process.send(encode("", configuration))
        self._thread = threading.Thread(target=self._listen, name="gpuview-engine", daemon=True)
        self._thread.start()

    @property
    def process(self) -> _Process:
        """The media process that runs now."""
        return self._process

    @property
    def is_closed(self) -> bool:
        """Whether the media process has ended for good."""
        return self._is_closed or self._failure is not None

    @property
    def has_streams(self) -> bool:
        return bool(self._streams)

    def open_stream(
        self, listener: StreamListener, *, fps: float, max_bitrate_bps: int
    ) -> StreamHandle:
        """Make a stream.

        Args:
            listener: Hears what happens to it, on the engine's thread.
            fps: The most frames sent in a second.
            max_bitrate_bps: The most bits sent to one viewer in a second.

        Raises:
            MediaError: The media process cannot be kept running, or this process is a forked one.
        """
        with self._lock:
            self.check_usable()
            name = f"s{next(self._numbers)}"
            opening = OpenStream(fps=fps, max_bitrate_bps=max_bitrate_bps)
            handle = StreamHandle(self, name, listener, opening)
            self._streams[name] = handle
        handle.tell_all()
        return handle

    def close(self) -> None:
        """End the media process, and every stream with it."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            handles = list(self._streams.values())
            self._process.hang_up()
        for handle in handles:
            handle.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def request_stats(self, handle: StreamHandle, timeout_s: float) -> dict[str, Any]:
        """Ask the media process for a stream's counters.

        Raises:
            MediaError: It did not answer in time.
        """
        number = next(self._numbers)
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            self.check_usable()
            self._waiting[number] = future
        handle.send(GetStats(request=number))
        try:
            return future.result(timeout_s)
        except TimeoutError as exc:
            raise MediaError(
                f"the media process did not answer within {timeout_s} s",
                expected="its counters",
                fix="try again; after a restart the first answer takes a second",
            ) from exc
        finally:
            self._waiting.pop(number, None)

    def forget_stream(self, name: str) -> None:
        """Drop a stream that was closed."""
        with self._lock:
            self._streams.pop(name, None)

    def abandon(self) -> None:
        """Give up everything in a forked child: the media process belongs to the parent."""
        self._lock = threading.Lock()  # the parent's other threads may have held the old one
        self._is_closed = True
        self._failure = MediaError(
            "this stream belongs to the process that this one was forked from",
            expected="push from the process that made the stream",
            fix="send the tensor to the parent process, or make a stream here",
        )
        for handle in self._streams.values():
            handle.abandon()
        self._process.abandon()

    def check_usable(self) -> None:
        """Raise MediaError when no stream can be made or used any more."""
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise MediaError(
                "the engine is closed", expected="an open one", fix="make a new GPUStream"
            )

    # --- on the engine's thread ---------------------------------------------------------------

    def _listen(self) -> None:
        while True:
            line = self._process.receive()
            if line:
                self._hear(line)
            elif not self._replace_process():
                return

    def _hear(self, line: bytes) -> None:
        try:
            name, message = decode_line(line, *_FROM_MEDIA)
        except SignalError:
            logger.exception("cannot read what the media process says")
            return
        match message:
            case Log():
                media_logger.log(message.level, "%s", message.text)
            case Stats():
                future = self._waiting.get(message.request)
                if future is not None and not future.done():
                    future.set_result(message.stats)
            case Ready():
                for handle in list(self._streams.values()):
                    handle.call(handle.listener.process_ready)
            case _:
                handle_or_none = self._streams.get(name)
                if handle_or_none is not None:
                    handle_or_none.hear(message)

    def _replace_process(self) -> bool:
        """Start another process in place of the one that has gone; False to end the thread."""
        last_words = self._process.reap()
        with self._lock:
            if self._is_closed:
                return False
            now_s = time.monotonic()
            self._deaths_s.append(now_s)
            logger.warning("the media process has died (%s)", last_words)
            if not may_restart(self._deaths_s, now_s):
                self._fail(last_words)
                return False
            self.epoch += 1
            self._process = _Process()
            self._process.send(encode("", self.configuration))
            handles = list(self._streams.values())
        for handle in handles:
            handle.tell_all()
            handle.call(handle.listener.process_started, self.epoch)
        return True

    def _fail(self, last_words: str) -> None:
        self._failure = MediaError(
            f"the media process died {_MAX_DEATHS + 1} times within {_DEATHS_WITHIN_S:.0f} s, "
            f"the last time with {last_words}",
            expected="a media process that keeps running",
            fix="run `python -m gpuview.media` in a terminal to see whether its imports work",
        )
        for handle in list(self._streams.values()):
            handle.call(handle.listener.process_failed, self._failure)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"pid={self._process.pid}"
        return f"<Engine {state} epoch={self.epoch} streams={len(self._streams)}>"


class StreamHandle:
    """One stream: where its frames go in, and where its viewers are asked for.

    A `gpuview.frames.readback.FrameSink`: `begin` and `publish` belong to one thread at a time.
    """

    def __init__(
        self, engine: Engine, name: str, listener: StreamListener, opening: OpenStream
    ) -> None:
        self.name = name
        self.listener = listener
        self._engine = engine
        self._opening = opening
        self._lock = threading.Lock()  # guards what follows, and the order of messages
        self._told: _Process | None = None  # who knows of this stream
        self._ring: RingWriter | None = None
        self._event_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._n_earlier = 0  # frames that went through earlier rings

    @property
    def frames_pushed(self) -> int:
        """How many frames have been published."""
        return self._n_earlier + (self._ring.seq if self._ring is not None else 0)

    def begin(self, nbytes: int) -> memoryview:
        """Return ``nbytes`` writable bytes of a free slot, of a larger ring if need be.

        Raises:
            MediaError: There is no memory for it, or the stream is closed.
        """
        with self._lock:
            if self._event_fd < 0 or self._engine.is_closed:
                self._engine.check_usable()
                raise MediaError(
                    "the stream is closed", expected="an open one", fix="make a new GPUStream"
                )
            if self._ring is None or nbytes > self._ring.slot_nbytes:
                self._replace_ring(nbytes)
            assert self._ring is not None
            return self._ring.begin(nbytes)

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        """Make the slot that `begin` gave the newest frame, and wake the media process."""
        with self._lock:
            if self._ring is not None and self._event_fd >= 0:
                self._ring.publish(pixel_format, width, height, capture_ns)
                os.eventfd_write(self._event_fd, 1)

    def offer(self, offer: Offer) -> None:
        """Pass an offer on; the listener hears the answer.

        Raises:
            SignalError: It is too long to be passed on.
        """
        nbytes = len(encode(self.name, offer))
        if nbytes > _MAX_LINE_NBYTES:
            raise SignalError(
                f"the offer has {nbytes} bytes as JSON",
                expected=f"at most {_MAX_LINE_NBYTES}",
                fix="reload the page; a browser's own offer has some 6,000",
            )
        self.send(offer)

    def stats(self, timeout_s: float = 2.0) -> dict[str, Any]:
        """Return the media process's counters for this stream; waits for them.

        Raises:
            MediaError: It did not answer in time.
        """
        return self._engine.request_stats(self, timeout_s)

    def close(self) -> None:
        """Send the viewers away, and free the ring. Safe to call twice."""
        with self._lock:
            if self._event_fd < 0:
                return
            self._send(CloseStream())
            os.close(self._event_fd)
            self._event_fd = -1
            if self._ring is not None:
                self._ring.close()
        self._engine.forget_stream(self.name)

    def send(self, message: Message) -> None:
        """Send a message about this stream; never waits."""
        with self._lock:
            if self._event_fd >= 0:
                self._send(message)

    def tell_all(self) -> None:
        """Tell a new media process everything about this stream."""
        with self._lock:
            if self._event_fd >= 0:
                self._introduce()

    def abandon(self) -> None:
        """Give up everything in a forked child."""
        self._lock = threading.Lock()
        if self._event_fd >= 0:
            os.close(self._event_fd)
            self._event_fd = -1

    def _send(self, message: Message, fds: Sequence[int] = ()) -> None:
        self._introduce().send(encode(self.name, message), fds)

    def _introduce(self) -> _Process:
        """Return the media process, after it has been told of this stream."""
        process = self._engine.process
        if process is not self._told:
            self._told = process
            process.send(encode(self.name, self._opening), [self._event_fd])
            if self._ring is not None:
                process.send(encode(self.name, AttachRing()), [self._ring.fd])
                os.eventfd_write(self._event_fd, 1)
        return process

    def hear(self, message: Message) -> None:
        """Tell the listener what the media process says."""
        match message:
            case Answer() | Refusal():
                self.call(self.listener.answered, message)
            case Viewers():
                self.call(self.listener.viewers_changed, message.views)
            case Trouble():
                error = MediaError(message.problem, expected=message.expected, fix=message.fix)
                self.call(self.listener.troubled, error if message.problem else None)

    def call(self, listener: Any, *args: object) -> None:
        """Call a listener; what goes wrong there must not end the engine's thread."""
        try:
            listener(*args)
        except Exception:
            logger.exception("a listener of stream %s failed", self.name)

    def _replace_ring(self, nbytes: int) -> None:
        ring = RingWriter.create(nbytes)
        if self._ring is not None:
            self._n_earlier += self._ring.seq
            self._ring.close()
        self._ring = ring
        self._send(AttachRing(), [ring.fd])

    def __repr__(self) -> str:
        state = "open" if self._event_fd >= 0 else "closed"
        return f"<StreamHandle {self.name} {state} frames_pushed={self.frames_pushed}>"


# --- the kernel's one engine ------------------------------------------------------------------

_engine: Engine | None = None
_spare: _Process | None = None
_engine_lock = threading.Lock()


def prestart() -> None:
    """Start a media process for the first stream to find, which it then needs not wait for.

    Its imports take half a second: as long as the user's own, beside which they run.
    """
    global _spare
    with _engine_lock:
        if _engine is None and _spare is None:
            _spare = _Process()


def shared_engine(configuration: Configure) -> Engine:
    """Return this process's engine, started if need be.

    Raises:
        MediaError: It runs with another configuration for streams that are still open.
    """
    global _engine, _spare
    with _engine_lock:
        if _engine is not None and not _engine.is_closed:
            if _engine.configuration == configuration:
                return _engine
            if _engine.has_streams:
                raise MediaError(
                    f"this kernel's media process runs with {_engine.configuration}, "
                    f"not with {configuration}",
                    expected="the same public_ip and ports for all streams of a kernel",
                    fix="close the other streams first, or use their settings",
                )
        if _engine is not None:
            _engine.close()
        _engine, _spare = Engine(configuration, _spare), None
        return _engine


def close_shared_engine() -> None:
    """End this process's media process; the next stream starts another."""
    global _engine, _spare
    with _engine_lock:
        if _engine is not None:
            _engine.close()
        if _spare is not None:
            _spare.hang_up()
            _spare.reap()
        _engine = _spare = None


def _abandon_in_child() -> None:
    global _engine, _spare, _engine_lock
    _engine_lock = threading.Lock()
    if _engine is not None:
        _engine.abandon()
    if _spare is not None:
        _spare.abandon()
    _engine = _spare = None


atexit.register(close_shared_engine)
os.register_at_fork(after_in_child=_abandon_in_child)
