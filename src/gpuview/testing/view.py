"""One view of a stream without a browser: it connects as a page does, and stays connected."""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypedDict, TypeVar

from av import VideoFrame

from gpuview.protocol.page_messages import PeerConfig, Pong, Refusal
from gpuview.testing.connection import Connection
from gpuview.testing.errors import ViewerEndedError
from gpuview.testing.link import poor_link
from gpuview.testing.peer import first_codec
from gpuview.testing.shaped_loop import ShapedLoop
from gpuview.testing.signalling import Signalling
from gpuview.testing.stream import StreamProxy
from gpuview.testing.waiting import Changing

__all__ = ["Timings", "View", "ViewOptions"]

T = TypeVar("T")

_MAX_BACKOFF_S = 8.0
_ENDS = {
    "gone": "its stream is closed or its kernel has ended",
    "vanished": "vanish() was called",
    "closed": "it is closed",
}
"""The states that no other one follows, but for the viewer's own close."""


class ViewOptions(TypedDict, total=False):
    """The options of a viewer, see `View`."""

    codecs: Sequence[str]
    is_decoding: bool
    loss: float
    delay_ms: float
    rate_bps: float
    seed: int


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the steps of the last offer took, counted from the moment it was made."""

    offer_to_answer_s: float | None = None
    offer_to_frame_s: float | None = None


class View:
    """A view, in a thread of its own, and its connections. A subclass takes what they bring.

    It offers at once. Like a page, it offers again when the media process is replaced and, once it
    has played, when its connection is lost. Any thread may use it.

    With ``loss``, ``delay_ms`` or ``rate_bps``, all of its UDP goes over such a link, in both
    directions alike; a queue holds 0.2 s of packets at ``rate_bps``.

    Args:
        stream: The stream to watch.
        codecs: The codecs to offer, the favourite first: "H264", "VP8".
        is_decoding: False drops the video as it arrives: frames are counted, and there are no
            pictures. Such a viewer costs next to nothing.
        loss: The share of packets that get lost, at least 0 and less than 1.
        delay_ms: How late each packet is, so that a round trip takes twice as long.
        rate_bps: What the link takes, in bits a second of whole IP packets.
        seed: Of the random loss: the same packets get lost, counted from the first.

    Raises:
        SettingsError: ``loss``, ``delay_ms`` or ``rate_bps`` is out of its range.
    """

    def __init__(
        self,
        stream: StreamProxy,
        *,
        codecs: Sequence[str] = ("H264", "VP8"),
        is_decoding: bool = True,
        loss: float = 0.0,
        delay_ms: float = 0.0,
        rate_bps: float = math.inf,
        seed: int = 1,
    ) -> None:
        self.link = poor_link(loss=loss, delay_ms=delay_ms, rate_bps=rate_bps, seed=seed)
        """What its packets go over, a `gpuview.testing.link.Link`; None if nothing is wrong."""
        self.view = f"headless-{secrets.token_hex(8)}"
        self._stream = stream
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
        self._offered_at = 0.0
        self._is_silent = threading.Event()
        self._may_end = threading.Event()
        self._loop = asyncio.SelectorEventLoop() if self.link is None else ShapedLoop(self.link)
        self._signalling = Signalling(stream, self.view, self._loop)
        self._thread = threading.Thread(target=self._run, name=f"gpuview-{self.view}")
        self._thread.daemon = True
        self._thread.start()

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

    def wait_for_state(self, *states: str, timeout_s: float = 30.0) -> str:
        """Wait until its state is one of ``states`` and return it.

        Raises:
            ViewerEndedError: It has ended, in another state.
            WaitTimeoutError: It is not in such a state in time.
        """
        return self._wait(
            lambda: self.state if self.state in states else None,
            timeout_s,
            f"state {' or '.join(states)}",
        )

    # --- the end -------------------------------------------------------------------------------

    def vanish(self) -> None:
        """Fall silent without a word, like a page whose machine lost its power."""
        self._fall_silent()
        self._become("vanished")

    def close(self) -> None:
        """Say bye, like a page whose output is cleared, and end. Safe to call twice."""
        if self.is_closed:
            return
        self._signalling.close()
        if not self._is_silent.is_set():
            self._signalling.bye()
            self._fall_silent()
        self._may_end.set()
        self._thread.join()
        self._become("closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.view} {self.state} seq={self.seq} frames={self.frame_count}>"

    # --- what a subclass takes, on the thread --------------------------------------------------

    def _begin(self) -> None:
        """Note that another connection begins."""

    def _show(self, timestamp: int, frame: VideoFrame | None) -> None:
        """Take a frame, and its RTP timestamp; None if frames are not decoded."""
        with self._changing.change():
            self._losses = 0
            if self.state == "connecting":
                elapsed_s = time.monotonic() - self._offered_at
                self.timings = Timings(self.timings.offer_to_answer_s, elapsed_s)
                self.state = "playing"
            self.frame_count += 1

    def _take_still(self, timestamp: int, png: bytes) -> None:
        """Take a still, and the RTP timestamp of a frame that shows it."""

    def _hear_pong(self, pong: Pong) -> None:
        with self._changing.change():
            self._pongs += 1

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._life = self._loop.create_task(self._live())
        self._life.add_done_callback(self._end)
        self._loop.run_forever()
        self._is_silent.set()
        # Until then nothing goes out, not even the end of the connection.
        self._may_end.wait()
        try:
            self._loop.run_until_complete(self._wind_up())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    def _end(self, live: asyncio.Task[None]) -> None:
        """Keep the error that ended the thread's work, if any, for the threads that wait."""
        if not live.cancelled():
            self._error = live.exception()
            self._become(self.state if self._error is None else "lost")

    def _fall_silent(self) -> None:
        if not self._is_silent.is_set():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._is_silent.wait()

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
        self._begin()
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

    def _become(self, state: str) -> None:
        with self._changing.change():
            self.state = state

    def _wait(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        def look_or_raise() -> T | None:
            if self._error is not None:
                raise self._error
            if not (found := look()) and self.state in _ENDS:
                raise ViewerEndedError(
                    f"waited for {what} of a viewer that has ended: {_ENDS[self.state]}",
                    expected="a viewer that plays",
                    fix="wait while the stream and the viewer are open, in the same test",
                )
            return found

        return self._changing.wait_for(
            look_or_raise, timeout_s=timeout_s, what=lambda: f"{what} of {self!r}"
        )
