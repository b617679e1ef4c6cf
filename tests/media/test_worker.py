"""The media process's main loop: no message from the kernel ends it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess

import pytest

from gpuview import child_python
from gpuview.media.encode import loop
from gpuview.media.streams import Streams
from gpuview.media.worker import Worker
from gpuview.protocol.media_messages import GetStats, Log, OpenStream, Ready, Stats
from gpuview.protocol.page_messages import Bye, Message
from gpuview.protocol.wire import decode_line, encode


def fail(*args: object) -> None:
    raise ZeroDivisionError("a fault of ours")


def log_of(line: bytes, fds: tuple[int, ...] = ()) -> str:
    """Send one message to a worker, and return its log up to the reply to the next message."""
    log: list[str] = []

    async def main() -> None:
        ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker = Worker(ours)
        with kernel:
            kernel.settimeout(30)
            running = asyncio.ensure_future(worker.run())
            socket.send_fds(kernel, [line], fds)
            kernel.send(encode("s", GetStats(request=1)))
            while True:
                reply = await asyncio.to_thread(kernel.recv, 1 << 18)
                _, message = decode_line(reply, Log, Ready, Stats)
                if isinstance(message, Stats):
                    break
                log.append(str(message))
        await running

    asyncio.run(main())
    return "".join(log)


@pytest.mark.parametrize(
    ("line", "logged"),
    [
        (b"this is no JSON", "cannot read a line"),
        (encode("s", OpenStream(fps=1.0, max_bitrate_bps=1)), "IndexError"),  # without its eventfd
        (encode("s", Bye(view="v")), "ZeroDivisionError: a fault of ours"),
    ],
)
def test_message_that_fails_is_logged_and_the_next_one_is_received(
    monkeypatch: pytest.MonkeyPatch, line: bytes, logged: str
) -> None:
    receive = Streams.receive

    def receive_all_but_byes(streams: Streams, name: str, message: Message, fds: list[int]) -> None:
        (fail if isinstance(message, Bye) else receive)(streams, name, message, fds)

    monkeypatch.setattr(Streams, "receive", receive_all_but_byes)
    assert logged in log_of(line)


def test_stream_that_cannot_be_opened_leaves_no_descriptor_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "SlotConverter", fail)
    read_fd, write_fd = os.pipe()  # end of file at `read_fd` shows that every copy is closed
    opening = encode("s", OpenStream(fps=1.0, max_bitrate_bps=1))
    try:
        assert "ZeroDivisionError" in log_of(opening, (write_fd,))
    finally:
        os.close(write_fd)
    os.set_blocking(read_fd, False)
    try:
        assert os.read(read_fd, 1) == b""
    finally:
        os.close(read_fd)


def test_process_whose_kernel_has_died_before_it_ran_ends_though_a_child_holds_the_pipe() -> None:
    kernel = subprocess.Popen(["true"])
    kernel.wait()
    held, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with held, theirs:
        words = child_python.command("gpuview.media", str(theirs.fileno()), str(kernel.pid))
        done = subprocess.run(words, pass_fds=[theirs.fileno()], timeout=60, check=False)
    assert done.returncode == 0
