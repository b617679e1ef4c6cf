"""A page's pings, over a data channel or another carrier."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from aiortc import RTCDataChannel

from gpuview.errors import SignalError
from gpuview.media.link.message_budget import Budget
from gpuview.protocol.page_messages import LinkFigures, Ping, Pong
from gpuview.protocol.stats import ViewerStats
from gpuview.protocol.wire import decode_text, encode_text

__all__ = ["PageChannel"]

_MAX_TOGGLES_PER_S = 2.0
"""Each return costs a keyframe, for all who share the encode."""


@dataclass(frozen=True, slots=True)
class PageLatency:
    """What a page measured of its own picture, in milliseconds from capture to screen."""

    p50_ms: float | None = None
    p95_ms: float | None = None


class PageChannel:
    """Hears a page's pings and answers them. Lives on the event loop.

    Args:
        picture_size: Returns the width and height of the stream's picture, zeros before the first.
        stats: Returns the view's counters; None if it has no viewer.
        on_paused: Called when `is_paused` has changed.
        on_relayed_by_tcp: Called with each ping's `Ping.is_relayed_by_tcp`.
    """

    def __init__(
        self,
        picture_size: Callable[[], tuple[int, int]],
        stats: Callable[[], ViewerStats | None],
        on_paused: Callable[[], None],
        on_relayed_by_tcp: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.heard_s: float | None = None
        """When the page last sent anything; None if it has not."""
        self.latency = PageLatency()
        self.is_paused = False
        """Whether the page wants no picture now: nobody can see it, or a person has paused it."""
        self.n_refused = 0
        """How much of what the page said was malformed or too much."""
        self._toggles = Budget(time.monotonic(), _MAX_TOGGLES_PER_S)
        self._picture_size = picture_size
        self._stats = stats
        self._on_paused = on_paused
        self._on_relayed_by_tcp = on_relayed_by_tcp

    def listen(self, channel: RTCDataChannel) -> None:
        """Answer on ``channel`` from now on."""
        channel.on("message", lambda message: self._hear(channel, message))

    def heard(self) -> None:
        """Note that the page has sent something."""
        self.heard_s = time.monotonic()

    def answer(self, ping: Ping) -> Pong:
        """Note what a ping says, and return the answer."""
        self.latency = PageLatency(ping.latency_p50_ms, ping.latency_p95_ms)
        # What is too much now is said again with the next ping.
        if self.is_paused != ping.is_paused and self._toggles.spend(time.monotonic(), 1):
            self.is_paused = not self.is_paused
            self._on_paused()
        self._on_relayed_by_tcp(ping.is_relayed_by_tcp)
        return self._pong(ping)

    def _hear(self, channel: RTCDataChannel, message: object) -> None:
        self.heard()
        with contextlib.suppress(SignalError):  # a page of another version is alive, too
            pong = self.answer(cast(Ping, decode_text(message, Ping)))
            if channel.readyState == "open":
                channel.send(encode_text(pong))

    def _pong(self, ping: Ping) -> Pong:
        width, height = self._picture_size()
        clock_ms = time.monotonic_ns() / 1e6
        return Pong(
            sent_ms=ping.sent_ms,
            clock_ms=clock_ms,
            width=width,
            height=height,
            link=_link_figures(self._stats()),
        )


def _link_figures(stats: ViewerStats | None) -> LinkFigures | None:
    if stats is None or not stats.frames_sent:
        return None
    return LinkFigures(
        estimate_bps=stats.estimate_bps,
        loss=stats.loss if stats.carrier == "webrtc" else None,
        tier=stats.tier,
        quantiser=stats.quantiser,
    )
