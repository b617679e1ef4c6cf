"""Pages that reach the media process through the kernel."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import threading
from typing import Any

import pytest

from gpuview.engine import tunnels
from gpuview.engine.engine import Engine
from gpuview.engine.stream import StreamHandle
from gpuview.protocol.carrier_messages import Received, Watch
from gpuview.protocol.carrier_packets import PacketHeader
from gpuview.protocol.page_messages import Message, Ping
from gpuview.protocol.wire import encode_text
from tests.engine.test_engine import open_stream, show
from tests.fakes import Listener
from tests.waiting import wait_until


class Page:
    """A page behind the comm.

    Args:
        handle: Its stream.
        listener: Hears what comes for it.
    """

    def __init__(self, handle: StreamHandle, listener: Listener, view: str = "v") -> None:
        self.view = view
        self._handle = handle
        self._listener = listener
        handle.open_tunnel(view)

    def say(self, message: Message) -> None:
        self._handle.send_through_tunnel(self.view, encode_text(message))

    def hear(self) -> str | bytes:
        view, content = self._listener.hear("carried")  # type: ignore[misc]
        assert view == self.view
        return content  # type: ignore[no-any-return]

    def text(self, kind: str) -> dict[str, Any]:
        """Return the next text message of this kind; everything before it is passed over."""
        while True:
            content = self.hear()
            if isinstance(content, str) and json.loads(content)["type"] == kind:
                return json.loads(content)  # type: ignore[no-any-return]

    def packet(self) -> PacketHeader:
        """Return the next packet's header; everything before it is passed over."""
        while True:
            content = self.hear()
            if isinstance(content, bytes) and content[0] == 1:
                return PacketHeader.parse(content)

    def wait_for_end(self) -> None:
        assert self._listener.hear("carrier_closed") == self.view


def watched() -> tuple[Engine, StreamHandle, Page]:
    engine, handle, listener = open_stream()
    show(handle)
    page = Page(handle, listener)
    page.say(Watch(view="v", codec="VP8"))
    return engine, handle, page


def test_page_sees_the_stream_and_is_heard() -> None:
    engine, handle, page = watched()
    header = page.packet()
    assert (header.is_keyframe, header.seq, header.width, header.height) == (True, 0, 64, 48)
    page.say(Received(seq=0, arrived_ms=[1.0]))
    show(handle)
    assert page.packet().seq == 1
    page.say(Ping(sent_ms=7.5))
    assert page.text("Pong")["sent_ms"] == 7.5
    (viewer,) = handle.stats().viewers
    assert (viewer.view, viewer.carrier) == ("v", "comm")
    handle.close_tunnel("v")
    wait_until(lambda: not handle.stats().viewers, "the viewer has gone")
    assert len(engine.tunnels) == 0


def test_tunnel_that_is_opened_again_replaces_the_first_without_a_word() -> None:
    engine, handle, page = watched()
    page.packet()
    handle.open_tunnel("v")
    page.say(Ping(sent_ms=1.0))
    assert page.text("Pong")["sent_ms"] == 1.0
    assert len(engine.tunnels) == 1
    wait_until(lambda: not handle.stats().viewers, "the first one's viewer has gone")


def test_page_is_told_when_its_media_process_has_died() -> None:
    engine, _, page = watched()
    page.packet()
    os.kill(engine.process.pid, signal.SIGKILL)
    page.wait_for_end()
    assert len(engine.tunnels) == 0


def test_words_without_a_tunnel_go_nowhere() -> None:
    _, handle, _ = open_stream()
    assert not handle.send_through_tunnel("v", "{}")
    assert handle.open_tunnel("v")
    assert handle.send_through_tunnel("v", "{}")


def test_tunnels_beyond_the_limit_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "MAX_TUNNELS", 2)
    engine, handle, _ = open_stream()
    assert [handle.open_tunnel(view) for view in ("a", "b", "c")] == [True, True, False]
    assert len(engine.tunnels) == 2


def test_page_that_says_more_than_the_media_process_reads_is_cut_off() -> None:
    engine, handle, _ = open_stream()
    handle.stats()  # it runs
    handle.open_tunnel("v")
    os.kill(engine.process.pid, signal.SIGSTOP)
    try:
        n = 0
        while handle.send_through_tunnel("v", " " * 100_000):
            n += 1
        assert 0 < n * 100_000 < 20 * tunnels.MAX_UNSENT_NBYTES
        assert len(engine.tunnels) == 0
    finally:
        os.kill(engine.process.pid, signal.SIGCONT)


def test_words_for_ten_thousand_views_without_a_tunnel_open_none() -> None:
    engine, handle, page = watched()
    page.packet()
    for n in range(10_000):
        handle.send_through_tunnel(f"unknown-{n}", "x" * 1000)
    assert len(engine.tunnels) == len(engine.tunnels._sockets) == 1
    page.say(Ping(sent_ms=4.0))
    assert page.text("Pong")["sent_ms"] == 4.0


def test_view_that_opens_its_tunnel_over_and_over_has_a_bounded_number_of_sockets() -> None:
    engine, handle, _ = open_stream()
    handle.stats()  # the media process runs
    most = 0
    for _ in range(2000):
        handle.open_tunnel("v")
        most = max(most, len(engine.tunnels._sockets))
    assert most <= 2 * tunnels.MAX_TUNNELS
    wait_until(lambda: len(engine.tunnels._sockets) <= 1, "the earlier ones are closed")


@pytest.mark.parametrize("text", ["", "{}", "\ud800", "[" * 100_000, "x" * 300_000])
def test_garbage_ends_no_other_tunnel(text: str) -> None:
    _, handle, page = watched()
    page.packet()
    handle.open_tunnel("bad")
    for _ in range(30):
        handle.send_through_tunnel("bad", text)
    page.say(Ping(sent_ms=2.0))
    assert page.text("Pong")["sent_ms"] == 2.0


def test_stream_that_is_closed_closes_its_tunnels() -> None:
    engine, handle, page = watched()
    page.packet()
    handle.close()
    assert len(engine.tunnels) == 0
    wait_until(lambda: not engine.tunnels._sockets, "its socket is closed")


def test_engine_that_is_closed_leaves_no_thread_and_no_socket() -> None:
    engine, _, page = watched()
    page.packet()
    engine.close()
    assert engine.tunnels._sockets == set()
    assert "gpuview-tunnels" not in [each.name for each in threading.enumerate()]


def _say_in_child(handle: StreamHandle, engine: Engine) -> None:
    handle.open_tunnel("child")
    handle.send_through_tunnel("child", "{}")
    handle.close_tunnel("child")
    assert len(engine.tunnels) == 0
    assert engine.tunnels._sockets == set()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_no_part_in_it() -> None:
    engine, handle, page = watched()
    page.packet()
    child = multiprocessing.get_context("fork").Process(target=_say_in_child, args=(handle, engine))
    child.start()
    child.join()
    assert child.exitcode == 0
    page.say(Ping(sent_ms=3.0))
    assert page.text("Pong")["sent_ms"] == 3.0


def test_two_hundred_pages_that_come_and_go_leave_nothing() -> None:
    engine, handle, listener = open_stream()

    def come_and_go(n: int) -> None:
        for _ in range(n):
            show(handle)
            page = Page(handle, listener)
            page.say(Watch(view="v", codec="VP8"))
            page.packet()
            handle.close_tunnel("v")
        wait_until(lambda: not handle.stats().viewers, "all viewers have gone")
        wait_until(lambda: not engine.tunnels._sockets, "all sockets are closed")

    def counts() -> tuple[int, ...]:
        gc.collect()
        pids = (os.getpid(), engine.process.pid)
        fds = [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
        return *fds, *(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)

    come_and_go(20)
    before = counts()
    come_and_go(200)

    def is_no_more() -> bool:  # less: what an earlier test has closed takes a moment
        return all(now <= was for now, was in zip(counts(), before, strict=True))

    wait_until(is_no_more, f"no more is open than {before}", describe=counts)
