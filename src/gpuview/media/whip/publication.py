"""One stream on its way to a WHIP ingest: connects, and again after an outage, until it is closed.

It is a viewer of the stream, which gets what every other viewer gets. So nothing is encoded for it
alone but its tier, and keyframe requests of those who watch at the ingest arrive as those of any
viewer. Lives on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from aiortc import RTCPeerConnection, RTCSessionDescription

from gpuview.errors import ConnectTimeout, GpuviewError, PublishError
from gpuview.media.encode.fanout import Fanout
from gpuview.media.ice import aioice_compat
from gpuview.media.ice.network import Network
from gpuview.media.internal_error import problem_of
from gpuview.media.peer_video import PeerVideo
from gpuview.media.tasks import BackgroundTasks
from gpuview.media.whip.resource import Session, begin_session, end_session
from gpuview.protocol.media_messages import PublishingChanged, PublishingState, StartPublishing
from gpuview.protocol.page_messages import Carrier, Problem
from gpuview.protocol.stats import ViewerStats
from gpuview.webrtc.address_rewrite import rewrite_answer

__all__ = ["Publication", "retry_after_s"]

logger = logging.getLogger("gpuview.media")

_SETTLE_S = 1.0
"""The most time an offer waits for STUN and TURN servers: later candidates are not sent."""

_CONNECT_TIMEOUT_S = 15.0
_SILENCE_TIMEOUT_S = 15.0
"""RTCP comes at least every 5 s. ICE would notice after 30 s that nobody is there."""

_LOOK_EVERY_S = 1.0
_CLOSE_TIMEOUT_S = 5.0
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 30.0


_OUTAGE = Problem(
    problem="the connection to the ingest has ended",
    expected="an ingest that goes on",
    fix="nothing; it is tried again",
)


def retry_after_s(n_failures: int) -> float:
    """Return how long to wait after so many failures in a row: 1, 2, 4 ... 30 s."""
    return float(min(_FIRST_RETRY_S * 2 ** min(n_failures - 1, 10), _LAST_RETRY_S))


class Publication:
    """Sends one stream to one ingest, from its construction to `close`.

    Args:
        start: Where to, and its number.
        fanout: The source of its packets.
        network: Provides our candidates.
        report: Tells the kernel what it is doing.
        on_changed: Called when `is_paused` has changed.
        on_ended: Called once, when it has ended by itself.
    """

    carrier: Carrier = "webrtc"

    def __init__(
        self,
        start: StartPublishing,
        fanout: Fanout,
        network: Network,
        *,
        report: Callable[[PublishingChanged], None],
        on_changed: Callable[[], None],
        on_ended: Callable[[Publication], None],
    ) -> None:
        self.view = f"whip-{start.publication}"
        self._start = start
        self._fanout = fanout
        self._network = network
        self._report = report
        self._on_changed = on_changed
        self._on_ended = on_ended
        self._is_live = False
        self._has_ended = False
        self._video: PeerVideo | None = None
        self._tasks = BackgroundTasks()
        self._tasks.spawn(self._publish())

    @property
    def is_paused(self) -> bool:
        """Whether nothing is sent now, so that no frames are made for it."""
        return not self._is_live

    def set_ceiling(self, max_bitrate_bps: int) -> None:
        """Never send more than this from now on."""
        if self._video is not None:
            self._video.set_ceiling(max_bitrate_bps)

    def check(self, now_s: float) -> None:
        """Do nothing: it tries again by itself."""

    def stats(self) -> ViewerStats:
        if self._video is None:
            return ViewerStats(
                view=self.view,
                carrier=self.carrier,
                state="new",
                codec="",
                local="",
                remote="",
                frames_sent=0,
                frames_dropped=0,
            )
        return self._video.stats(self.view)

    async def close(self) -> None:
        """End it, and tell the ingest. Safe to call twice."""
        await self._tasks.cancel()
        if not self._has_ended:
            self._has_ended = True
            self._tell("ended")

    async def _publish(self) -> None:
        n_failures = 0
        while True:
            try:
                self._tell("connecting")
                await self._send_once()
                n_failures, problem = 0, _OUTAGE
            except PublishError as exc:
                self._end(problem_of(exc))
                return
            except Exception as exc:  # a fault of our own too: it is tried again, and said
                problem = problem_of(exc)
            n_failures += 1
            logger.info("%s: %s", self.view, problem.problem)
            self._tell("waiting", problem)
            await asyncio.sleep(retry_after_s(n_failures))

    async def _send_once(self) -> None:
        """Send until the connection ends.

        Raises:
            NetworkError: There is no connection now.
            PublishError: The ingest refuses, or does not speak WHIP.
        """
        changed, ended = asyncio.Event(), asyncio.Event()
        video = self._video = PeerVideo(self._fanout, lambda _: ended.set())

        def follow() -> None:
            changed.set()
            if video.connection.connectionState in ("failed", "closed"):
                ended.set()

        video.connection.on("connectionstatechange", follow)
        begun: asyncio.Future[Session] | None = None
        try:
            video.add_track()
            offer = await self._offer(video.connection)
            post = asyncio.to_thread(begin_session, self._start.url, self._start.token, offer)
            begun = asyncio.ensure_future(post)
            await _accept(video.connection, await asyncio.shield(begun))
            await self._wait_until_connected(video.connection, changed)
            self._follow(is_live=True)
            await _wait_until_gone(video, ended)
        finally:
            self._follow(is_live=False)
            await self._hang_up(video, begun)

    async def _offer(self, connection: RTCPeerConnection) -> str:
        """Return our offer with all our candidates, and without private addresses."""
        await self._network.servers.settle(_SETTLE_S)
        self._network.check_usable()
        aioice_compat.gather_from(connection, self._network.candidates)
        await connection.setLocalDescription(await connection.createOffer())
        return rewrite_answer(connection.localDescription.sdp, self._network.public_host)

    async def _wait_until_connected(
        self, connection: RTCPeerConnection, changed: asyncio.Event
    ) -> None:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                while connection.connectionState in ("new", "connecting"):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            pass
        if connection.connectionState != "connected":
            raise ConnectTimeout(
                f"the ingest has answered, but there is no connection after "
                f"{_CONNECT_TIMEOUT_S:.0f} s",
                expected="a UDP route between this machine and the ingest, or a TURN server",
                fix="let this machine send UDP, or set GPUVIEW_TURN_URL",
            )

    async def _hang_up(self, video: PeerVideo, begun: asyncio.Future[Session] | None) -> None:
        """Close the connection, and tell the ingest, within 5 s each."""
        video.connection.remove_all_listeners()
        with contextlib.suppress(TimeoutError):
            await video.close()
        if begun is None:
            return
        # Also after a failure: a session that is left would keep the next one out for a while.
        with contextlib.suppress(TimeoutError, GpuviewError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                session = await begun
                await asyncio.to_thread(end_session, session.url, self._start.token)

    def _follow(self, *, is_live: bool) -> None:
        if is_live == self._is_live:
            return
        self._is_live = is_live
        if is_live:
            self._tell("live")
        self._on_changed()

    def _end(self, problem: Problem) -> None:
        self._has_ended = True
        logger.warning("%s has ended: %s", self.view, problem.problem)
        self._tell("ended", problem)
        self._on_ended(self)

    def _tell(self, state: PublishingState, problem: Problem | None = None) -> None:
        number = self._start.publication
        self._report(PublishingChanged(publication=number, state=state, problem=problem))

    def __repr__(self) -> str:
        return f"<Publication {self.view} {self._video or 'without a connection'}>"


async def _wait_until_gone(video: PeerVideo, ended: asyncio.Event) -> None:
    """Wait until the connection has ended, or the other side has been silent for too long."""
    began_s = time.monotonic()
    while time.monotonic() - max(began_s, video.heard_s) < _SILENCE_TIMEOUT_S:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                await ended.wait()
                return


async def _accept(connection: RTCPeerConnection, session: Session) -> None:
    """Use the ingest's answer.

    Raises:
        PublishError: It cannot be used.
    """
    try:
        await connection.setRemoteDescription(
            RTCSessionDescription(sdp=session.answer, type="answer")
        )
    except Exception as exc:  # aiortc's parser raises ValueError, KeyError and others
        raise PublishError(
            f"the ingest's answer cannot be used: {type(exc).__name__}: {exc}",
            expected="an SDP answer that receives one video, as H.264 or VP8",
            fix="see which codecs the ingest is configured for",
        ) from exc
