"""One peer connection of a headless viewer: offer, candidates, pings, frames, and its loss."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from aiortc import RTCDataChannel, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame

from gpuview.errors import SignalError
from gpuview.media.aiortc_compat import drop_video, send_rtcp, watch_packets
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.page_messages import PeerConfig, Ping, Pong
from gpuview.protocol.still import STILL_CHANNEL, StillAssembler
from gpuview.protocol.wire import decode_text, encode_text
from gpuview.testing.feedback import FEEDBACK_S, ArrivalReport, extension_id
from gpuview.testing.peer import make_peer
from gpuview.testing.receiver import Receiver
from gpuview.webrtc.sdp import candidates_of

__all__ = ["PING_S", "Connection"]

PING_S = 1.0
"""How often a page pings on the data channel."""

# Counted in pings: a process without CPU for some seconds has sent none, and is not abandoned.
_MAX_UNANSWERED = 7


class Connection:
    """One connection, from its offer to its end. All of it runs on one event loop.

    Args:
        codecs: The codecs to offer, the favourite first.
        peer_config: The servers to ask for candidates.
        is_decoding: Whether frames are decoded. Without it they are counted and dropped.
        on_frame: Called with each frame's RTP timestamp and the frame; None for each that is
            dropped.
        on_pong: Called for each pong.
        on_still: Called with the RTP timestamp of a frame that shows the still, and its PNG.
        on_loss: Called when the connection is lost.
    """

    def __init__(
        self,
        codecs: Sequence[str],
        peer_config: PeerConfig,
        *,
        is_decoding: bool,
        on_frame: Callable[[int, VideoFrame | None], None],
        on_pong: Callable[[Pong], None],
        on_still: Callable[[int, bytes], None],
        on_loss: Callable[[], None],
    ) -> None:
        self.is_lost = False
        self._on_frame = on_frame
        self._on_pong = on_pong
        self._on_loss = on_loss
        self._unanswered = 0
        self._candidates: set[str] = set()
        self._tasks = BackgroundTasks()
        self._peer, channel = make_peer(codecs, peer_config)
        self._peer.on("connectionstatechange", self._follow)
        channel.on("open", lambda: self._tasks.spawn(self._ping(channel)))
        channel.on("message", self._hear)
        (receiver,) = self._peer.getReceivers()
        if is_decoding:
            self._tasks.spawn(self._ask_again(Receiver(receiver)))
            self._peer.on("track", lambda track: self._tasks.spawn(self._watch(track)))
            self._on_still = on_still
            self._still = StillAssembler()
            self._peer.createDataChannel(STILL_CHANNEL).on("message", self._take_still)
        else:
            drop_video(receiver, lambda timestamp: on_frame(timestamp, None))

    async def make_offer(self) -> str:
        """Return the SDP of the offer."""
        await _to_its_end(self._gather())
        return str(self._peer.localDescription.sdp)

    async def accept(self, answer_sdp: str) -> None:
        """Begin to connect to the kernel's side."""
        await self._peer.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        self._candidates = {str(each) for each in candidates_of(answer_sdp)}
        if (extension := extension_id(answer_sdp)) is not None:
            self._tasks.spawn(self._report(ArrivalReport(extension)))

    def local_candidates(self) -> list[str]:
        """Return this side's candidates."""
        return [str(each) for each in candidates_of(self._peer.localDescription.sdp)]

    async def add_candidates(self, candidates: Sequence[str]) -> None:
        """Use those candidates of the kernel's side that are new."""
        if self._peer.remoteDescription is None:
            return
        for text in candidates:
            if text not in self._candidates:
                self._candidates.add(text)
                candidate = candidate_from_sdp(text.removeprefix("candidate:"))
                candidate.sdpMLineIndex = 0
                await self._peer.addIceCandidate(candidate)

    async def close(self) -> None:
        """End the connection."""
        await _to_its_end(self._close())

    async def _close(self) -> None:
        self._peer.remove_all_listeners()
        await self._tasks.cancel()
        await self._peer.close()

    async def _gather(self) -> None:
        await self._peer.setLocalDescription(await self._peer.createOffer())

    def _follow(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            self._lose()

    def _lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            self._on_loss()

    async def _ping(self, channel: RTCDataChannel) -> None:
        while channel.readyState == "open":
            if self._unanswered == _MAX_UNANSWERED:
                self._lose()
                return
            self._unanswered += 1
            channel.send(encode_text(Ping(sent_ms=time.monotonic() * 1000)))
            await asyncio.sleep(PING_S)

    async def _report(self, arrivals: ArrivalReport) -> None:
        """Tell the sender which packets have come, as browsers do."""
        (receiver,) = self._peer.getReceivers()
        watch_packets(receiver, lambda packet: arrivals.add(packet, time.monotonic()))
        while True:
            await asyncio.sleep(FEEDBACK_S)
            if (message := arrivals.take()) is not None:
                try:
                    await send_rtcp(receiver, message)
                except ConnectionError:
                    return

    async def _ask_again(self, receiver: Receiver) -> None:
        while True:
            await asyncio.sleep(FEEDBACK_S)
            try:
                await receiver.ask_again()
            except ConnectionError:
                return

    def _hear(self, message: Any) -> None:
        self._unanswered = 0
        with contextlib.suppress(SignalError):
            self._on_pong(cast(Pong, decode_text(message, Pong)))

    def _take_still(self, message: bytes | str) -> None:
        still = self._still.take(message) if isinstance(message, bytes) else None
        if still is not None:
            self._on_still(*still)

    async def _watch(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = cast(VideoFrame, await track.recv())
            except MediaStreamError:
                return
            assert frame.pts is not None
            self._on_frame(frame.pts, frame)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Run work that must not end early, or aioice forgets its sockets; cancelled, end after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled from task.exception()
    task.result()
