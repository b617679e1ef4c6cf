"""A viewer without a browser: negotiates as the page does and hands back decoded frames."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Self, TypeVar, cast

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame

from gpuview.errors import SignalError
from gpuview.protocol.messages import Answer, PeerConfig, Refusal
from gpuview.testing.peer import Image, first_codec, make_peer, to_rgb
from gpuview.testing.signalling import REPEAT_S, Conversation, SendCustom, Speech
from gpuview.testing.stream import StreamProxy
from gpuview.testing.waiting import Changing
from gpuview.webrtc.sdp import candidates_of

__all__ = ["HeadlessViewer", "Timings"]

T = TypeVar("T")

PING_S = 2.0
"""How often the page says "ping" on the data channel."""


@dataclass(frozen=True, slots=True)
class Timings:
    """When what happened to the last offer, counted from the moment it was made."""

    offer_to_answer_s: float | None = None
    offer_to_frame_s: float | None = None


class HeadlessViewer:
    """One view of a stream, in a thread of its own.

    It offers at once, and again when the media process is replaced, as a page does. Unlike a page,
    it does not offer again when its connection is lost: a test is to see that. Every frame is
    decoded; only those that are asked for are converted. aiortc takes a frame as complete when the
    next one begins, so what it shows is one frame old. Any thread may use it.

    Args:
        stream: What to watch.
        codecs: The codecs to offer, the favourite first: "H264", "VP8".
    """

    def __init__(self, stream: StreamProxy, *, codecs: Sequence[str] = ("H264", "VP8")) -> None:
        self.view = f"headless-{secrets.token_hex(8)}"
        self._stream = stream
        self._codecs = tuple(codecs)
        self._conversation = Conversation(self.view)
        self._changing = Changing()
        self._state = "new"
        self._refusal: Refusal | None = None
        self._error: BaseException | None = None
        self._offer: str | None = None
        self._answer: str | None = None
        self._timings = Timings()
        self._candidates: set[str] = set()  # of the kernel's side
        self._pongs = 0
        self._frames = 0
        self._newest: VideoFrame | None = None
        self._taps: list[list[VideoFrame]] = []
        self._epoch = 0
        self._offered_at = 0.0
        self._peer: RTCPeerConnection | None = None
        self._loop = asyncio.new_event_loop()
        self._heard = asyncio.Event()
        self._unlisten = stream.listen(self._wake)
        self._thread = threading.Thread(target=self._run_loop, name=f"gpuview-{self.view}")
        self._thread.daemon = True
        self._thread.start()

    # --- what it sees --------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Where it stands.

        new, offering, connecting, playing (a frame of this connection was decoded), refused, lost
        (the connection ended), gone (the stream or its kernel did), vanished, closed.
        """
        return self._state

    @property
    def is_closed(self) -> bool:
        return self._loop.is_closed()

    @property
    def seq(self) -> int:
        """The number of its last offer."""
        return self._conversation.seq

    @property
    def refusal(self) -> Refusal | None:
        """Why the last offer was refused, if it was."""
        return self._refusal

    @property
    def offer(self) -> str | None:
        """The SDP of its last offer."""
        return self._offer

    @property
    def answer(self) -> str | None:
        """The SDP of the last answer that it took."""
        return self._answer

    @property
    def codec(self) -> str | None:
        """The codec that the answer chose, such as "H264"."""
        return None if self._answer is None else first_codec(self._answer)

    @property
    def timings(self) -> Timings:
        return self._timings

    @property
    def frame_count(self) -> int:
        """How many frames were decoded, over all its connections."""
        return self._frames

    def next_frame(self, *, timeout_s: float = 30.0) -> Image:
        """Return the next frame that is decoded, ``(H, W, 3)`` uint8 RGB.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: None came in time.
        """
        return self.frames(1, timeout_s=timeout_s)[0]

    def frames(self, count: int, *, timeout_s: float = 30.0) -> list[Image]:
        """Return the next ``count`` frames that are decoded, none left out.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: Not as many came in time.
        """
        tap: list[VideoFrame] = []
        with self._changing.change():
            self._taps.append(tap)
        try:
            self._wait(lambda: len(tap) >= count, timeout_s, f"{count} frames")
        finally:
            self._taps.remove(tap)
        return [to_rgb(frame) for frame in tap[:count]]

    def wait_until(self, predicate: Callable[[Image], bool], *, timeout_s: float = 30.0) -> Image:
        """Return the first frame, from the newest on, for which ``predicate`` holds.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: None did in time.
        """
        deadline = time.monotonic() + timeout_s
        seen = 0 if self._newest is None else self._frames - 1
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
            WaitTimeoutError: It is not in time.
        """
        return self._wait_unless_failed(
            lambda: self._state if self._state in states else None,
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

    # --- how it goes ---------------------------------------------------------------------------

    def vanish(self) -> None:
        """Fall silent without a word, as a page does whose machine lost its power."""
        self._stop_loop()
        self._become("vanished")

    def close(self) -> None:
        """Say bye, as a page does whose output is cleared, and end."""
        if self.is_closed:
            return
        self._unlisten()
        if self._thread.is_alive():
            self._say(self._conversation.bye())
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
        return f"<HeadlessViewer {self.view} {self._state} seq={self.seq} frames={self._frames}>"

    # --- the thread ----------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._live()).add_done_callback(self._end)
        self._loop.run_forever()

    def _end(self, live: asyncio.Task[None]) -> None:
        """Keep the error that ended the thread's work, if one did, for whoever waits."""
        if not live.cancelled():
            self._error = live.exception()
            self._become(self._state if self._error is None else "lost")

    def _stop_loop(self) -> None:
        # What the loop still had to do, it does when `close` runs it again: nothing goes out now.
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # closed in this very moment
            self._loop.call_soon_threadsafe(self._heard.set)

    async def _live(self) -> None:
        """Ask how to connect, then offer once for each media process that there is."""
        peer_config = await self._ask_how_to_connect()
        if isinstance(peer_config, Refusal):
            self._be_refused(peer_config)
            return
        while not self._is_over():
            self._epoch = self._stream.traits["epoch"]
            await self._connect(peer_config)
            while self._is_current():
                await self._take_candidates()
                await self._heard.wait()
                self._heard.clear()
            await self._disconnect()
        self._become("gone")

    def _is_over(self) -> bool:
        return not self._stream.is_open or self._stream.traits["status"]["state"] == "closed"

    def _is_current(self) -> bool:
        """Whether the media process that the last offer was meant for still runs."""
        return not self._is_over() and self._stream.traits["epoch"] == self._epoch

    async def _wind_up(self) -> None:
        await self._disconnect()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_how_to_connect(self) -> PeerConfig | Refusal:
        unasked = PeerConfig(view=self.view)
        if not self._stream.traits["needs_peer_config"]:
            return unasked
        reply: PeerConfig | Refusal | None = await self._converse(
            self._conversation.hello(), self._find_welcome, lambda: not self._is_over()
        )
        return reply or unasked

    async def _connect(self, peer_config: PeerConfig) -> None:
        self._peer = self._make_peer(peer_config)
        self._offered_at = time.monotonic()
        self._refusal = None
        await self._peer.setLocalDescription(await self._peer.createOffer())
        self._offer = self._peer.localDescription.sdp
        speech = self._conversation.offer(self._offer)
        self._become("offering")
        reply: Answer | Refusal | None = await self._converse(
            speech, self._find_reply, self._is_current
        )
        if reply is None:
            return
        self._say(self._conversation.ack())
        if isinstance(reply, Refusal):
            self._be_refused(reply)
        else:
            await self._accept(reply)

    def _be_refused(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._become("refused")

    async def _accept(self, answer: Answer) -> None:
        assert self._peer is not None
        self._timings = Timings(offer_to_answer_s=time.monotonic() - self._offered_at)
        self._answer = answer.sdp
        self._become("connecting")
        await self._peer.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        self._candidates = {str(each) for each in candidates_of(answer.sdp)}
        own = [str(each) for each in candidates_of(self._offer or "")]
        self._say(self._conversation.candidates(own))

    async def _take_candidates(self) -> None:
        """Use what the kernel has found since its answer."""
        if self._peer is None or self._peer.remoteDescription is None:
            return
        heard = chain.from_iterable(map(self._conversation.hear_candidates, self._stream.messages))
        for text in [text for text in heard if text not in self._candidates]:
            self._candidates.add(text)
            candidate = candidate_from_sdp(text.removeprefix("candidate:"))
            candidate.sdpMLineIndex = 0
            await self._peer.addIceCandidate(candidate)

    async def _disconnect(self) -> None:
        if self._peer is not None:
            peer, self._peer = self._peer, None
            await peer.close()

    def _make_peer(self, peer_config: PeerConfig) -> RTCPeerConnection:
        peer, channel = make_peer(self._codecs, peer_config)
        channel.on("message", self._hear_pong)
        channel.on("open", lambda: asyncio.ensure_future(self._ping(channel)))
        peer.on("track", lambda track: asyncio.ensure_future(self._watch(track)))
        peer.on("connectionstatechange", lambda: self._follow(peer))
        return peer

    async def _converse(
        self, speech: Speech, listen: Callable[[], T | None], is_worthwhile: Callable[[], bool]
    ) -> T | None:
        """Say something, again and again while that is worthwhile, until the reply is heard."""
        self._say(speech)
        while (reply := listen()) is None and is_worthwhile():
            try:
                async with asyncio.timeout(REPEAT_S):
                    await self._heard.wait()
            except TimeoutError:
                self._say(self._conversation.repeat())
            self._heard.clear()
        return reply

    def _say(self, speech: Speech) -> None:
        for each in speech:
            if isinstance(each, SendCustom):
                self._stream.send(each.content)
            else:
                self._stream.set_trait("offers", each.offers)

    def _find_reply(self) -> Answer | Refusal | None:
        return self._conversation.hear_answers(self._stream.traits["answers"])

    def _find_welcome(self) -> PeerConfig | Refusal | None:
        heard = map(self._conversation.hear_welcome, self._stream.messages)
        return next((reply for reply in heard if reply is not None), None)

    async def _ping(self, channel: RTCDataChannel) -> None:
        while channel.readyState == "open":
            channel.send("ping")
            await asyncio.sleep(PING_S)

    def _hear_pong(self, message: Any) -> None:
        with self._changing.change():
            self._pongs += message == "pong"

    async def _watch(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = cast(VideoFrame, await track.recv())
            except MediaStreamError:
                return
            self._show(frame)

    def _show(self, frame: VideoFrame) -> None:
        with self._changing.change():
            if self._state == "connecting":
                elapsed_s = time.monotonic() - self._offered_at
                self._timings = Timings(self._timings.offer_to_answer_s, elapsed_s)
                self._state = "playing"
            self._frames += 1
            self._newest = frame
            for tap in self._taps:
                tap.append(frame)

    def _follow(self, peer: RTCPeerConnection) -> None:
        if peer is self._peer and peer.connectionState in ("failed", "closed"):
            self._become("lost")

    def _become(self, state: str) -> None:
        with self._changing.change():
            self._state = state

    def _newer_than(self, seen: int) -> tuple[int, VideoFrame] | None:
        if self._newest is None or self._frames <= seen:
            return None
        return self._frames, self._newest

    def _wait(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        def look_or_refuse() -> T | None:
            if (refusal := self._refusal) is not None:
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
