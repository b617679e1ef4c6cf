"""Starts the media process, keeps it running, and carries messages for all streams."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from copy import copy

from gpuview.engine.ice_servers_for_media import IceServersForMedia
from gpuview.engine.listen_requests import ListenRequests
from gpuview.engine.process import MediaProcess
from gpuview.engine.restart_limit import died_too_often, may_restart
from gpuview.engine.stats_requests import StatsRequests
from gpuview.engine.stream import StreamHandle, StreamListener
from gpuview.engine.tunnels import Tunnels
from gpuview.errors import (
    MediaEndedError,
    MediaError,
    SettingsError,
    StreamClosedError,
)
from gpuview.protocol.cluster_messages import (
    Agreed,
    JoinChanged,
    JoinRun,
    ListenForWorkers,
    Listening,
    OpenRun,
    WorkersChanged,
)
from gpuview.protocol.interaction_messages import FROM_VIEW
from gpuview.protocol.media_messages import (
    Configure,
    EncodeFailed,
    Log,
    OpenStream,
    PublishingChanged,
    Ready,
    RecordingEnded,
    RecordingProgress,
    Stats,
    Viewers,
    WantIceServers,
)
from gpuview.protocol.page_messages import (
    Answer,
    Candidates,
    GetPeerConfig,
    Message,
    PageLog,
    Refusal,
)
from gpuview.protocol.wire import decode_line, encode
from gpuview.settings import Settings

__all__ = ["Engine"]

logger = logging.getLogger("gpuview")
media_logger = logging.getLogger("gpuview.media")

_RETRY_S = 1.0

_FROM_MEDIA: tuple[type[Message], ...] = (
    Answer,
    Candidates,
    GetPeerConfig,
    JoinChanged,
    Listening,
    Log,
    PageLog,
    PublishingChanged,
    Ready,
    RecordingEnded,
    RecordingProgress,
    Refusal,
    Stats,
    EncodeFailed,
    Viewers,
    WantIceServers,
    WorkersChanged,
    Agreed,
    *FROM_VIEW,
)


class Engine:
    """Starts the media process, keeps it running, and carries messages for all streams.

    Args:
        configuration: The settings for the media process.
        settings: The source of its ICE servers; may be replaced.
        process: A media process that runs already, see `prestart`; None starts another.
    """

    def __init__(
        self, configuration: Configure, settings: Settings, process: MediaProcess | None = None
    ) -> None:
        self.configuration = configuration
        self.settings = settings
        self.epoch = 1
        self.tunnels = Tunnels()
        self.listen_requests = ListenRequests()
        self._ice_servers = IceServersForMedia()
        self._stats_requests = StatsRequests()
        # Guards the rest. It is the inner lock: while it is held, no handle's lock is taken and no
        # listener is called.
        self._lock = threading.Lock()
        self._streams: dict[str, StreamHandle] = {}
        self._numbers = itertools.count(1)
        self._deaths_s: list[float] = []
        self._failure: MediaError | None = None  # why no media process runs at present
        self._end: StreamClosedError | MediaEndedError | None = (
            None  # why no media process will run again
        )
        self._closing = threading.Event()
        self._process = process or MediaProcess()
        self._process.send(encode("", configuration))
        self._thread = threading.Thread(target=self._run, name="gpuview-engine", daemon=True)
        self._thread.start()

    @property
    def process(self) -> MediaProcess:
        """The current media process, or the last one."""
        return self._process

    @property
    def is_closed(self) -> bool:
        """Whether the media process has ended for good."""
        return self._closing.is_set() or self._end is not None

    @property
    def has_streams(self) -> bool:
        return bool(self._streams)

    def open_stream(
        self,
        listener: StreamListener,
        *,
        fps: float,
        max_bitrate_bps: int,
        run: OpenRun | JoinRun | None = None,
    ) -> StreamHandle:
        """Make a stream.

        Args:
            listener: Notified of its events, on the engine's thread; not kept alive.
            fps: The most frames sent per second.
            max_bitrate_bps: The most bits sent to one viewer per second.
            run: Which workers its frames come from, or which notebook they go to. The engine must
                listen for workers, and no other open stream may show the same rank of the run.

        Raises:
            MediaError: No media process runs, and it cannot be started.
            SettingsError: Another open stream shows this rank.
            StreamClosedError: The engine is closed.
        """
        with self._lock:
            self._check_running()
            if isinstance(run, OpenRun):
                self._check_only(run)
            name = f"s{next(self._numbers)}"
            opening = OpenStream(fps=fps, max_bitrate_bps=max_bitrate_bps)
            handle = StreamHandle(self, name, listener, opening, run)
            self._streams[name] = handle
        handle.open_in_process()
        return handle

    def listen_for_workers(self, listening: ListenForWorkers) -> None:
        """Listen for workers on other machines, with these keys, unless it does so already.

        Streams of runs are told of the answer, and `listen_requests` has it.

        Raises:
            SettingsError: It listens at another port.
        """
        with self._lock:
            if self.listen_requests.ask(listening):
                self._process.send(encode("", listening))

    def close(self) -> None:
        """End the media process, and every stream with it.

        The sources stop first: otherwise a failing push would show as an error on the page.
        """
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            handles = list(self._streams.values())
        for handle in handles:
            handle.tell(lambda listener: listener.engine_closing())
        self._process.close_pipe()
        self.tunnels.close()
        for handle in handles:
            handle.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def request_stats(self, handle: StreamHandle, timeout_s: float) -> Stats:
        """Request a stream's counters from the media process.

        Raises:
            MediaError: It does not run, or did not answer in time.
            StreamClosedError: The engine is closed.
        """
        with self._lock:
            self._check_running()
        return self._stats_requests.ask(handle, timeout_s)

    def forget_stream(self, name: str) -> None:
        """Drop a closed stream."""
        self.tunnels.close_stream(name)
        with self._lock:
            self._streams.pop(name, None)

    def abandon(self) -> None:
        """Close everything in a forked child: the media process belongs to the parent."""
        self._lock = threading.Lock()  # a thread of the parent may have held the old lock
        self._end = error = StreamClosedError(
            "this stream belongs to the process that this one was forked from",
            expected="a push in the process that made the stream",
            fix="send the tensor to the parent process, or make a stream here",
        )
        for handle in self._streams.values():
            handle.abandon(error)
        self.tunnels.abandon()
        self._process.abandon()

    def check_open(self) -> None:
        """Raise unless the media process runs, or will run again.

        Raises:
            MediaEndedError: It died too often.
            StreamClosedError: It belongs to the process that this one was forked from.
        """
        if self._end is not None:
            raise copy(self._end)  # raised again, the same object would collect tracebacks

    def _check_running(self) -> None:
        self.check_open()
        if self._closing.is_set():
            raise StreamClosedError(
                "the engine is closed", expected="an open engine", fix="make a new GPUStream"
            )
        if self._failure is not None:
            raise copy(self._failure)

    def _check_only(self, run: OpenRun) -> None:
        if run.rank is not None and any(
            isinstance(each.run, OpenRun) and (each.run.run, each.run.rank) == (run.run, run.rank)
            for each in self._streams.values()
        ):
            raise SettingsError(
                f"another open stream shows rank {run.rank} of the run {run.run!r}",
                expected="one stream for each rank, in any number of cells",
                fix="display the other stream once more, or close it first: stream.close()",
            )

    # --- on the engine's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                while line := self._process.receive():
                    self._read(line)
                if not self._replace_process():
                    return
        except Exception as exc:
            logger.exception("gpuview failed inside, please report it")
            self._give_up(
                MediaEndedError(
                    f"the engine failed with {exc!r}",
                    expected="a media process that restarts",
                    fix="make a new GPUStream, and report this",
                )
            )

    def _read(self, line: bytes) -> None:
        try:
            self._act(*decode_line(line, *_FROM_MEDIA))
        except Exception:
            logger.exception("a message from the media process failed")

    def _act(self, name: str, message: Message) -> None:
        match message:
            case Log():
                media_logger.log(message.level, "%s", message.text)
            case Stats():
                self._stats_requests.take(message)
            case WantIceServers():
                threading.Thread(
                    target=self._send_ice_servers,
                    args=(message.anew,),
                    name="gpuview-ice-servers",
                    daemon=True,
                ).start()
            case Listening():
                self.listen_requests.take(message)
                for handle in self._handles():
                    if isinstance(handle.run, OpenRun):
                        handle.receive(message)
            case Ready():
                for handle in self._handles():
                    handle.tell(lambda listener: listener.process_ready())
            case _ if name in self._streams:
                self._streams[name].receive(message)

    def _send_ice_servers(self, anew: bool) -> None:
        """Send the servers. Runs on its own thread, because a user's function may be slow."""
        self._process.send(encode("", self._ice_servers.message(self.settings, anew=anew)))

    def _replace_process(self) -> bool:
        """Start another process in place of a dead one; return False to end the thread."""
        stderr_tail = self._process.reap()
        if self._closing.is_set():
            return False
        logger.warning("the media process has died (%s)", stderr_tail)
        now_s = time.monotonic()
        self._deaths_s.append(now_s)
        if not may_restart(self._deaths_s, now_s):
            self._give_up(died_too_often(stderr_tail))
            return False
        process = self._start_process()
        if process is None:
            return False
        with self._lock:
            is_wanted = not self._closing.is_set()
            if is_wanted:
                self._process = process
                self._failure = None
                self.epoch += 1
                process.send(encode("", self.configuration))
                listening = self.listen_requests.reopened()
                if listening is not None:
                    process.send(encode("", listening))
        if not is_wanted:
            process.reap()
            return False
        for handle in self._handles():
            handle.open_in_process()
            handle.tell(lambda listener: listener.process_started(self.epoch))
        self._stats_requests.ask_again()
        return True

    def _start_process(self) -> MediaProcess | None:
        """Start a process, with retries; return None when the engine is closed."""
        while True:
            try:
                process = MediaProcess()
            except MediaError as exc:
                self._report_failure(exc)
                if self._closing.wait(_RETRY_S):
                    return None
            else:
                return process

    def _report_failure(self, error: MediaError) -> None:
        with self._lock:
            is_known = str(error) == str(self._failure)
            self._failure = error
        if not is_known:
            logger.warning("%s", error)
            for handle in self._handles():
                handle.tell(lambda listener: listener.process_failed(error))

    def _give_up(self, error: MediaEndedError) -> None:
        self._end = error
        self._report_failure(error)

    def _handles(self) -> list[StreamHandle]:
        with self._lock:
            return list(self._streams.values())

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"pid={self._process.pid}"
        return f"<Engine {state} epoch={self.epoch} streams={len(self._streams)}>"
