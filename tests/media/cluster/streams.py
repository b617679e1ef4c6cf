"""The streams of a worker and of a notebook in this process: real sockets over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import zmq

from gpuview import __version__
from gpuview.media.streams import Streams
from gpuview.protocol.cluster_messages import (
    Join,
    JoinChanged,
    JoinRun,
    ListenForWorkers,
    Listening,
    OpenRun,
    Worker,
    WorkersChanged,
)
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.media_messages import Configure, OpenStream, Viewers
from gpuview.protocol.page_messages import Message, Problem
from gpuview.protocol.wire import decode_text, encode_text
from gpuview.protocol.worker_channels import ChannelMessage
from gpuview.testing.carrier_page import CarrierPage, connect
from tests.media.streaming import Streaming
from tests.waiting import wait_until_async

M = TypeVar("M", bound=Message)


class KeyPair:
    """A CURVE key pair, as text."""

    def __init__(self) -> None:
        public, secret = zmq.curve_keypair()
        self.public, self.secret = public.decode(), secret.decode()


def join_run(
    port: int, notebook: KeyPair, worker: KeyPair, *, endpoints: Sequence[str] = (), **fields: Any
) -> JoinRun:
    settings: dict[str, Any] = {"run": "run1", "rank": 0, "world_size": 1, "host": "node7"}
    return JoinRun(
        endpoints=list(endpoints) or [f"tcp://127.0.0.1:{port}"],
        notebook_key=notebook.public,
        public_key=worker.public,
        secret_key=worker.secret,
        **(settings | fields),
    )


class Notebook:
    """Streams that show a run's packets, on the running event loop."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        rank: int = 0,
        keys: KeyPair | None = None,
        worker_keys: KeyPair | None = None,
    ) -> None:
        self.said: list[tuple[str, Message]] = []
        self.keys, self.worker_keys = keys or KeyPair(), worker_keys or KeyPair()
        self.socket_path = folder / "gpuview" / "kernel-2.sock"
        self.streams = Streams(lambda stream, message: self.said.append((stream, message)))
        self.streams.receive("", Configure(socket_path=str(self.socket_path)), [])
        listen = ListenForWorkers(
            public_key=self.keys.public, secret_key=self.keys.secret, port=port
        )
        self.streams.receive("", listen, [])
        self.port = self.last(Listening).port
        self.open_run("s1", "run1", self.worker_keys, rank)

    def open_run(self, stream: str, run: str, keys: KeyPair, rank: int = 0) -> None:
        self.streams.receive(stream, OpenStream(fps=30, max_bitrate_bps=10**7), [os.eventfd(0)])
        self.streams.receive(stream, OpenRun(run=run, worker_key=keys.public, rank=rank), [])

    def last(self, kind: type[M], stream: str | None = None) -> M:
        """Return the newest message of a kind that it said to its kernel."""
        return next(
            message
            for name, message in reversed(self.said)
            if isinstance(message, kind) and stream in (None, name)
        )

    def changes(self, stream: str = "s1") -> list[WorkersChanged]:
        return [
            each for name, each in self.said if isinstance(each, WorkersChanged) and name == stream
        ]

    def workers(self, stream: str = "s1") -> list[Worker]:
        changes = self.changes(stream)
        return changes[-1].workers if changes else []

    @property
    def last_problem(self) -> Problem | None:
        return self.changes()[-1].problem if self.changes() else None

    @property
    def present(self) -> list[int]:
        """The ranks that are connected."""
        return [each.rank for each in self.workers() if each.silent_s is None]

    @property
    def encodes(self) -> Any:
        return self.streams._streams["s1"].fanout.encodes

    def page(self, stream: str = "s1") -> CarrierPage:
        return connect(self.socket_path, stream)

    def joining(self, **fields: Any) -> JoinRun:
        return join_run(self.port, self.keys, self.worker_keys, **fields)

    async def close(self) -> None:
        await self.streams.close()


class WorkerSide:
    """A stream that joins a notebook."""

    def __init__(self, stream: Streaming, joining: JoinRun) -> None:
        self.stream = stream
        self.playing = asyncio.create_task(stream.play())
        self.join(joining)

    def join(self, joining: JoinRun) -> None:
        self.stream.streams.receive("s1", joining, [])

    @property
    def states(self) -> list[JoinChanged]:
        return [each for _, each in self.stream.said if isinstance(each, JoinChanged)]

    @property
    def is_joined(self) -> bool:
        return bool(self.states) and self.states[-1].is_connected

    @property
    def views(self) -> list[str]:
        told = [message for _, message in self.stream.said if isinstance(message, Viewers)]
        return told[-1].views if told else []


class RawWorker:
    """Whoever has a key and speaks ZeroMQ, and says whatever it likes.

    Args:
        notebook: Whose port it comes to.
        keys: Those that it shows; None shows none.
    """

    def __init__(self, notebook: Notebook, keys: KeyPair | None) -> None:
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        if keys is not None:
            self._dealer.setsockopt_string(zmq.CURVE_SERVERKEY, notebook.keys.public)
            self._dealer.setsockopt_string(zmq.CURVE_PUBLICKEY, keys.public)
            self._dealer.setsockopt_string(zmq.CURVE_SECRETKEY, keys.secret)
        self._dealer.setsockopt(zmq.LINGER, 0)
        self._dealer.setsockopt(zmq.RECONNECT_IVL, -1)
        self._dealer.connect(f"tcp://127.0.0.1:{notebook.port}")
        self.got: list[ChannelMessage] = []

    def send(self, *parts: bytes) -> bool:
        """Send a message of any parts; return False if there is no room for it."""
        try:
            self._dealer.send_multipart(parts, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def say(self, message: Message, channel: int = 0) -> None:
        self.send(*ChannelMessage(channel, TEXT, encode_text(message).encode()).pack())

    def join(self, **fields: Any) -> None:
        usual = {"version": __version__, "attempt": "raw", "run": "run1", "rank": 0, "pid": 1}
        self.say(Join(**(usual | {"host": "node9", "world_size": 1} | fields)))

    def read(self) -> None:
        """Take what has come."""
        with contextlib.suppress(zmq.Again):
            while True:
                parts = self._dealer.recv_multipart(zmq.DONTWAIT)
                self.got.append(ChannelMessage.parse(parts))

    async def hear(self, kind: type[M], channel: int | None = None) -> tuple[int, M]:
        """Wait for a message of a kind; return its channel, and it."""
        found: list[tuple[int, M]] = []

        def look() -> bool:
            self.read()
            for each in self.got:
                if each.kind == TEXT and json.loads(each.content)["type"] == kind.__name__:
                    found.append((each.channel, decode_text(each.content.decode(), kind)))
                    self.got.remove(each)
                    return True
            return False

        await wait_until_async(look, f"a {kind.__name__} comes")
        return found[0]

    def close(self) -> None:
        self._dealer.close()
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@contextlib.asynccontextmanager
async def notebook_and_worker(
    folder: Path, **fields: Any
) -> AsyncIterator[tuple[Notebook, WorkerSide]]:
    """Give a notebook, and a worker that has joined it and pushes frames."""
    notebook = Notebook(folder / "notebook")
    stream = Streaming(folder / "worker")
    worker = WorkerSide(stream, notebook.joining(**fields))
    try:
        await wait_until_async(lambda: worker.is_joined and notebook.present, "it has joined")
        yield notebook, worker
    finally:
        worker.playing.cancel()
        await stream.close()
        await notebook.close()
