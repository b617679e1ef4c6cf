"""The socket for the jupyter-server extension: whose it is, and who gets in."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gpuview.errors import SignalError
from gpuview.media.carriers import socket_server
from gpuview.media.carriers.connection import Connection
from gpuview.media.carriers.socket_server import SocketServer
from gpuview.protocol.local_socket import BINARY, TEXT, Hello, frame_message
from gpuview.protocol.page_messages import Refusal
from gpuview.testing.carrier_page import connect
from tests.media.streaming import elsewhere
from tests.waiting import wait_until_async


def path_in(folder: Path) -> Path:
    return folder / "gpuview" / "kernel-1.sock"


class Admitted:
    """Admits everybody to stream ``s1``, and writes down what they say."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self.n_ended = 0

    def __call__(
        self, connection: Connection, stream: str
    ) -> tuple[Callable[[int, bytes], None], Callable[[], None]]:
        if stream != "s1":
            raise SignalError("there is no such stream", expected="s1", fix="none")
        return lambda kind, content: self.heard.append((kind, content)), self.end

    def end(self) -> None:
        self.n_ended += 1


def serve(folder: Path, use: Callable[[SocketServer, Admitted], Awaitable[None]]) -> None:
    async def live() -> None:
        admitted = Admitted()
        server = SocketServer(path_in(folder), admitted)
        try:
            await use(server, admitted)
        finally:
            server.close()
            await wait_until_async(lambda: not len(server), "all connections have ended")

    asyncio.run(live())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def no_work(server: SocketServer, admitted: Admitted) -> None:
    pass


class TestFiles:
    def test_they_are_their_owners_alone_and_gone_with_the_server(self, tmp_path: Path) -> None:
        path = path_in(tmp_path)

        async def use(server: SocketServer, admitted: Admitted) -> None:
            assert mode(path.parent) == 0o700
            assert mode(path) == 0o600
            assert mode(path.with_suffix(".token")) == 0o600
            assert sorted(path.parent.iterdir()) == [path, path.with_suffix(".token")]

        serve(tmp_path, use)
        assert list(path.parent.iterdir()) == []

    def test_socket_of_a_killed_process_is_replaced(self, tmp_path: Path) -> None:
        path = path_in(tmp_path)
        path.parent.mkdir(mode=0o700)
        for each in (path, path.with_suffix(".token")):
            each.touch(mode=0o600)

        async def use(server: SocketServer, admitted: Admitted) -> None:
            page = await elsewhere(connect, path, "s1")
            await elsewhere(page.close)

        serve(tmp_path, use)

    def test_server_that_was_replaced_leaves_its_successor_alone(self, tmp_path: Path) -> None:
        path = path_in(tmp_path)

        async def use(server: SocketServer, admitted: Admitted) -> None:
            SocketServer(path, Admitted()).close()  # which takes its place, and goes
            assert list(path.parent.iterdir()) == []
            successor = SocketServer(path, Admitted())
            server._remove(path)
            assert sorted(path.parent.iterdir()) == [path, path.with_suffix(".token")]
            successor.close()

        serve(tmp_path, use)

    @pytest.mark.parametrize("what", ["folder", "socket", "token", "link"])
    def test_what_others_may_open_is_not_used(self, tmp_path: Path, what: str) -> None:
        path = path_in(tmp_path)
        if what == "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            path.parent.symlink_to(tmp_path / "elsewhere")
        else:
            path.parent.mkdir(mode=0o755 if what == "folder" else 0o700)
        if what in ("socket", "token"):
            path.with_suffix(".sock" if what == "socket" else ".token").touch(mode=0o644)
        with pytest.raises(PermissionError, match="not ours alone"):
            serve(tmp_path, no_work)
        assert len(list(path.parent.iterdir())) == (what in ("socket", "token"))

    def test_folder_that_cannot_be_made_is_an_error_and_leaves_nothing(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(OSError, match="No such file"):
            serve(tmp_path / "missing", no_work)
        assert list(tmp_path.iterdir()) == []

    def test_path_may_be_longer_than_a_sockets_address(self, tmp_path: Path) -> None:
        folder = tmp_path / ("long" * 40)
        folder.mkdir()

        async def use(server: SocketServer, admitted: Admitted) -> None:
            page = await elsewhere(connect, path_in(folder), "s1")
            await elsewhere(page.close)

        serve(folder, use)


class TestGreeting:
    def test_who_knows_the_token_is_heard(self, tmp_path: Path) -> None:
        async def use(server: SocketServer, admitted: Admitted) -> None:
            page = await elsewhere(connect, path_in(tmp_path), "s1")
            await elsewhere(page.send_bytes, frame_message(TEXT, b"one") + frame_message(1, b"2"))
            await wait_until_async(lambda: len(admitted.heard) == 2, "both are heard")
            assert admitted.heard == [(TEXT, b"one"), (BINARY, b"2")]
            await elsewhere(page.close)
            await wait_until_async(lambda: admitted.n_ended == 1, "its end is noticed")

        serve(tmp_path, use)

    @pytest.mark.parametrize("token", ["", "guess", "\xe9", "x" * 100_000])
    def test_another_token_is_refused(self, tmp_path: Path, token: str) -> None:
        async def use(server: SocketServer, admitted: Admitted) -> None:
            page = await elsewhere(lambda: connect(path_in(tmp_path), "s1", token=token))
            refusal = await elsewhere(page.hear, Refusal)
            assert isinstance(refusal, Refusal)
            assert "token" in refusal.problem
            await elsewhere(page.wait_for_end)
            await elsewhere(page.close)
            assert admitted.heard == []

        serve(tmp_path, use)

    def test_a_guessed_stream_is_refused(self, tmp_path: Path) -> None:
        async def use(server: SocketServer, admitted: Admitted) -> None:
            page = await elsewhere(connect, path_in(tmp_path), "s2")
            refusal = await elsewhere(page.hear, Refusal)
            assert isinstance(refusal, Refusal)
            assert refusal.problem == "there is no such stream"
            await elsewhere(page.close)

        serve(tmp_path, use)

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff" * 100,
            frame_message(BINARY, Hello("t", "s1").encode()),
            frame_message(TEXT, b"[" * 100_000),
            frame_message(TEXT, b"\xff"),
            frame_message(TEXT, b"{}"),
            frame_message(7, b"{}"),
        ],
    )
    def test_garbage_ends_its_connection_and_no_other(self, tmp_path: Path, data: bytes) -> None:
        async def use(server: SocketServer, admitted: Admitted) -> None:
            good = await elsewhere(connect, path_in(tmp_path), "s1")
            bad = socket.socket(socket.AF_UNIX)
            bad.settimeout(30)
            await elsewhere(bad.connect, str(path_in(tmp_path)))
            await elsewhere(bad.sendall, data)
            while await elsewhere(bad.recv, 1000):
                pass
            bad.close()
            await elsewhere(good.send_bytes, frame_message(TEXT, b"still here"))
            await wait_until_async(lambda: admitted.heard, "the other one is heard")
            await elsewhere(good.close)

        serve(tmp_path, use)

    def test_peer_that_never_greets_is_sent_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket_server, "HELLO_TIMEOUT_S", 0.01)

        async def use(server: SocketServer, admitted: Admitted) -> None:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(30)
                await elsewhere(sock.connect, str(path_in(tmp_path)))
                assert await elsewhere(sock.recv, 1) == b""

        serve(tmp_path, use)

    def test_connections_beyond_the_limit_are_sent_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket_server, "MAX_CONNECTIONS", 2)

        async def use(server: SocketServer, admitted: Admitted) -> None:
            pages = [await elsewhere(connect, path_in(tmp_path), "s1") for _ in range(3)]
            await wait_until_async(lambda: not pages[2].is_open, "the third is sent away")
            assert pages[0].is_open
            for page in pages:
                await elsewhere(page.close)

        serve(tmp_path, use)


def test_descriptors_do_not_grow(tmp_path: Path) -> None:
    async def use(server: SocketServer, admitted: Admitted) -> None:
        counts = []
        for n in range(60):
            page = await elsewhere(connect, path_in(tmp_path), "s1")
            await elsewhere(page.close)
            await wait_until_async(lambda: not len(server), "it has ended")
            if n % 20 == 19:
                counts.append(len(os.listdir("/proc/self/fd")))
        assert counts[0] == counts[-1]

    serve(tmp_path, use)
