"""The media process: ``python -m gpuview.media FD KERNEL_PID``, started by ``gpuview.engine``.

Pipe in, pipe out. It ends when the kernel closes the pipe or dies, whatever killed it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys

from gpuview.media.hub import Hub
from gpuview.media.ice import upstream
from gpuview.media.internal_error import problem_of
from gpuview.media.pipe import Pipe, PipeLogHandler, close_all
from gpuview.protocol.codec import decode_line
from gpuview.protocol.messages import (
    AttachRing,
    Bye,
    Candidates,
    CloseStream,
    Configure,
    GetStats,
    IceServers,
    Offer,
    OpenStream,
    Ready,
)

logger = logging.getLogger("gpuview.media")

_FROM_KERNEL = (
    AttachRing,
    Bye,
    Candidates,
    CloseStream,
    Configure,
    GetStats,
    IceServers,
    Offer,
    OpenStream,
)


class MediaProcess:
    """Connects the pipe to the hub."""

    def __init__(self, sock: socket.socket) -> None:
        self._ended = asyncio.Event()
        self._pipe = Pipe(sock, self._read_line, self.end)
        self._hub = Hub(self._pipe.send)

    def end(self) -> None:
        """Make `run` return."""
        self._ended.set()

    async def run(self) -> None:
        handler = PipeLogHandler(self._pipe)
        logging.getLogger().addHandler(handler)
        self._pipe.send("", Ready())
        try:
            await self._ended.wait()
        finally:
            logging.getLogger().removeHandler(handler)
            await self._hub.close()
            self._pipe.close()

    def _read_line(self, line: bytes, fds: list[int]) -> None:
        try:
            stream, message = decode_line(line, *_FROM_KERNEL)
            self._hub.hear(stream, message, fds)
        except Exception as exc:
            problem = problem_of(exc).problem
            logger.error("cannot do what the kernel says: %s", problem)
        finally:
            close_all(fds)


async def _serve(fd: int, kernel_pid: int) -> None:
    process = MediaProcess(socket.socket(fileno=fd))
    # The end of the pipe is not enough: a child that the kernel forked holds it open.
    watch = os.pidfd_open(kernel_pid)
    asyncio.get_running_loop().add_reader(watch, process.end)
    try:
        await process.run()
    finally:
        asyncio.get_running_loop().remove_reader(watch)
        os.close(watch)


def main(argv: list[str]) -> None:
    """Run until the kernel has gone."""
    fd, kernel_pid = (int(word) for word in argv)
    logging.getLogger("gpuview").setLevel(logging.DEBUG)
    upstream.install()
    # The imports' objects stay for ever. If the collector looked at them again, it would hold up
    # the frames of all viewers for some 20 ms each time.
    gc.freeze()
    asyncio.run(_serve(fd, kernel_pid))


if __name__ == "__main__":
    main(sys.argv[1:])
