"""One browser view's connection, from its offer to its close."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from aiortc import RTCDataChannel, RTCIceCandidate, RTCSessionDescription

from gpuview.errors import ConnectTimeout, SignalError
from gpuview.media.encode.fanout import Fanout
from gpuview.media.ice import aioice_compat
from gpuview.media.ice.network import Network
from gpuview.media.interaction_channel import InteractionChannel
from gpuview.media.internal_error import log_fault
from gpuview.media.page_channel import PageChannel
from gpuview.media.peer_video import PeerVideo
from gpuview.media.still_sender import StillDataChannel, StillSender
from gpuview.protocol.interaction_messages import INTERACTION_CHANNEL, FromView, ToView
from gpuview.protocol.page_messages import MAX_CANDIDATES, Candidates, Carrier, Offer
from gpuview.protocol.stats import ViewerStats
from gpuview.protocol.still import STILL_CHANNEL
from gpuview.webrtc import sdp
from gpuview.webrtc.candidate import is_reachable, parse_candidate

__all__ = [
    "CONNECT_TIMEOUT_S",
    "SILENCE_TIMEOUT_S",
    "Viewer",
    "is_overdue",
    "is_silent",
]

logger = logging.getLogger("gpuview.media")

CONNECT_TIMEOUT_S = 15.0
"""A connection that takes longer never succeeds; aiortc would try for ever."""

SILENCE_TIMEOUT_S = 8.0
"""A page that has not pinged for this long has gone; aiortc would notice after 30 s."""

_STATES = ("connection", "iceConnection", "iceGathering", "signaling")


def is_overdue(now_s: float, *, created_s: float, connected_s: float | None) -> bool:
    """Tell whether a connection attempt has timed out. All times are seconds on one clock."""
    return connected_s is None and now_s - created_s > CONNECT_TIMEOUT_S


def is_silent(now_s: float, *, connected_s: float | None, last_message_s: float | None) -> bool:
    """Tell whether a connected page has stopped pinging, or has never pinged."""
    if connected_s is None:
        return False
    return now_s - max(connected_s, last_message_s or connected_s) > SILENCE_TIMEOUT_S


class Viewer:
    """Sends one stream to one view over WebRTC.

    Args:
        offer: The view's offer.
        fanout: The source of its packets.
        network: Provides our candidates.
        on_closed: Called once, on the event loop, when the connection has ended by itself.
        on_paused: Called when `is_paused` has changed.
        on_said: Gets what the view says about the picture.
    """

    carrier: Carrier = "webrtc"

    def __init__(
        self,
        offer: Offer,
        fanout: Fanout,
        network: Network,
        on_closed: Callable[[Viewer], None],
        on_paused: Callable[[], None],
        on_said: Callable[[FromView], None],
    ) -> None:
        self.view = offer.view
        self.seq = offer.seq
        self.is_answered = False
        self.last_sent: Candidates | None = None
        """Our candidates and problems as last sent to the page."""
        self._offer = offer
        self._network = network
        self._page_candidates: dict[str, bool] = {}  # the value: whether it is in use
        self._on_closed = on_closed
        self._on_paused = on_paused
        self._is_closed = False
        self._created_s = time.monotonic()
        self._connected_s: float | None = None
        self._interaction = InteractionChannel(self.view, on_said)
        self._video = PeerVideo(fanout, self._sending_failed)
        self._channel = PageChannel(
            lambda: fanout.encodes.picture_size,
            self.stats,
            self._follow_paused,
            self._video.set_relayed_by_tcp,
        )
        self._stills = StillSender(fanout.stills, self._video.target_bps)
        self._video.on_packet = self._stills.follow
        self._connection = self._video.connection
        self._connection.on("connectionstatechange", self._connection_changed)
        self._connection.on("datachannel", self._listen)
        for name in _STATES:
            self._connection.on(f"{name.lower()}statechange", partial(self._log_state, name))

    @property
    def is_paused(self) -> bool:
        """Whether its page wants no picture now."""
        return self._channel.is_paused

    async def answer(self) -> str:
        """Answer the view's offer.

        Returns:
            aiortc's answer with all its candidates, not rewritten yet.

        Raises:
            MediaError: This PyAV encodes neither H.264 nor VP8.
            SignalError: The offer cannot be answered.
        """
        codecs = self._video.add_track()
        # Our candidates are enough: the page's address is learned from its connectivity check.
        # aiortc would spend a second on each `.local` name, and give up at `end-of-candidates`.
        offer = RTCSessionDescription(sdp=sdp.strip_candidates(self._offer.sdp), type="offer")
        try:
            await self._connection.setRemoteDescription(offer)
            aioice_compat.gather_from(self._connection, self._network.candidates)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as exc:
            # aiortc's parser raises ValueError, KeyError, AssertionError and others.
            raise SignalError(
                f"cannot answer this offer: {type(exc).__name__}: {exc}",
                expected=f"a W3C offer to receive one video, as {' or '.join(codecs)}",
                fix=f"use a browser that plays {' or '.join(codecs)}, or reload the page",
            ) from exc
        self.is_answered = True
        await self._use_page_candidates()
        return str(self._connection.localDescription.sdp)

    async def add_page_candidates(self, candidates: Sequence[str]) -> None:
        """Try these candidates of the page, as well as the addresses that its checks come from.

        Args:
            candidates: As in ``RTCIceCandidate.candidate``. Unreachable and repeated candidates are
                ignored, and so are all after the 64th.
        """
        for text in candidates:
            if len(self._page_candidates) < MAX_CANDIDATES and is_reachable(text):
                self._page_candidates.setdefault(text, False)
        if self.is_answered:
            await self._use_page_candidates()

    def update_candidates(self) -> list[str]:
        """Add the candidates that were found since the answer; return all our candidates."""
        aioice_compat.update_candidates(self._connection, self._network.server_candidates())
        return aioice_compat.local_candidates(self._connection)

    def set_ceiling(self, max_bitrate_bps: int) -> None:
        """Never send more than this from now on."""
        self._video.set_ceiling(max_bitrate_bps)

    def tell(self, message: ToView) -> bool:
        """Tell the view something; return whether it can be told over this connection."""
        return self._interaction.send(message)

    def check(self, now_s: float) -> None:
        """Raise an error if this viewer has to be closed.

        Raises:
            ConnectTimeout: It did not connect in time.
            SignalError: Its page has gone silent.
        """
        if is_overdue(now_s, created_s=self._created_s, connected_s=self._connected_s):
            raise self._timeout()
        if is_silent(now_s, connected_s=self._connected_s, last_message_s=self._channel.heard_s):
            raise SignalError(
                f"view {self.view} has sent nothing for {SILENCE_TIMEOUT_S:.0f} s",
                expected="a ping every second",
                fix="nothing; a page that comes back makes a new offer",
            )

    async def close(self) -> None:
        """End the connection and unsubscribe from its encoder. Safe to call twice."""
        self._is_closed = True
        self._connection.remove_all_listeners()
        self._video.stop()
        await self._stills.close()
        await self._video.close()

    def stats(self) -> ViewerStats:
        return self._video.stats(
            self.view,
            latency_p50_ms=self._channel.latency.p50_ms,
            latency_p95_ms=self._channel.latency.p95_ms,
            messages_refused=self._interaction.n_refused,
        )

    def _timeout(self) -> ConnectTimeout:
        port = self._network.mux.port
        # It has no ufrag before its answer.
        has_received = self.is_answered and self._network.mux.has_remote_address(
            aioice_compat.ufrag(self._connection)
        )
        found = (
            "its packets arrive, but ours do not reach it"
            if has_received
            else f"none of its packets has reached UDP port {port}"
        )
        return ConnectTimeout(
            f"view {self.view} has no connection after {CONNECT_TIMEOUT_S:.0f} s: {found}",
            expected="a UDP route between the browser and this machine, or a TURN server",
            fix="let this machine send UDP, or set GPUVIEW_TURN_URL"
            if has_received
            else f"forward UDP port {port} to this machine and set GPUVIEW_PUBLIC_IP, or set "
            "GPUVIEW_TURN_URL; gpuview doctor shows what is missing",
        )

    async def _use_page_candidates(self) -> None:
        for text in [text for text, is_used in self._page_candidates.items() if not is_used]:
            self._page_candidates[text] = True
            logger.debug("view %s: the page's %s", self.view, text)
            await self._connection.addIceCandidate(_ice_candidate(text))

    def _log_state(self, name: str) -> None:
        state = getattr(self._connection, f"{name}State")
        logger.debug("view %s: %sState is %s", self.view, name, state)

    def _sending_failed(self, exc: Exception) -> None:
        # The page sees the connection end, and makes a new one. Nothing would tell it otherwise.
        if isinstance(exc, ConnectionError):
            logger.info("view %s gets no more video: %s", self.view, exc)
        else:
            log_fault(exc)
        self._on_closed(self)

    def _connection_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._connected_s = time.monotonic()
            logger.info(
                "view %s is connected: %s", self.view, aioice_compat.selected_pair(self._connection)
            )
        elif state in ("failed", "closed"):
            self._on_closed(self)

    def _follow_paused(self) -> None:
        if not self._is_closed:
            self._video.pause(self.is_paused)
        self._on_paused()

    def _listen(self, channel: RTCDataChannel) -> None:
        if channel.label == STILL_CHANNEL:
            self._stills.open(StillDataChannel(channel))
        elif channel.label == INTERACTION_CHANNEL:
            self._interaction.listen(channel)
        else:
            self._channel.listen(channel)

    def __repr__(self) -> str:
        return f"<Viewer {self.view} {self._video}>"


def _ice_candidate(text: str) -> RTCIceCandidate:
    """Convert a reachable candidate; fields after its type are ignored."""
    candidate = parse_candidate(text)
    assert candidate is not None
    return RTCIceCandidate(
        component=candidate.component,
        foundation=candidate.foundation,
        ip=candidate.address,
        port=candidate.port,
        priority=candidate.priority,
        protocol=candidate.protocol,
        type=candidate.type,
        sdpMLineIndex=0,
    )
