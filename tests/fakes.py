"""Stand-ins at the boundaries, as transcripts: no mocks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from gpuview.engine.listen_requests import ListenRequests
from gpuview.errors import MediaError, StreamClosedError
from gpuview.protocol.cluster_messages import (
    JoinChanged,
    JoinRun,
    ListenForWorkers,
    Listening,
    OpenRun,
    WorkersChanged,
)
from gpuview.protocol.interaction_messages import FromView, Interaction
from gpuview.protocol.media_messages import RecordingEnded, RecordingProgress, Stats
from gpuview.protocol.page_messages import (
    Answer,
    Candidates,
    GetPeerConfig,
    Message,
    Offer,
    PageLog,
    Refusal,
    Status,
)
from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.stats import NetworkStats

__all__ = ["FakeComm", "FakeEngine", "FakeHandle", "Listener"]

_WAIT_S = 30


class FakeComm:
    """A comm that writes down what the kernel says to its pages."""

    comm_id = "fake"
    kernel = "one that runs"  # ipywidgets sends nothing without

    def __init__(self, **opening: Any) -> None:
        self.opening = opening
        self.sent: list[dict[str, Any]] = []
        self._on_msg: Any = None

    def send(self, data: dict[str, Any], metadata: Any = None, buffers: Any = None) -> None:
        self.sent.append(data)

    def on_msg(self, callback: Any) -> None:
        self._on_msg = callback

    def on_close(self, callback: Any) -> None:
        pass

    def close(self, *args: Any, **options: Any) -> None:
        pass

    def say(self, data: dict[str, Any]) -> None:
        """Say something as a page does."""
        self._on_msg({"content": {"data": data}, "buffers": []})

    def custom(self) -> list[dict[str, Any]]:
        """Return the custom messages to the pages."""
        return [data["content"] for data in self.sent if data["method"] == "custom"]

    def updates(self, name: str) -> list[Any]:
        """Return the values of a trait that the pages were told."""
        return [
            data["state"][name]
            for data in self.sent
            if data["method"] == "update" and name in data["state"]
        ]


class Listener:
    """A stream's listener that writes down what the engine says."""

    def __init__(self) -> None:
        self.said: queue.Queue[tuple[str, object]] = queue.Queue()

    def answered(self, message: Answer | Refusal) -> None:
        self.said.put(("answered", message))

    def gathered(self, message: Candidates) -> None:
        self.said.put(("gathered", message))

    def viewers_changed(self, views: Sequence[str], paused: Sequence[str] = ()) -> None:
        self.said.put(("viewers", list(views)))

    def process_started(self, epoch: int) -> None:
        self.said.put(("started", epoch))

    def process_ready(self) -> None:
        self.said.put(("ready", None))

    def process_failed(self, error: MediaError) -> None:
        self.said.put(("failed", error))

    def encode_failed(self, error: MediaError | None) -> None:
        self.said.put(("encode_failed", error))

    def recorded(self, message: RecordingProgress | RecordingEnded) -> None:
        self.said.put(("recorded", message))

    def carried(self, view: str, content: str | bytes) -> None:
        self.said.put(("carried", (view, content)))

    def carrier_closed(self, view: str) -> None:
        self.said.put(("carrier_closed", view))

    def asked(self, message: GetPeerConfig | PageLog | FromView) -> None:
        self.said.put(("asked", message))

    def cluster_changed(self, message: Listening | WorkersChanged | JoinChanged) -> None:
        self.said.put(("cluster", message))

    def engine_closing(self) -> None:
        self.said.put(("closing", None))

    def forked(self, error: StreamClosedError) -> None:
        self.said.put(("forked", error))

    def hear(self, kind: str) -> object:
        """Wait for something of this kind; everything before it is passed over."""
        while True:
            said, what = self.said.get(timeout=_WAIT_S)
            if said == kind:
                return what


class FakeHandle:
    """A stream's handle that answers nothing by itself."""

    name = "s1"
    place = "0f1e/s1"

    def __init__(self) -> None:
        self.frames_pushed = 0
        self.frames_taken = 0
        self.sizes: list[tuple[int, int]] = []
        self._changed = threading.Condition()
        self.sent: list[Message] = []
        """All but what every page is told."""
        self.statuses: list[str] = []
        self.interactions: list[Interaction] = []
        self.tunnels: list[str] = []
        """The views that have one."""
        self.is_closed = False
        self.n_released = 0
        self.limits: tuple[float, int] | None = None
        self.runs: list[OpenRun | JoinRun] = []

    @property
    def offers(self) -> list[Offer]:
        return [message for message in self.sent if isinstance(message, Offer)]

    def begin(self, nbytes: int) -> memoryview:
        return memoryview(bytearray(nbytes))

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        with self._changed:
            self.sizes.append((width, height))
            self.frames_pushed += 1
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until this many frames have been pushed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.frames_pushed >= count, _WAIT_S)

    def check_open(self) -> None:
        if self.is_closed:
            raise StreamClosedError("closed", expected="open", fix="another")

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        if isinstance(message, Status):
            self.statuses.append(message.state)
        elif isinstance(message, Interaction):
            self.interactions.append(message)
        else:
            self.sent.append(message)

    def open_tunnel(self, view: str) -> bool:
        self.tunnels.append(view)
        return True

    def close_tunnel(self, view: str) -> None:
        self.tunnels.remove(view)

    def stats(self) -> Stats:
        network = NetworkStats(port=40000)
        return Stats(request=1, frames_taken=self.frames_taken, network=network)

    def release(self) -> None:
        self.n_released += 1

    def set_limits(self, *, fps: float, max_bitrate_bps: int) -> None:
        self.limits = (fps, max_bitrate_bps)

    def join(self, run: JoinRun) -> None:
        with self._changed:
            self.runs.append(run)
            self._changed.notify_all()

    def wait_for_join(self, count: int) -> None:
        """Wait until the stream has been joined to a run this many times."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.runs) >= count, _WAIT_S)

    def close(self) -> None:
        self.is_closed = True


class FakeEngine:
    """An engine without a process."""

    epoch = 1
    process = SimpleNamespace(pid=4711)

    def __init__(self) -> None:
        self.handles: list[FakeHandle] = []
        self.listeners: list[Any] = []
        self.listen_requests = ListenRequests()

    def open_stream(
        self, listener: Any, *, fps: float, max_bitrate_bps: int, run: OpenRun | None = None
    ) -> FakeHandle:
        self.listeners.append(listener)
        self.handles.append(FakeHandle())
        self.handles[-1].runs += [] if run is None else [run]
        return self.handles[-1]

    def listen_for_workers(self, listening: ListenForWorkers) -> None:
        self.listen_requests.ask(listening)
        self.listen_requests.take(Listening(port=40123))

    def views(self, *views: str) -> None:
        """Say that these views are watching the newest stream."""
        self.tell("viewers_changed", views)

    def tell(self, what: str, *args: object) -> None:
        """Call the newest stream's listener."""
        getattr(self.listeners[-1], what)(*args)


def sequence(values: Sequence[Any]) -> list[Any]:
    """Return the values without immediate repetitions."""
    return [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]
