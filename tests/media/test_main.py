"""The media process's loop: one message of the kernel, whatever comes of it, ends nothing."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gpuview.media.__main__ import MediaProcess
from gpuview.media.hub import Hub
from gpuview.protocol.codec import decode_line, encode
from gpuview.protocol.messages import Bye, GetStats, Log, Message, OpenStream, Ready, Stats


def fail(*args: object) -> None:
    raise ZeroDivisionError("a fault of ours")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"this is no JSON", "cannot read a line"),
        (encode("s", OpenStream(fps=1.0, max_bitrate_bps=1)), "IndexError"),  # without its eventfd
        (encode("s", Bye(view="v")), "ZeroDivisionError: a fault of ours"),
    ],
)
def test_message_that_fails_is_logged_and_the_next_one_is_heard(
    monkeypatch: pytest.MonkeyPatch, line: bytes, said: str
) -> None:
    hear = Hub.hear

    def hear_all_but_byes(hub: Hub, name: str, message: Message, fds: list[int]) -> None:
        (fail if isinstance(message, Bye) else hear)(hub, name, message, fds)

    monkeypatch.setattr(Hub, "hear", hear_all_but_byes)
    log: list[str] = []

    async def main() -> None:
        ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = MediaProcess(ours)
        with kernel:
            kernel.settimeout(30)
            running = asyncio.ensure_future(process.run())
            kernel.send(line)
            kernel.send(encode("s", GetStats(request=1)))
            while True:
                answer = await asyncio.to_thread(kernel.recv, 1 << 18)
                _, message = decode_line(answer, Log, Ready, Stats)
                if isinstance(message, Stats):
                    break
                log.append(str(message))
        await running

    asyncio.run(main())
    assert said in "".join(log)
