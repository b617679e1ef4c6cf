"""The media process's end of the pipe."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from gpuview.media.pipe import Pipe, PipeLogHandler
from gpuview.protocol.interaction_messages import Events, RenderEvent, SetKnob
from gpuview.protocol.media_messages import Log, Ready
from gpuview.protocol.wire import decode_line


def run(work: Callable[[Pipe, socket.socket, asyncio.Queue[object]], Awaitable[None]]) -> None:
    """Run with a pipe, the kernel's end of it, and a queue of what the pipe has heard."""

    async def main() -> None:
        heard: asyncio.Queue[object] = asyncio.Queue()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipe = Pipe(ours, lambda *line: heard.put_nowait(line), lambda: heard.put_nowait("end"))
        with theirs:
            theirs.settimeout(30)
            try:
                async with asyncio.timeout(60):
                    await work(pipe, theirs, heard)
            finally:
                pipe.close()

    asyncio.run(main())


def read_log(kernel: socket.socket) -> str:
    _, message = decode_line(kernel.recv(1 << 18), Log)
    assert isinstance(message, Log)
    return message.text


def test_messages_come_whole_with_their_descriptors_and_then_the_end() -> None:
    async def work(pipe: Pipe, kernel: socket.socket, heard: asyncio.Queue[object]) -> None:
        event_fd = os.eventfd(0)
        socket.send_fds(kernel, [b"first"], [event_fd])
        kernel.send(b"second")
        line, fds = await heard.get()  # type: ignore[misc]
        assert (line, len(fds)) == (b"first", 1)
        for fd in (event_fd, *fds):
            os.close(fd)
        assert await heard.get() == (b"second", [])
        kernel.shutdown(socket.SHUT_WR)
        assert await heard.get() == "end"

    run(work)


def test_messages_wait_in_their_order_while_the_kernel_does_not_read() -> None:
    async def work(pipe: Pipe, kernel: socket.socket, heard: asyncio.Queue[object]) -> None:
        for number in range(200):
            pipe.send("s", Log(level=10, text=f"{number} " + "x" * 10_000))
        loop = asyncio.get_running_loop()
        for number in range(200):
            text = await loop.run_in_executor(None, read_log, kernel)
            assert text.startswith(f"{number} ")

    run(work)


def test_what_views_say_is_bounded_while_the_kernel_does_not_read_and_moves_are_dropped_first() -> (
    None
):
    async def work(pipe: Pipe, kernel: socket.socket, heard: asyncio.Queue[object]) -> None:
        move = Events(view="v", events=[RenderEvent(type="pointer_move", timestamp=1)])
        click = Events(view="v", events=[RenderEvent(type="pointer_down", timestamp=1)])
        for _ in range(3000):
            pipe.send("s", move)
        n_moves_lost = pipe.n_dropped
        assert n_moves_lost > 1000
        for _ in range(100):
            pipe.send("s", click)
        assert pipe.n_dropped == n_moves_lost
        for _ in range(100_000):
            pipe.send("s", SetKnob(view="v", name="n", value=1))
        assert len(pipe._unsent) <= 1000

    run(work)


def test_message_that_is_too_long_is_said_and_costs_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(pipe: Pipe, kernel: socket.socket, heard: asyncio.Queue[object]) -> None:
        pipe.send("s", Log(level=10, text="x" * 10_000_000))
        pipe.send("s", Ready())
        assert decode_line(kernel.recv(1000), Ready) == ("s", Ready())

    run(work)
    assert "is too long to send" in caplog.text


def test_log_records_of_any_thread_reach_the_kernel() -> None:
    async def work(pipe: Pipe, kernel: socket.socket, heard: asyncio.Queue[object]) -> None:
        handler = PipeLogHandler(pipe)
        record = logging.LogRecord("gpuview.media", 30, "", 0, "said %s", ("so",), None)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, handler.emit, record)
        text = await loop.run_in_executor(None, read_log, kernel)
        assert text == "said so"

    run(work)
