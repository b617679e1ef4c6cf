"""Distributes one stream's packets to many viewers. Lives on the event loop.

A viewer that joins, or has lost packets, makes it request a keyframe.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.keyframe_requests import JOIN_SPACING_S, LOSS_SPACING_S, LossRequests
from gpuview.media.encode.loop import EncodeLoop
from gpuview.media.encode.packet_source import MakeEncodes
from gpuview.media.encode.still import Still, StillBoard
from gpuview.media.encode.tiers import Demand, Member, Meter, Tier, demand, moves
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.page_messages import Problem

__all__ = ["Fanout", "Subscription", "encoding_frames"]

_QUEUE_PACKETS = 8  # a quarter of a second at 30 fps; a slower viewer starts again at a keyframe
_REVIEW_EVERY_S = 0.1


class Subscription:
    """One viewer's queue of packets.

    It begins with a keyframe. If the viewer takes packets too slowly, the queue is dropped and
    begins again with a keyframe. Other viewers are not affected.

    Args:
        codec: The codec that the viewer negotiated.
        request: Requests a keyframe in this subscription's tier, so many seconds after the last.
        fixed_tier: The tier that it is never moved from.
    """

    is_viewer = True
    """Whether it has a link, which the encoder follows; a recording takes what viewers get."""

    def __init__(
        self, codec: Codec, request: Callable[[float], None], fixed_tier: Tier | None = None
    ) -> None:
        self.codec = codec
        self.keeps_tier = fixed_tier is not None
        self.member = Member(fixed_tier or Tier.FULL)
        self.tier = self.member.tier
        """The size of the pictures that this viewer gets; it may change between two packets."""
        self.n_dropped = 0
        self._request = request
        self._losses = LossRequests()
        self._packets: deque[Packet] = deque()
        self._has_packets = asyncio.Event()
        self._needs_keyframe = True
        self._timestamp = -1  # of the last packet that was taken

    def offer(self, tier: Tier, packet: Packet) -> None:
        """Take a packet if it is for this viewer, who changes tiers at a keyframe."""
        is_arriving = tier is self.member.tier and tier is not self.tier and packet.is_keyframe
        if is_arriving and packet.timestamp <= self._timestamp:
            self._request(JOIN_SPACING_S)  # it has had this frame
        elif is_arriving:
            self.tier = tier
            self.put(packet)
        elif tier is self.tier:
            self.put(packet)

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
            self.begin_again()
            self.n_dropped += 1
            self.request_keyframe()
            return
        self._packets.append(packet)
        self._has_packets.set()

    async def next(self) -> Packet:
        """Wait for the next packet."""
        # More than one wait: the queue may overflow after a packet has woken us, before we run.
        while (packet := self.take()) is None:
            await self._has_packets.wait()
        return packet

    def take(self) -> Packet | None:
        """Return the next packet, if it is there."""
        if not self._packets:
            return None
        packet = self._packets.popleft()
        self._timestamp = packet.timestamp
        if not self._packets:
            self._has_packets.clear()
        return packet

    @property
    def awaits_keyframe(self) -> bool:
        """Whether nothing is taken before the next keyframe, which has been requested."""
        return self._needs_keyframe

    @property
    def begins_with_keyframe(self) -> bool:
        """Whether the next packet is there, and needs no other."""
        return bool(self._packets) and self._packets[0].is_keyframe

    def begin_again(self) -> None:
        """Drop what waits, and take nothing before the next keyframe."""
        self.n_dropped += len(self._packets)
        self._packets.clear()
        self._has_packets.clear()
        self._needs_keyframe = True

    def report(self, *, target_bps: float, free_s: float, lasting_bps: float | None = None) -> None:
        """Say what may be sent to this viewer.

        Args:
            target_bps: Bits of video per second.
            lasting_bps: What its link takes of video, if the target is lower for a moment.
            free_s: When all that waits for the link will have been sent, on ``time.monotonic``;
                no new frame is wanted before, for half a second at most.
        """
        self.member.report(target_bps, free_s, time.monotonic(), lasting_bps=lasting_bps)

    def request_keyframe(self) -> None:
        """Request a keyframe, for a viewer that lost packets."""
        now_s = time.monotonic()
        self.member.note_trouble(now_s)
        self._request(self._losses.spacing_s(now_s))

    def request_keyframe_after(self, spacing_s: float) -> None:
        """Request a keyframe, so long after the last one; it is not counted as trouble."""
        self._request(spacing_s)


AnySubscription = TypeVar("AnySubscription", bound=Subscription)


class Fanout:
    """One stream: what makes its packets, and its viewers by codec.

    Args:
        make_encodes: Makes what makes the packets.
        encoder: The setting, which says what viewers may negotiate.
    """

    def __init__(self, make_encodes: MakeEncodes, encoder: EncoderSetting = "auto") -> None:
        self.encoder: EncoderSetting = encoder
        self._groups: dict[Codec, _Group] = {}
        self._keep: Callable[[Codec, Tier, Packet], bool] | None = None
        self.encodes = make_encodes(self._deliver, self._take_still)
        self.stills = StillBoard(self.encodes.want_stills)

    def keep(self, keep: Callable[[Codec, Tier, Packet], bool]) -> None:
        """Call ``keep`` with each packet that somebody gets; nothing is encoded for it alone.

        Args:
            keep: Returns whether a keyframe of that codec and tier should follow soon.
        """
        self._keep = keep

    def subscribe(self, codec: Codec, fixed_tier: Tier | None = None) -> Subscription:
        """Add a viewer. The first viewer of a codec starts its encoder.

        Args:
            codec: The codec that the viewer negotiated.
            fixed_tier: The tier that it stays in; None: one that suits its link.
        """
        return self.add(codec, partial(Subscription, fixed_tier=fixed_tier))

    def add(
        self, codec: Codec, make: Callable[[Codec, Callable[[float], None]], AnySubscription]
    ) -> AnySubscription:
        """Add a subscription that ``make`` returns, as `subscribe` does for a viewer."""
        subscription = make(
            codec,
            lambda spacing_s: self.encodes.request_keyframe(
                codec, spacing_s, subscription.member.tier
            ),
        )
        self._join(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a viewer. The last viewer of a codec stops its encoder."""
        group = self._groups.get(subscription.codec)
        if group is None:
            return
        group.subscriptions = tuple(
            each for each in group.subscriptions if each is not subscription
        )
        self._stop_unused(group)
        if not group.subscriptions:
            del self._groups[subscription.codec]

    def move(self, subscription: Subscription, tier: Tier) -> None:
        """Put a viewer into another tier, at its next keyframe; for one that keeps its tier."""
        subscription.member.tier = tier
        group = self._groups.get(subscription.codec)
        if group is not None and subscription in group.subscriptions:
            self._enter(subscription)

    def pause(self, subscription: Subscription) -> None:
        """Send a viewer nothing until `resume`. It counts for nothing meanwhile."""
        self.unsubscribe(subscription)
        subscription.begin_again()
        subscription.member.forget()

    def resume(self, subscription: Subscription) -> None:
        """Send a paused viewer the newest picture, and what follows."""
        self._join(subscription)

    def close(self) -> None:
        """Stop encoding. Close the viewers first."""
        self.encodes.close()

    def _join(self, subscription: Subscription) -> None:
        codec = subscription.codec
        group = self._groups.setdefault(codec, _Group(codec))
        if subscription not in group.subscriptions:
            group.subscriptions = (*group.subscriptions, subscription)
        self._enter(subscription)

    def _enter(self, subscription: Subscription) -> None:
        """Encode the tier that a viewer is to be in, beginning with a keyframe."""
        codec, tier = subscription.codec, subscription.member.tier
        group = self._groups[codec]
        group.meters.setdefault(tier, Meter(codec.name))
        self.encodes.start(codec, tier, partial(group.demand, tier))
        self.encodes.request_keyframe(codec, JOIN_SPACING_S, tier)

    def _deliver(self, codec: Codec, tier: Tier, packet: Packet) -> None:
        group = self._groups.get(codec)
        if group is None:
            return
        now_s = time.monotonic()
        if (meter := group.meters.get(tier)) is not None:
            is_keyframe = packet.is_keyframe and codec.name != "JPEG"  # where each frame is one
            meter.add(now_s, packet.nbytes, packet.quantiser, is_keyframe=is_keyframe)
        for subscription in group.subscriptions:
            subscription.offer(tier, packet)
        if self._keep is not None and self._keep(codec, tier, packet):
            self.encodes.request_keyframe(codec, LOSS_SPACING_S, tier)
        if now_s >= group.review_s:
            group.review_s = now_s + _REVIEW_EVERY_S
            self._review(group, now_s)

    def _take_still(self, still: Still | None) -> None:
        self.stills.post(still)

    def _review(self, group: _Group, now_s: float) -> None:
        """Move viewers to other tiers."""
        members = [
            each.member for each in group.subscriptions if each.is_viewer and not each.keeps_tier
        ]
        for member, tier in moves(now_s, members, group.meters):
            member.tier = tier
            self._enter(next(each for each in group.subscriptions if each.member is member))
        self._stop_unused(group)

    def _stop_unused(self, group: _Group) -> None:
        for tier in group.unused_tiers():
            del group.meters[tier]
            self.encodes.stop(group.codec, tier)

    def __repr__(self) -> str:
        counts = {str(codec): len(each.subscriptions) for codec, each in self._groups.items()}
        return f"<Fanout viewers={counts}>"


@dataclass(slots=True)
class _Group:
    """The viewers of one codec."""

    codec: Codec
    subscriptions: tuple[Subscription, ...] = ()  # replaced, as the encode thread reads it
    meters: dict[Tier, Meter] = field(default_factory=dict)
    """Of the tiers that are encoded."""
    review_s: float = 0.0

    def demand(self, tier: Tier) -> Demand:
        """Return what the viewers in a tier want, those who come or go too. Any thread."""
        return demand(
            each.member
            for each in self.subscriptions
            if each.is_viewer and tier in (each.tier, each.member.tier)
        )

    def unused_tiers(self) -> list[Tier]:
        """Return the tiers that nobody is in or moves to."""
        used = {tier for each in self.subscriptions for tier in (each.tier, each.member.tier)}
        return [tier for tier in self.meters if tier not in used]


def encoding_frames(
    event_fd: int,
    *,
    fps: float,
    max_bitrate_bps: int,
    encoder: EncoderSetting = "auto",
    on_error: Callable[[Problem | None], None],
) -> MakeEncodes:
    """Return what makes an `EncodeLoop` whose packets come on the running event loop.

    Args:
        event_fd: The stream's eventfd; owned once the loop is made.
        fps: The most frames sent per second.
        max_bitrate_bps: The most bits sent to one viewer per second.
        encoder: The setting.
        on_error: Called on the event loop with an error, and with None after recovery.
    """
    loop = asyncio.get_running_loop()

    def make(
        take_packet: Callable[[Codec, Tier, Packet], None],
        take_still: Callable[[Still | None], None],
    ) -> EncodeLoop:
        return EncodeLoop(
            event_fd,
            fps=fps,
            max_bitrate_bps=max_bitrate_bps,
            encoder=encoder,
            on_packet=partial(_call_soon, loop, take_packet),
            on_error=partial(_call_soon, loop, on_error),
            on_still=partial(_call_soon, loop, take_still),
        )

    return make


def _call_soon(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: object
) -> None:
    """Call back on the loop from the encode thread, which may outlive the loop by one frame."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback, *args)
