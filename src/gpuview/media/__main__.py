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

from gpuview.errors import GpuviewError
from gpuview.media.hub import Hub
from gpuview.media.ice import upstream
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
from gpuview.protocol.ring import RingReader

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
            self._act(stream, message, fds)
        except (GpuviewError, LookupError) as exc:
            logger.error("cannot do what the kernel says: %s", exc)
        finally:
            close_all(fds)

    def _act(self, stream: str, message: object, fds: list[int]) -> None:
        match message:
            case Offer():
                self._hub.offer(stream, message)
            case Candidates():
                self._hub.candidates(stream, message)
            case Bye():
                self._hub.bye(stream, message)
            case GetStats():
                self._pipe.send(stream, self._hub.stats(stream, message.request))
            case OpenStream():
                self._hub.open_stream(stream, message, fds.pop())
            case AttachRing():
                ring = RingReader.attach(fds[0])
                fds.clear()  # it is the ring's from here on
                self._hub.attach_ring(stream, ring)
            case CloseStream():
                self._hub.close_stream(stream)
            case Configure():
                self._hub.configure(message)
            case IceServers():
                self._hub.take_ice_servers(message)


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
    # What the imports made stays for ever. The collector need not look at it again, which would
    # hold up the frames of all viewers for some 20 ms each time.
    gc.freeze()
    asyncio.run(_serve(fd, kernel_pid))


if __name__ == "__main__":
    main(sys.argv[1:])
