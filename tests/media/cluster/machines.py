"""Two real media processes, the worker's and the notebook's, and the network between them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from gpuview.engine.process import MediaProcess
from gpuview.media.streams import FROM_KERNEL
from gpuview.protocol import (
    carrier_messages,
    cluster_messages,
    media_messages,
    page_messages,
)
from gpuview.protocol.cluster_messages import (
    JoinChanged,
    JoinRun,
    ListenForWorkers,
    Listening,
    OpenRun,
    Worker,
    WorkersChanged,
)
from gpuview.protocol.media_messages import AttachRing, Configure, OpenStream, Viewers
from gpuview.protocol.page_messages import Message
from gpuview.protocol.ring import HOST_SLOTS, PixelFormat, RingWriter, frame_nbytes
from gpuview.protocol.wire import decode_line, encode
from gpuview.testing.carrier_page import CarrierPage, connect
from gpuview.testing.peer import Image
from tests.media.cluster.streams import KeyPair, join_run
from tests.waiting import wait_until

__all__ = [
    "Machine",
    "NotebookMachine",
    "Proxy",
    "WorkerMachine",
    "assert_goes_on",
    "assert_shows",
    "wait_for_colour",
    "wait_for_views",
]

M = TypeVar("M", bound=Message)

WIDTH, HEIGHT = 320, 240

_FROM_MEDIA = tuple(
    kind
    for module in (carrier_messages, cluster_messages, media_messages, page_messages)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    if kind not in FROM_KERNEL or kind in (page_messages.Refusal, page_messages.Candidates)
)


class Machine:
    """A media process with a stream, ``s1``, and what it says to its kernel."""

    def __init__(self, configuration: Configure) -> None:
        self.said: list[tuple[str, Message]] = []
        self._configuration = configuration
        self._start()

    def _start(self) -> None:
        self.process = MediaProcess()
        self.said.clear()
        self._event_fd = os.eventfd(0)
        self.say(self._configuration, stream="")
        self._open_stream("s1")
        self._reader = threading.Thread(target=self._read, name="gpuview-test-read", daemon=True)
        self._reader.start()

    def say(self, message: Message, *, stream: str = "s1", fds: list[int] | None = None) -> None:
        self.process.send(encode(stream, message), fds or [])

    def last(self, kind: type[M], stream: str | None = None) -> M | None:
        """Return the newest message of a kind that it said, of any stream or one."""
        return next(
            (
                message
                for name, message in reversed(self.said)
                if isinstance(message, kind) and stream in (None, name)
            ),
            None,
        )

    def hear(self, kind: type[M]) -> M:
        """Wait for a message of a kind, and return the newest."""
        return wait_until(lambda: self.last(kind), f"a {kind.__name__} is said")  # type: ignore[return-value]

    def kill(self) -> None:
        """End it as a node that is gone."""
        os.kill(self.process.pid, signal.SIGKILL)
        self._reap()

    def close(self) -> None:
        self.process.close_pipe()
        self._reap()

    def _open_stream(self, stream: str) -> None:
        opening = OpenStream(fps=30, max_bitrate_bps=10**7)
        self.say(opening, stream=stream, fds=[self._event_fd])

    def _reap(self) -> None:
        self.process.reap()
        self._reader.join()
        os.close(self._event_fd)

    def _read(self) -> None:
        while line := self.process.receive():
            self.said.append(decode_line(line, *_FROM_MEDIA))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class NotebookMachine(Machine):
    """A media process that shows a run's packets."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.worker_keys = KeyPair(), KeyPair()
        self.socket_path = folder / "gpuview" / "kernel-9.sock"
        self._port: int | None = None
        folder.mkdir(exist_ok=True)
        super().__init__(Configure(socket_path=str(self.socket_path), public_ips=["127.0.0.1"]))

    def _start(self) -> None:
        super()._start()
        keys = self.keys
        self.say(
            ListenForWorkers(public_key=keys.public, secret_key=keys.secret, port=self._port),
            stream="",
        )
        self._open_run("s1", 0)
        self._port = self.hear(Listening).port

    @property
    def port(self) -> int:
        assert self._port
        return self._port

    def show(self, stream: str, rank: int | None, ranks: Sequence[int] = ()) -> None:
        """Open one more stream, of another rank, or of a grid of ranks."""
        self._open_stream(stream)
        self._open_run(stream, rank, ranks)

    def _open_run(self, stream: str, rank: int | None, ranks: Sequence[int] = ()) -> None:
        key = self.worker_keys.public
        opening = OpenRun(run="run1", worker_key=key, rank=rank, ranks=list(ranks))
        self.say(opening, stream=stream)

    def start_again(self) -> None:
        """Start as a kernel does after a media process has died, with the same keys and port."""
        self.kill()
        self._start()

    @property
    def workers(self) -> list[Worker]:
        return self.workers_of("s1")

    @property
    def present(self) -> list[int]:
        return self.present_of("s1")

    def workers_of(self, stream: str) -> list[Worker]:
        """Return those that a stream was told of last."""
        told = self.last(WorkersChanged, stream)
        return told.workers if told is not None else []

    def present_of(self, stream: str) -> list[int]:
        """Return the ranks that are connected, as a stream was told last."""
        return [each.rank for each in self.workers_of(stream) if each.silent_s is None]

    def page(self, stream: str = "s1") -> CarrierPage:
        return connect(self.socket_path, stream)

    def joining(self, port: int = 0, **fields: Any) -> JoinRun:
        return join_run(port or self.port, self.keys, self.worker_keys, **fields)


class WorkerMachine(Machine):
    """A media process whose stream shows frames, and that joins a run.

    Args:
        joining: The run.
    """

    def __init__(self, joining: JoinRun) -> None:
        self._ring = RingWriter.create(frame_nbytes(PixelFormat.RGB24, WIDTH, HEIGHT), HOST_SLOTS)
        self._joining = joining
        self._stopped = threading.Event()
        self.colour = (40, 90, 200)
        super().__init__(Configure())
        self._pushing = threading.Thread(target=self._push, name="gpuview-test-push", daemon=True)
        self._pushing.start()

    def _start(self) -> None:
        super()._start()
        self.say(AttachRing(), fds=[self._ring.fd])
        self.say(self._joining)

    def start_again(self) -> None:
        """Kill it, and start another one in its place."""
        self.kill_only()
        self.begin_again()

    def kill_only(self) -> None:
        """Kill it; `begin_again` starts another one in its place."""
        self._stop_pushing()
        self.kill()

    def begin_again(self) -> None:
        self._start()
        self._stopped.clear()
        self._pushing = threading.Thread(target=self._push, name="gpuview-test-push", daemon=True)
        self._pushing.start()

    @property
    def is_joined(self) -> bool:
        told = self.last(JoinChanged)
        return told is not None and told.is_connected

    @property
    def views(self) -> list[str]:
        told = self.last(Viewers)
        return told.views if told is not None else []

    def close(self) -> None:
        self._stop_pushing()
        super().close()
        self._ring.close()

    def _stop_pushing(self) -> None:
        self._stopped.set()
        self._pushing.join()

    def _push(self) -> None:
        nbytes = frame_nbytes(PixelFormat.RGB24, WIDTH, HEIGHT)
        while not self._stopped.wait(1 / 30):
            self._ring.begin(nbytes)[:nbytes] = bytes(self.colour) * (WIDTH * HEIGHT)
            self._ring.publish(PixelFormat.RGB24, WIDTH, HEIGHT)
            os.eventfd_write(self._event_fd, 1)


class Proxy:
    """A TCP port that leads to another one, and a network that can be cut. A thread of its own.

    Args:
        port: Where it leads.
    """

    def __init__(self, port: int) -> None:
        self.nbytes = 0
        """That have passed from the worker to the notebook."""
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="gpuview-test-proxy", daemon=True)
        self._passes = asyncio.Event()
        self._passes.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self.port: int = started.result(30)

    def cut(self) -> None:
        """Let nothing pass any more, and tell nobody."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def restore(self) -> None:
        """Let everything pass, late."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_forever()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink, is_counted in (
            (reader, far_writer, True),
            (far_reader, writer, False),
        ):
            pump = asyncio.create_task(self._pump(source, sink, is_counted))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_counted: bool
    ) -> None:
        try:
            while data := await source.read(65_536):
                await self._passes.wait()
                sink.write(data)
                await sink.drain()
                self.nbytes += len(data) * is_counted
        except OSError:
            pass
        finally:
            sink.close()

    async def _end(self) -> None:
        self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def assert_shows(image: Image, colour: tuple[int, int, int]) -> None:
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - colour).max() <= 3


def wait_for_colour(page: CarrierPage, colour: tuple[int, int, int], *, tile: int = 0) -> None:
    """Wait until the page shows a colour, in a grid the tile of a rank."""

    def shows() -> bool:
        image = page.frames_after(1, tile=tile).astype(int)
        return bool(np.abs(image - colour).max() <= 3)

    wait_until(shows, f"the page shows {colour}")


def assert_goes_on(page: CarrierPage) -> None:
    """Check what a page got, from one worker or several."""
    stamps = [each.timestamp for each in page.headers]
    assert stamps == sorted(set(stamps))
    assert [each.seq for each in page.headers] == list(range(len(stamps)))


def wait_for_views(workers: Sequence[WorkerMachine], *counts: int) -> None:
    """Wait until so many views watch each worker: it is told beside the packets."""
    wait_until(
        lambda: [len(each.views) for each in workers] == [*counts],
        f"{counts} views",
        describe=lambda: [each.views for each in workers],
    )
