"""Distributes one encoder's packets to many viewers. Lives on the event loop.

A viewer that joins, or has lost packets, makes it request a keyframe from the encode thread.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial

from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.loop import EncodeLoop
from gpuview.media.encode.schedule import JOIN_SPACING_S, LOSS_SPACING_S
from gpuview.media.encode.tiers import Tier
from gpuview.protocol.messages import Problem

__all__ = ["Fanout", "Subscription"]

_QUEUE_PACKETS = 8  # a quarter of a second at 30 fps; a slower viewer starts again at a keyframe


class Subscription:
    """One viewer's queue of packets.

    It begins with a keyframe. If the viewer takes packets too slowly, the queue is dropped and
    begins again with a keyframe. Other viewers are not affected.
    """

    def __init__(self, codec: Codec, request: Callable[[float], None]) -> None:
        self.codec = codec
        self._request = request
        self._packets: deque[Packet] = deque()
        self._has_packets = asyncio.Event()
        self._needs_keyframe = True
        self.n_dropped = 0
        self.tier = Tier.FULL
        """The size of the pictures that this viewer gets; it may change between two packets."""
        self.target_bps = math.inf
        self.free_s = -math.inf

    def put(self, packet: Packet) -> None:
        """Queue a packet, unless the viewer could not decode it."""
        if packet.is_keyframe:
            self.n_dropped += len(self._packets)
            self._packets.clear()
            self._needs_keyframe = False
        elif self._needs_keyframe:
            self.n_dropped += 1
            return
        elif len(self._packets) >= _QUEUE_PACKETS:
            self.n_dropped += len(self._packets) + 1
            self._packets.clear()
            self._has_packets.clear()
            self._needs_keyframe = True
            self._request(JOIN_SPACING_S)
            return
        self._packets.append(packet)
        self._has_packets.set()

    async def next(self) -> Packet:
        """Wait for the next packet."""
        # More than one wait: the queue may overflow after a packet has woken us, before we run.
        while not self._packets:
            await self._has_packets.wait()
        packet = self._packets.popleft()
        if not self._packets:
            self._has_packets.clear()
        return packet

    def report(self, *, target_bps: float, free_s: float) -> None:
        """Say what this viewer's link takes.

        Args:
            target_bps: Bits of video per second.
            free_s: When all that waits for the link will have been sent, on ``time.monotonic``;
                no new frame is wanted before.
        """
        self.target_bps, self.free_s = target_bps, free_s

    def request_keyframe(self) -> None:
        """Request a keyframe, for a viewer that lost packets."""
        self._request(LOSS_SPACING_S)


class Fanout:
    """One stream: its encode thread, and its viewers by codec.

    Args:
        event_fd: The stream's eventfd; owned once this returns.
        fps: The most frames sent per second.
        max_bitrate_bps: The most bits sent to one viewer per second.
        on_error: Called on the event loop with an error, and with None after recovery.
    """

    def __init__(
        self,
        event_fd: int,
        *,
        fps: float,
        max_bitrate_bps: int,
        on_error: Callable[[Problem | None], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._subscriptions: dict[Codec, set[Subscription]] = {}
        self.encode_loop = EncodeLoop(
            event_fd,
            fps=fps,
            max_bitrate_bps=max_bitrate_bps,
            on_packet=lambda *args: _call_soon(loop, self._deliver, *args),
            on_error=lambda *args: _call_soon(loop, on_error, *args),
        )

    def subscribe(self, codec: Codec) -> Subscription:
        """Add a viewer. The first viewer of a codec starts its encoder."""
        subscription = Subscription(codec, partial(self.encode_loop.request_keyframe, codec))
        self._subscriptions.setdefault(codec, set()).add(subscription)
        self.encode_loop.start(codec)
        self.encode_loop.request_keyframe(codec, JOIN_SPACING_S)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a viewer. The last viewer of a codec stops its encoder."""
        codec = subscription.codec
        subscriptions = self._subscriptions.get(codec, set())
        subscriptions.discard(subscription)
        if not subscriptions:
            self._subscriptions.pop(codec, None)
            self.encode_loop.stop(codec)

    def close(self) -> None:
        """Stop encoding. Close the viewers first."""
        self.encode_loop.close()

    def _deliver(self, codec: Codec, packet: Packet) -> None:
        for subscription in self._subscriptions.get(codec, ()):
            subscription.put(packet)

    def __repr__(self) -> str:
        counts = {str(codec): len(each) for codec, each in self._subscriptions.items()}
        return f"<Fanout viewers={counts}>"


def _call_soon(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: object
) -> None:
    """Call back on the loop from the encode thread, which may outlive the loop by one frame."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback, *args)
