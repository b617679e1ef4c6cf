"""Starts the media process, keeps it running, and carries messages for all streams."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from gpuview.engine.process import MAX_LINE_NBYTES, MediaProcess
from gpuview.engine.stream import StreamHandle, StreamListener
from gpuview.errors import MediaError, SettingsError, SignalError
from gpuview.protocol.codec import decode_line, encode
from gpuview.protocol.messages import (
    Answer,
    Candidates,
    Configure,
    EncodeFailed,
    GetStats,
    IceServers,
    Log,
    OpenStream,
    Problem,
    Ready,
    Refusal,
    Stats,
    Viewers,
    WantIceServers,
)
from gpuview.settings import Settings
from gpuview.webrtc.ice_url import has_ended

__all__ = ["Engine", "may_restart"]

logger = logging.getLogger("gpuview")
media_logger = logging.getLogger("gpuview.media")

_MAX_DEATHS = 5
_DEATHS_WITHIN_S = 60.0
_LOGIN_MARGIN_S = 60.0

_FROM_MEDIA = (
    Answer,
    Candidates,
    Log,
    Ready,
    Refusal,
    Stats,
    EncodeFailed,
    Viewers,
    WantIceServers,
)


def may_restart(deaths_s: Sequence[float], now_s: float) -> bool:
    """Tell whether a media process that died may be started again.

    Args:
        deaths_s: When media processes of this kernel died, this time included.
        now_s: This moment, on the same clock, in seconds.
    """
    return sum(now_s - death_s < _DEATHS_WITHIN_S for death_s in deaths_s) <= _MAX_DEATHS


class Engine:
    """Starts the media process, keeps it running, and carries messages for all streams.

    Args:
        configuration: What the media process is told of the settings.
        settings: Asked for ICE servers when the media process wants them; may be replaced.
        process: A media process that runs already, see `prestart`; None starts one.
    """

    def __init__(
        self, configuration: Configure, settings: Settings, process: MediaProcess | None = None
    ) -> None:
        self.configuration = configuration
        self.settings = settings
        self.epoch = 1
        self._told_ice_servers: IceServers | None = None
        # Guards what follows. Never held while a handle's lock is taken, which is the outer one,
        # nor while a listener is called.
        self._lock = threading.Lock()
        self._streams: dict[str, StreamHandle] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Stats]] = {}
        self._deaths_s: list[float] = []
        self._failure: MediaError | None = None
        self._is_closed = False
        self._process = process or MediaProcess()
        self._process.send(encode("", configuration))
        self._thread = threading.Thread(target=self._listen, name="gpuview-engine", daemon=True)
        self._thread.start()

    @property
    def process(self) -> MediaProcess:
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

    def request_stats(self, handle: StreamHandle, timeout_s: float) -> Stats:
        """Ask the media process for a stream's counters.

        Raises:
            MediaError: It did not answer in time.
        """
        number = next(self._numbers)
        future: Future[Stats] = Future()
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
                    future.set_result(message)
            case WantIceServers():
                name = "gpuview-ice-servers"
                threading.Thread(
                    target=self._tell_ice_servers, args=(message.anew,), name=name, daemon=True
                ).start()
            case Ready():
                for handle in list(self._streams.values()):
                    handle.call(handle.listener.process_ready)
            case _:
                handle_or_none = self._streams.get(name)
                if handle_or_none is not None:
                    handle_or_none.hear(message)

    def _tell_ice_servers(self, anew: bool) -> None:
        """Ask the settings, which may take its time, on a thread of its own."""
        told = self._told_ice_servers
        if anew or told is None or not _is_good(told):
            told = _ice_servers(self.settings)
            self._told_ice_servers = told
        self._process.send(encode("", told))

    def _replace_process(self) -> bool:
        """Start another process in place of the one that has gone; False to end the thread."""
        last_words = self._process.reap()
        with self._lock:
            if self._is_closed:
                return False
            logger.warning("the media process has died (%s)", last_words)
            try:
                self._restart(last_words)
            except MediaError as exc:
                self._failure = exc
            handles = list(self._streams.values())
        for handle in handles:
            if self._failure is None:
                handle.tell_all()
                handle.call(handle.listener.process_started, self.epoch)
            else:
                handle.call(handle.listener.process_failed, self._failure)
        return self._failure is None

    def _restart(self, last_words: str) -> None:
        now_s = time.monotonic()
        self._deaths_s.append(now_s)
        if not may_restart(self._deaths_s, now_s):
            raise _died_too_often(last_words)
        self._process = MediaProcess()
        self.epoch += 1
        self._process.send(encode("", self.configuration))

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"pid={self._process.pid}"
        return f"<Engine {state} epoch={self.epoch} streams={len(self._streams)}>"


def _ice_servers(settings: Settings) -> IceServers:
    """Return the servers for the kernel's side, or what is wrong with them; the other end logs."""
    try:
        message = IceServers(ice_servers=list(settings.ask_kernel_ice_servers()))
        _check_length(message)
    except SettingsError as exc:
        problem = Problem(problem=exc.problem, expected=exc.expected, fix=exc.fix)
        return IceServers(problems=[problem])
    return message


def _is_good(told: IceServers) -> bool:
    now_s = time.time() + _LOGIN_MARGIN_S
    return not told.problems and not any(has_ended(each, now_s) for each in told.ice_servers)


def _check_length(message: IceServers) -> None:
    nbytes = len(encode("", message))
    if nbytes > MAX_LINE_NBYTES:
        raise SettingsError(
            f"cannot pass on ICE servers of {nbytes} bytes as JSON",
            expected=f"at most {MAX_LINE_NBYTES}",
            fix="give fewer of them: one is enough, and three are many",
        )


def _died_too_often(last_words: str) -> MediaError:
    return MediaError(
        f"the media process died {_MAX_DEATHS + 1} times within {_DEATHS_WITHIN_S:.0f} s, "
        f"the last time with {last_words}",
        expected="a media process that keeps running",
        fix='see whether its imports work: python -c "import gpuview.media.__main__"',
    )
