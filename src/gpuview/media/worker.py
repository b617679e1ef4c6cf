"""What the media process does, from its start to the end of its kernel."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket

from gpuview.media.ice import aioice_compat
from gpuview.media.internal_error import problem_of
from gpuview.media.pipe import Pipe, PipeLogHandler
from gpuview.media.streams import FROM_KERNEL, Streams
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.media_messages import Ready
from gpuview.protocol.wire import decode_line

__all__ = ["Worker", "serve"]

logger = logging.getLogger("gpuview.media")

_LOOK_EVERY_S = 1.0


class Worker:
    """Connects the pipe to the streams."""

    def __init__(self, sock: socket.socket) -> None:
        self._ended = asyncio.Event()
        self._pipe = Pipe(sock, self._read_line, self.end)
        self._streams = Streams(self._pipe.send)

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
            await self._streams.close()
            self._pipe.close()

    def _read_line(self, line: bytes, fds: list[int]) -> None:
        try:
            stream, message = decode_line(line, *FROM_KERNEL)
            self._streams.receive(stream, message, fds)
        except Exception as exc:
            problem = problem_of(exc).problem
            logger.error("a message from the kernel failed: %s", problem)
        finally:
            for fd in fds:  # that came with the message and were not kept
                os.close(fd)


async def _serve(fd: int, kernel_pid: int) -> None:
    worker = Worker(socket.socket(fileno=fd))
    tasks = BackgroundTasks()
    tasks.spawn(_end_with_kernel(worker, kernel_pid))
    await worker.run()
    await tasks.cancel()


async def _end_with_kernel(worker: Worker, kernel_pid: int) -> None:
    # The end of the pipe is not enough: a child that the kernel forked holds it open.
    parent_pid = os.getppid()  # the kernel, unless a wrapper starts this Python, or it has died
    while True:
        if os.getppid() != parent_pid or not _exists(kernel_pid):
            worker.end()
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def serve(fd: int, kernel_pid: int) -> None:
    """Run until the kernel ends.

    Args:
        fd: Our end of the pipe to the kernel.
        kernel_pid: The kernel's process.
    """
    logging.getLogger("gpuview").setLevel(logging.DEBUG)
    aioice_compat.install()
    # The imported objects never go away. Each time the collector scanned them, it would delay every
    # viewer's frames by some 20 ms.
    gc.freeze()
    asyncio.run(_serve(fd, kernel_pid))
