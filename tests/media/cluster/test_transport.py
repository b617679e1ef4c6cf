"""Who comes to the workers' port, and what becomes of them: real ZeroMQ over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from gpuview.media.cluster import listener, runs, worker_dialler
from gpuview.media.cluster.connection_limit import Gate
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.media.streams import Streams
from gpuview.protocol.cluster_messages import (
    Joined,
    JoinRefused,
    ListenForWorkers,
    Listening,
    WatchTier,
)
from gpuview.protocol.local_socket import BINARY, TEXT
from gpuview.protocol.media_messages import CloseStream
from gpuview.protocol.page_messages import Message, Ping, Pong
from gpuview.protocol.worker_channels import ChannelMessage
from tests.media.cluster.streams import (
    KeyPair,
    Notebook,
    RawWorker,
    WorkerSide,
    notebook_and_worker,
)
from tests.media.streaming import Streaming
from tests.waiting import wait_until_async


def run(folder: Path, use: Callable[[Notebook], Awaitable[None]]) -> None:
    """Run with a notebook that no worker has joined."""

    async def live() -> None:
        notebook = Notebook(folder)
        try:
            await use(notebook)
        finally:
            await notebook.close()

    asyncio.run(live())


def run_joined(folder: Path, use: Callable[[Notebook, WorkerSide], Awaitable[None]]) -> None:
    """Run with a notebook that a worker has joined."""

    async def live() -> None:
        for name in ("notebook", "worker"):
            (folder / name).mkdir()
        async with notebook_and_worker(folder) as (notebook, worker):
            await use(notebook, worker)

    asyncio.run(live())


@contextlib.asynccontextmanager
async def worker_of(folder: Path) -> AsyncIterator[Streaming]:
    """Give a worker's streams, which has joined nothing yet."""
    (folder / "other").mkdir()
    stream = Streaming(folder / "other")
    try:
        yield stream
    finally:
        await stream.close()


async def answers(raw: RawWorker) -> None:
    """Let a raw worker answer pings, once."""
    channel, ping = await raw.hear(Ping)
    raw.say(Pong(sent_ms=ping.sent_ms, clock_ms=ping.sent_ms, width=64, height=48), channel)


# --- strangers --------------------------------------------------------------------------------


def test_wrong_key_is_not_let_in_and_the_worker_is_told_what_to_do(tmp_path: Path) -> None:
    async def use(notebook: Notebook) -> None:
        async with worker_of(tmp_path) as stream:
            notebook.worker_keys = KeyPair()  # that of another notebook, or of an old join file
            worker = WorkerSide(stream, notebook.joining())
            await wait_until_async(lambda: worker.states, "the worker is told")
            problem = worker.states[-1].problem
            assert problem is not None
            assert "does not know the key of run run1" in problem.problem
            assert "join()" in problem.fix
            assert notebook.workers() == []

    run(tmp_path, use)


def test_other_notebook_at_the_address_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_dialler, "_ANSWERS_IN_S", 0.5)

    async def use(notebook: Notebook) -> None:
        async with worker_of(tmp_path) as stream:
            notebook.keys = KeyPair()
            worker = WorkerSide(stream, notebook.joining())
            await wait_until_async(lambda: worker.states, "the worker is told")
            problem = worker.states[-1].problem
            assert problem is not None
            assert f"no notebook answers at tcp://127.0.0.1:{notebook.port}" in problem.problem
            assert notebook.workers() == []

    run(tmp_path, use)


def test_stranger_without_a_key_is_not_heard_and_the_worker_plays_on(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, None) as stranger, talking(notebook.port) as sock:
            stranger.join()
            gate = notebook.streams._runs._listener.gate  # type: ignore[union-attr]
            await wait_until_async(lambda: gate.n_open >= 2, "they have come")
            for _ in range(3):
                with contextlib.suppress(OSError):
                    sock.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(100_000))
                await asyncio.sleep(0.05)
            stranger.read()
            assert stranger.got == []
        assert [each.host for each in notebook.workers()] == ["node7"]
        assert notebook.last_problem is None
        assert worker.is_joined

    run_joined(tmp_path, use)


@contextlib.contextmanager
def talking(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setblocking(False)
        yield sock


def test_flood_of_strangers_shuts_the_port_for_a_while_and_the_worker_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_HANDSHAKE_MS", 1000)

    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        gate: Gate = notebook.streams._runs._listener.gate  # type: ignore[union-attr]
        socks: list[socket.socket] = []

        async def flood() -> None:
            while gate.n_shut == 0:
                sock = socket.socket()
                socks.append(sock)
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", notebook.port))
                await asyncio.sleep(0)

        try:
            async with asyncio.timeout(60):
                await flood()
            assert notebook.present == [0]
            assert worker.is_joined
        finally:
            for sock in socks:
                sock.close()
        with RawWorker(notebook, notebook.worker_keys) as another:
            another.join(rank=1)
            await another.hear(Joined)
        assert worker.is_joined

    run_joined(tmp_path, use)


def test_port_that_is_taken_is_said_so_and_streams_are_served(tmp_path: Path) -> None:
    async def main() -> None:
        said: list[Message] = []
        with socket.socket() as taken:
            taken.bind(("", 0))
            taken.listen()
            streams = Streams(lambda name, message: said.append(message))
            keys = KeyPair()
            streams.receive(
                "",
                ListenForWorkers(
                    public_key=keys.public, secret_key=keys.secret, port=taken.getsockname()[1]
                ),
                [],
            )
            await streams.close()
        (listening,) = said
        assert isinstance(listening, Listening)
        assert listening.problem is not None
        assert "cannot listen for workers" in listening.problem.problem

    asyncio.run(main())


# --- who has a key ----------------------------------------------------------------------------


def test_other_version_is_refused_on_both_sides_with_both_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_dialler, "__version__", "7.7.7")

    async def use(notebook: Notebook) -> None:
        async with worker_of(tmp_path) as stream:
            worker = WorkerSide(stream, notebook.joining())
            await wait_until_async(lambda: worker.states, "the worker is told")
            await wait_until_async(lambda: notebook.last_problem, "the notebook is told")
            for problem in (worker.states[-1].problem, notebook.last_problem):
                assert problem is not None
                assert "7.7.7" in problem.problem
                assert runs.__version__ in problem.problem
            assert notebook.workers() == []

    run(tmp_path, use)


def test_worker_that_is_refused_again_and_again_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(notebook: Notebook) -> None:
        for _ in range(3):
            with RawWorker(notebook, notebook.worker_keys) as raw:
                raw.join(version="7.7.7")
                await raw.hear(JoinRefused)

    run(tmp_path, use)
    assert sum("gpuview 7.7.7" in each.message for each in caplog.records) == 1


def test_key_of_one_run_opens_no_other(tmp_path: Path) -> None:
    async def use(notebook: Notebook) -> None:
        other = KeyPair()
        notebook.open_run("s2", "run2", other)
        with RawWorker(notebook, other) as worker:
            worker.join(run="run1")
            _, refused = await worker.hear(JoinRefused)
            assert "run2" in refused.problem.problem
            assert notebook.workers("s1") == notebook.workers("s2") == []
            assert notebook.changes("s1") == []

    run(tmp_path, use)


def test_garbage_ends_one_connection_and_the_other_worker_plays_on(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, notebook.worker_keys) as raw:
            raw.join(rank=1)
            await raw.hear(Joined)
            await wait_until_async(lambda: notebook.present == [0, 1], "it is in")
            raw.send(b"garbage")
            await wait_until_async(lambda: notebook.present == [0], "it is sent away")
        assert worker.is_joined
        assert len(worker.states) == 1

    run_joined(tmp_path, use)


@pytest.mark.parametrize(
    ("channel", "kind", "content"),
    [
        (0, TEXT, b"{}"),
        (9, BINARY, b"\1" + bytes(100)),
        (1, BINARY, b"\1" + bytes(100)),
        (1, TEXT, b"{}"),
        (1, TEXT, b'{"type": "Pong", "sent_ms": 1, "clock_ms": 1e300, "width": 1, "height": 1}'),
    ],
    ids=["about the connection", "no channel", "a packet where none is", "no message", "no time"],
)
def test_what_nobody_asked_for_ends_a_worker_s_session_with_a_sentence(
    tmp_path: Path, channel: int, kind: int, content: bytes
) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, notebook.worker_keys) as raw:
            raw.join(rank=1)
            await raw.hear(Joined)
            raw.send(*ChannelMessage(channel, kind, content).pack())
            _, refused = await raw.hear(JoinRefused)
            assert "rank 1 on node9 has sent" in refused.problem.problem
            await wait_until_async(
                lambda: notebook.last_problem == refused.problem, "the notebook is told"
            )
        assert notebook.present == [0]
        assert worker.is_joined

    run_joined(tmp_path, use)


def test_flood_of_a_worker_ends_its_session_and_its_connection(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, notebook.worker_keys) as raw:
            raw.join(rank=1)
            await raw.hear(Joined)
            await wait_until_async(lambda: notebook.present == [0, 1], "it is in")
            pong = Pong(sent_ms=1.0, clock_ms=1.0, width=64, height=48)
            async with asyncio.timeout(60):
                while notebook.present != [0]:
                    for _ in range(100):
                        raw.say(pong, 1)
                    await asyncio.sleep(0)
            await raw.hear(JoinRefused)
            problem = notebook.last_problem
            assert problem is not None
            assert "messages in a second" in problem.problem
            n_peers = len(notebook.streams._runs._listener._peers)  # type: ignore[union-attr]
            await wait_until_async(
                lambda: len(notebook.streams._runs._listener._peers) < n_peers,  # type: ignore[union-attr]
                "its connection is cut",
            )
        assert worker.is_joined

    run_joined(tmp_path, use)


def test_worker_that_never_reads_is_given_up(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, notebook.worker_keys) as raw:
            raw.join(rank=1)
            await wait_until_async(lambda: notebook.present == [0, 1], "it is in")
            await wait_until_async(lambda: notebook.present == [0], "it is given up")
            gone = notebook.workers()[1]
            assert gone.silent_s is not None
            assert gone.silent_s >= 3.0
        assert worker.is_joined

    run_joined(tmp_path, use)


def test_who_has_a_key_and_says_nothing_is_sent_away_and_the_workers_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_SAYS_WHO_S", 0.1)
    monkeypatch.setattr(listener, "_GATE_LOOK_S", 0.05)

    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        gate = notebook.streams._runs._listener.gate  # type: ignore[union-attr]
        with RawWorker(notebook, notebook.worker_keys):
            await wait_until_async(lambda: gate.n_open == 2, "it has come")
            await wait_until_async(lambda: gate.n_open == 1, "it is sent away")
        assert worker.is_joined
        assert len(worker.states) == 1

    run_joined(tmp_path, use)


def test_fault_in_one_look_at_the_gate_does_not_end_the_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "_SAYS_WHO_S", 0.1)
    monkeypatch.setattr(listener, "_GATE_LOOK_S", 0.05)

    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        gate = notebook.streams._runs._listener.gate  # type: ignore[union-attr]
        with monkeypatch.context() as broken:
            broken.setattr(listener.Listener, "_end_nameless", lambda _: 1 / 0)
            await wait_until_async(lambda: "ZeroDivisionError" in caplog.text, "it has failed")
        with RawWorker(notebook, notebook.worker_keys):
            await wait_until_async(lambda: gate.n_open == 2, "it has come")
            await wait_until_async(lambda: gate.n_open == 1, "it is sent away")
        assert worker.is_joined

    run_joined(tmp_path, use)


def test_worker_that_answers_pings_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_BEAT_S", 0.05)

    async def use(notebook: Notebook) -> None:
        with RawWorker(notebook, notebook.worker_keys) as raw:
            raw.join()
            await raw.hear(Joined)
            for _ in range(20):
                await answers(raw)
            assert notebook.present == [0]
            assert notebook.encodes.picture_size == (64, 48)

    run(tmp_path, use)


def test_worker_whose_place_is_taken_is_told_and_does_not_take_it_back(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        with RawWorker(notebook, notebook.worker_keys) as raw:
            raw.join()
            await raw.hear(Joined)
            await wait_until_async(lambda: not worker.is_joined, "the worker is out")
            await wait_until_async(lambda: worker.states[-1].problem, "it is told why")
            problem = worker.states[-1].problem
            assert problem is not None
            assert "process 1 on node9" in problem.problem
            await wait_until_async(
                lambda: [each.host for each in notebook.workers()] == ["node9"], "it is told"
            )

    run_joined(tmp_path, use)


def test_run_that_is_closed_sends_its_workers_away_and_knows_the_key_no_more(
    tmp_path: Path,
) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        notebook.streams.receive("s1", CloseStream(), [])
        await wait_until_async(lambda: not worker.is_joined, "the worker is out")
        await wait_until_async(lambda: worker.states[-1].problem, "it is told why")
        problem = worker.states[-1].problem
        assert problem is not None
        assert "does not know the key" in problem.problem

    run_joined(tmp_path, use)


def test_descriptor_that_has_another_owner_by_now_is_left_alone(tmp_path: Path) -> None:
    async def use(notebook: Notebook, worker: WorkerSide) -> None:
        found = notebook.streams._runs._listener  # type: ignore[union-attr]
        other, far = socket.socketpair()
        memory = os.memfd_create("gpuview")
        try:
            for fd in (other.fileno(), memory, 10_000):
                found._peers[b"gone"] = listener.Peer(found, b"gone", "", fd)
                n_before = len(os.listdir("/proc/self/fd"))
                found.cut(b"gone", fd)
                assert len(os.listdir("/proc/self/fd")) == n_before
            other.send(b"x")
            assert far.recv(1) == b"x"
        finally:
            os.close(memory)
            other.close()
            far.close()
        assert worker.is_joined

    run_joined(tmp_path, use)


def test_second_time_to_listen_changes_nothing(tmp_path: Path) -> None:
    async def use(notebook: Notebook) -> None:
        keys = notebook.keys
        notebook.streams.receive(
            "", ListenForWorkers(public_key=keys.public, secret_key=keys.secret), []
        )
        assert notebook.last(Listening).port == notebook.port

    run(tmp_path, use)


def test_nothing_is_watched_that_was_not_asked_for(tmp_path: Path) -> None:
    async def use(notebook: Notebook) -> None:
        with RawWorker(notebook, notebook.worker_keys) as raw:
            raw.join()
            await raw.hear(Joined)
            await raw.hear(Ping)
            raw.read()
            assert raw.got == []
            notebook.encodes.start(Codec("H264", "Main"), Tier.HALF, Demand)
            _, watch = await raw.hear(WatchTier)
            assert (watch.codec, watch.profile, watch.tier) == ("H264", "Main", 2)

    run(tmp_path, use)
