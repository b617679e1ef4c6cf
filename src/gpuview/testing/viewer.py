"""A viewer without a browser: negotiates as the page does and hands back decoded frames."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

from av import VideoFrame

from gpuview.errors import SignalError
from gpuview.protocol.page_messages import PeerConfig, Refusal
from gpuview.testing.connection import Connection
from gpuview.testing.peer import Image, first_codec, image_of, to_rgb
from gpuview.testing.signalling import Signalling
from gpuview.testing.stream import StreamProxy
from gpuview.testing.waiting import Changing

__all__ = ["HeadlessViewer", "Timings"]

T = TypeVar("T")

_MAX_BACKOFF_S = 8.0


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the steps of the last offer took, counted from the moment it was made."""

    offer_to_answer_s: float | None = None
    offer_to_frame_s: float | None = None


class HeadlessViewer:
    """One view of a stream, in a thread of its own.

    It offers at once. Like a page, it offers again when the media process is replaced and, once it
    has played, when its connection is lost. Every frame is decoded, but converted to RGB only on
    request. aiortc takes a frame as complete when the next one begins, so the newest frame here is
    one frame old. Any thread may use it.

    Args:
        stream: The stream to watch.
        codecs: The codecs to offer, the favourite first: "H264", "VP8".
        is_decoding: False drops the video as it arrives: frames are counted, and there are no
            pictures. Such a viewer costs next to nothing.
    """

    def __init__(
        self,
        stream: StreamProxy,
        *,
        codecs: Sequence[str] = ("H264", "VP8"),
        is_decoding: bool = True,
    ) -> None:
        self.view = f"headless-{secrets.token_hex(8)}"
        self._codecs = tuple(codecs)
        self._is_decoding = is_decoding
        self._changing = Changing()
        self.state = "new"
        """The state of the view.

        new, offering, connecting, playing (a frame of this connection has come), refused,
        reconnecting (a connection that had played was lost), lost (it never played), gone (the
        stream is closed or its kernel ended), vanished, closed.
        """
        self.refusal: Refusal | None = None
        """Why the last offer was refused, if it was."""
        self.offer: str | None = None
        """The SDP of its last offer."""
        self.answer: str | None = None
        """The SDP of the last answer that it took."""
        self.timings = Timings()
        self.frame_count = 0
        """How many frames have come, over all its connections."""
        self._error: BaseException | None = None
        self._losses = 0  # in a row, without a frame
        self._pongs = 0
        self._stills: list[bytes] = []
        self._newest: VideoFrame | None = None
        self._taps: list[list[VideoFrame]] = []
        self._offered_at = 0.0
        self._loop = asyncio.new_event_loop()
        self._signalling = Signalling(stream, self.view, self._loop)
        self._thread = threading.Thread(target=self._run_loop, name=f"gpuview-{self.view}")
        self._thread.daemon = True
        self._thread.start()

    # --- state and frames ----------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        return self._loop.is_closed()

    @property
    def seq(self) -> int:
        """The number of its last offer."""
        return self._signalling.seq

    @property
    def codec(self) -> str | None:
        """The codec that the answer chose, such as "H264"."""
        return None if self.answer is None else first_codec(self.answer)

    def next_frame(self, *, timeout_s: float = 30.0) -> Image:
        """Return the next frame that is decoded, ``(H, W, 3)`` uint8 RGB.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: No frame came in time.
        """
        return self.frames(1, timeout_s=timeout_s)[0]

    def frames(self, count: int, *, timeout_s: float = 30.0) -> list[Image]:
        """Return the next ``count`` frames that are decoded, without leaving any out.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: Fewer frames came in time.
        """
        tap: list[VideoFrame] = []
        with self._changing.change():
            self._taps.append(tap)
        try:
            self._wait(lambda: len(tap) >= count, timeout_s, f"{count} frames")
        finally:
            self._taps.remove(tap)
        return [to_rgb(frame) for frame in tap[:count]]

    def wait_for_frames(self, count: int, *, timeout_s: float = 30.0) -> None:
        """Wait until ``count`` more frames have come, whether they are decoded or not.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: Fewer frames came in time.
        """
        target = self.frame_count + count
        self._wait(lambda: self.frame_count >= target, timeout_s, f"{count} frames")

    def wait_until(self, predicate: Callable[[Image], bool], *, timeout_s: float = 30.0) -> Image:
        """Return the first frame, from the newest on, for which ``predicate`` holds.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: No such frame came in time.
        """
        deadline = time.monotonic() + timeout_s
        seen = 0 if self._newest is None else self.frame_count - 1
        while True:
            seen, frame = self._wait(
                partial(self._newer_than, seen),
                deadline - time.monotonic(),
                f"a frame that satisfies the predicate, after {seen} frames",
            )
            image = to_rgb(frame)
            if predicate(image):
                return image

    def wait_for_state(self, *states: str, timeout_s: float = 30.0) -> str:
        """Wait until its state is one of ``states`` and return it.

        Raises:
            WaitTimeoutError: It is not in such a state in time.
        """
        return self._wait_unless_failed(
            lambda: self.state if self.state in states else None,
            timeout_s,
            f"state {' or '.join(states)}",
        )

    def wait_for_seq(self, seq: int, *, timeout_s: float = 30.0) -> None:
        """Wait until it has made offer number ``seq``.

        Raises:
            WaitTimeoutError: It has not in time.
        """
        self._wait(lambda: self.seq >= seq, timeout_s, f"offer {seq}")

    def wait_for_pong(self, *, timeout_s: float = 30.0) -> None:
        """Wait until the kernel's side has answered a ping.

        Raises:
            WaitTimeoutError: It has not in time.
        """
        before = self._pongs
        self._wait(lambda: self._pongs > before, timeout_s, "a pong")

    def next_still(self, *, timeout_s: float = 30.0) -> Image:
        """Return the next still picture, ``(H, W, 3)`` uint8 RGB without loss.

        A still that has come is returned once; 0.3 s after its last frame, a stream sends one.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: None came in time.
        """
        self._wait(lambda: self._stills, timeout_s, "a still picture")
        return image_of(self._stills.pop(0))

    # --- the end -------------------------------------------------------------------------------

    def vanish(self) -> None:
        """Fall silent without a word, like a page whose machine lost its power."""
        self._stop_loop()
        self._become("vanished")

    def close(self) -> None:
        """Say bye, like a page whose output is cleared, and end."""
        if self.is_closed:
            return
        self._signalling.close()
        if self._thread.is_alive():
            self._signalling.bye()
            self._stop_loop()
        self._loop.run_until_complete(self._wind_up())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._become("closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<HeadlessViewer {self.view} {self.state} seq={self.seq} frames={self.frame_count}>"

    # --- the thread ----------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._life = self._loop.create_task(self._live())
        self._life.add_done_callback(self._end)
        self._loop.run_forever()

    def _end(self, live: asyncio.Task[None]) -> None:
        """Keep the error that ended the thread's work, if any, for the threads that wait."""
        if not live.cancelled():
            self._error = live.exception()
            self._become(self.state if self._error is None else "lost")

    def _stop_loop(self) -> None:
        # `close` runs the loop again for the work that is left; until then nothing goes out.
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _wind_up(self) -> None:
        # First, because it closes the connection, which needs aiortc's own tasks.
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self) -> None:
        """Ask how to connect; then keep one connection, as long as there is a stream."""
        peer_config = await self._signalling.ask_for_peer_config()
        if isinstance(peer_config, Refusal):
            self._be_refused(peer_config)
            return
        while not self._signalling.is_over:
            await self._watch_once(peer_config)
        self._become("gone")

    async def _watch_once(self, peer_config: PeerConfig) -> None:
        """Make one connection and keep it until it is lost or the media process is replaced."""
        connection = Connection(
            self._codecs,
            peer_config,
            is_decoding=self._is_decoding,
            on_frame=self._show,
            on_pong=self._hear_pong,
            on_still=self._take_still,
            on_loss=self._signalling.wake,
        )
        try:
            await self._connect(connection)
            while self._signalling.is_current and not connection.is_lost:
                await connection.add_candidates(self._signalling.received_candidates())
                await self._signalling.wait_for_news()
        finally:
            await connection.close()
        if connection.is_lost:
            await self._wait_to_reconnect()

    async def _connect(self, connection: Connection) -> None:
        self._offered_at = time.monotonic()
        self.refusal = None
        self.offer = await connection.make_offer()
        self._become("offering")
        reply = await self._signalling.offer(self.offer)
        if isinstance(reply, Refusal):
            self._be_refused(reply)
        elif reply is not None:
            self.timings = Timings(offer_to_answer_s=time.monotonic() - self._offered_at)
            self.answer = reply.sdp
            self._become("connecting")
            await connection.accept(reply.sdp)
            self._signalling.send_candidates(connection.local_candidates())

    async def _wait_to_reconnect(self) -> None:
        """Wait until it is time for the next connection, if there is to be one."""
        if self.frame_count == 0:
            self._become("lost")
            while self._signalling.is_current:
                await self._signalling.wait_for_news()
            return
        self._become("reconnecting")
        self._losses += 1
        if self._losses > 1:
            await asyncio.sleep(min(2.0 ** (self._losses - 2), _MAX_BACKOFF_S))

    def _be_refused(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self._become("refused")

    def _hear_pong(self) -> None:
        with self._changing.change():
            self._pongs += 1

    def _take_still(self, png: bytes) -> None:
        with self._changing.change():
            self._stills.append(png)

    def _show(self, frame: VideoFrame | None) -> None:
        with self._changing.change():
            self._losses = 0
            if self.state == "connecting":
                elapsed_s = time.monotonic() - self._offered_at
                self.timings = Timings(self.timings.offer_to_answer_s, elapsed_s)
                self.state = "playing"
            self.frame_count += 1
            if frame is not None:
                self._newest = frame
                for tap in self._taps:
                    tap.append(frame)

    def _become(self, state: str) -> None:
        with self._changing.change():
            self.state = state

    def _newer_than(self, seen: int) -> tuple[int, VideoFrame] | None:
        if self._newest is None or self.frame_count <= seen:
            return None
        return self.frame_count, self._newest

    def _wait(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        def look_or_refuse() -> T | None:
            if (refusal := self.refusal) is not None:
                raise SignalError(refusal.problem, expected=refusal.expected, fix=refusal.fix)
            return look()

        return self._wait_unless_failed(look_or_refuse, timeout_s, what)

    def _wait_unless_failed(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        def look_or_raise() -> T | None:
            if self._error is not None:
                raise self._error
            return look()

        return self._changing.wait_for(
            look_or_raise, timeout_s=timeout_s, what=lambda: f"{what} of {self!r}"
        )
