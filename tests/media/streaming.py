"""A media process with a stream that shows frames, and a socket that pages reach it by."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from gpuview.media.streams import Streams
from gpuview.protocol.media_messages import AttachRing, Configure, OpenStream
from gpuview.protocol.page_messages import Message
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import HOST_SLOTS, RingWriter
from gpuview.testing.carrier_page import CarrierPage, connect

__all__ = ["Streaming", "streaming"]

T = TypeVar("T")

WIDTH, HEIGHT = 320, 240
FPS = 30


class Streaming:
    """What a media process has, in this process, on the running event loop.

    Args:
        folder: In which its socket is.
        configuration: Further settings.
    """

    def __init__(self, folder: Path, **configuration: Any) -> None:
        self.said: list[tuple[str, Message]] = []
        """What it said to the kernel."""
        self.socket_path = folder / "gpuview" / "kernel-1.sock"
        self.streams = Streams(lambda stream, message: self.said.append((stream, message)))
        self.streams.receive("", Configure(socket_path=str(self.socket_path), **configuration), [])
        self._event_fd = os.eventfd(0)
        opening = OpenStream(fps=FPS, max_bitrate_bps=10**7)
        self.streams.receive("s1", opening, [os.dup(self._event_fd)])
        self._ring = RingWriter.create(frame_nbytes(PixelFormat.RGB24, WIDTH, HEIGHT), HOST_SLOTS)
        self.streams.receive("s1", AttachRing(), [os.dup(self._ring.fd)])
        self.n_pushed = 0

    def push(self) -> None:
        """Push a frame of one colour, which differs from the last one."""
        self.n_pushed += 1
        nbytes = frame_nbytes(PixelFormat.RGB24, WIDTH, HEIGHT)
        self._ring.begin(nbytes)[:nbytes] = bytes((self.n_pushed * 37 % 256,)) * nbytes
        self._ring.publish(PixelFormat.RGB24, WIDTH, HEIGHT)
        os.eventfd_write(self._event_fd, 1)

    async def play(self) -> None:
        """Push frames for ever."""
        while True:
            self.push()
            await asyncio.sleep(1 / FPS)

    def page(self, stream: str = "s1", token: str | None = None) -> CarrierPage:
        return connect(self.socket_path, stream, token=token)

    async def close(self) -> None:
        await self.streams.close()
        self._ring.close()
        os.close(self._event_fd)


@contextlib.asynccontextmanager
async def streaming(folder: Path, **configuration: Any) -> AsyncIterator[Streaming]:
    """Give a stream that shows frames."""
    stream = Streaming(folder, **configuration)
    playing = asyncio.create_task(stream.play())
    try:
        yield stream
    finally:
        playing.cancel()
        await stream.close()


async def elsewhere(work: Callable[..., T], *args: object) -> T:
    """Do what waits in another thread, while the event loop runs."""
    return await asyncio.to_thread(work, *args)
