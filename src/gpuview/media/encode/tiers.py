"""Which viewers share an encode: pure decisions, in seconds on one monotonic clock.

A stream's picture is encoded at most three times for each codec: whole, at half and at a quarter of
its sides, each only while somebody is in that tier. A tier's rate is the lowest target of those in
it. So who has a poor link moves down where that rate blurs the picture of the others, sooner if
the link was better just before, or where the picture is mush even for himself: a smaller one is
sharper then, and more frames pass.
He moves up again when the small picture is fine, and his link would not hold up those above.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Demand", "Member", "Meter", "Tier", "demand", "moves", "scaled_side"]


class Tier(enum.IntEnum):
    """How much smaller the picture is that a viewer gets; the value divides both sides."""

    FULL = 1
    HALF = 2
    QUARTER = 4

    def __str__(self) -> str:
        return self.name.lower()


_MIN_SIDE = 16
_COARSE = {"H264": 42, "VP8": 54, "JPEG": 18}
_FINE = {"H264": 30, "VP8": 24, "JPEG": 6}
_MEAN_OF = 5  # frames
_DOWN_AFTER_S = 1.0
_FALLEN_DOWN_AFTER_S = 0.2  # meanwhile its rate blurs the others' pictures
_UP_AFTER_S = 1.5
_MAX_UP_AFTER_S = 60.0
_PROVEN_S = 15.0
_STEADY_S = 4.0
_FAR_BELOW = 0.5
_FALLEN_TO = 0.4  # copies of lost packets take half of the rate, and the link is the same
_REMEMBERED_S = 5.0
_CLOSE_TO = 0.75
_TROUBLE_S = 5.0
_TROUBLES = 3
_TROUBLE_GAP_S = 0.3  # browsers repeat a request
_MAX_HOLD_S = 0.5


def scaled_side(side: int, tier: Tier) -> int:
    """Return a side of the tier's picture: even, and at least 16 pixels."""
    return max(side // tier // 2 * 2, _MIN_SIDE)


@dataclass(slots=True)
class Meter:
    """How coarse the pictures of one tier have been lately.

    Args:
        codec_name: ``"H264"``, ``"VP8"`` or ``"JPEG"``, whose quantisers have different ranges.
    """

    codec_name: str
    quantiser: float | None = None
    """The mean of some frames; None before the first, or if the encoder does not say."""
    bitrate_bps: float = 0.0
    """The mean of about a second."""
    _last_s: float = -math.inf

    def add(self, now_s: float, nbytes: int, quantiser: int | None, *, is_keyframe: bool) -> None:
        """Note a frame. The quantiser of a keyframe, coarser than those to come, does not count."""
        self.bitrate_bps = self.bitrate_bps * math.exp(self._last_s - now_s) + nbytes * 8
        self._last_s = now_s
        if quantiser is None or is_keyframe:
            return
        if self.quantiser is None:
            self.quantiser = quantiser
        self.quantiser += (quantiser - self.quantiser) / _MEAN_OF

    @property
    def is_coarse(self) -> bool:
        """Whether the picture is mush."""
        return self.quantiser is not None and self.quantiser > _COARSE[self.codec_name]

    @property
    def is_fine(self) -> bool:
        """Whether more bits would hardly show."""
        return self.quantiser is not None and self.quantiser <= _FINE[self.codec_name]


@dataclass(slots=True, eq=False)
class Member:
    """One viewer, as far as tiers go."""

    tier: Tier = Tier.FULL
    """The one that it is in, or moves to."""
    target_bps: float = math.inf
    """What may be sent to it now."""
    lasting_bps: float = math.inf
    """What its link takes; more than the target for a moment, while a queue is drained."""
    free_s: float = -math.inf
    _down_since_s: float | None = None
    _up_since_s: float | None = None
    _up_after_s: float = _UP_AFTER_S
    _moved_up_s: float = -math.inf
    _since_up_bps: float = 0.0  # the most that its link has taken since it moved up
    _peak_bps: float = 0.0  # the most that it has taken in these five seconds
    _last_peak_bps: float = 0.0  # and in those before
    _peak_since_s: float = -math.inf
    _troubles_s: deque[float] = field(default_factory=lambda: deque(maxlen=_TROUBLES))

    def report(
        self, target_bps: float, free_s: float, now_s: float, *, lasting_bps: float | None = None
    ) -> None:
        """Note what may be sent to it; a NaN, or a time far away, holds nothing up.

        Args:
            target_bps: What may be sent now.
            free_s: No frame is wanted before.
            now_s: The time.
            lasting_bps: What its link takes, if that is more than the target.
        """
        self.target_bps = _rate(target_bps)
        self.lasting_bps = self.target_bps if lasting_bps is None else _rate(lasting_bps)
        self._since_up_bps = max(self._since_up_bps, self.lasting_bps)
        if now_s - self._peak_since_s > _REMEMBERED_S:
            self._last_peak_bps, self._peak_bps = self._peak_bps, 0.0
            self._peak_since_s = now_s
        self._peak_bps = max(self._peak_bps, self.lasting_bps)
        self.free_s = min(free_s, now_s + _MAX_HOLD_S) if free_s == free_s else -math.inf

    def note_trouble(self, now_s: float) -> None:
        """Note that it was too slow for its packets, or has lost some for good."""
        if not self._troubles_s or now_s - self._troubles_s[-1] >= _TROUBLE_GAP_S:
            self._troubles_s.append(now_s)

    def is_troubled(self, now_s: float) -> bool:
        """Tell whether it has had three troubles in five seconds."""
        times = self._troubles_s
        return len(times) == _TROUBLES and now_s - times[0] <= _TROUBLE_S

    @property
    def has_fallen(self) -> bool:
        """Whether its link takes far less than it did some seconds ago."""
        return self.lasting_bps < max(self._peak_bps, self._last_peak_bps) * _FALLEN_TO

    def next_tier(self, now_s: float, *, down_after_s: float, wants_up: bool) -> Tier:
        """Return its tier from now on; moves when it has wanted to for long enough.

        Args:
            now_s: The time.
            down_after_s: How long it has to want to move down; infinite if it does not.
            wants_up: Whether it wants to move up.
        """
        wants_down = down_after_s < math.inf
        self._down_since_s = _since(self._down_since_s, now_s) if wants_down else None
        self._up_since_s = _since(self._up_since_s, now_s) if wants_up else None
        if self._down_since_s is not None and now_s - self._down_since_s >= down_after_s:
            # A link that has become poor again says nothing about the move, unless it flaps.
            is_same_link = self.lasting_bps > self._since_up_bps * _FAR_BELOW
            has_failed = now_s - self._moved_up_s < (_PROVEN_S if is_same_link else _STEADY_S)
            longer_s = min(self._up_after_s * 2, _MAX_UP_AFTER_S)
            self._up_after_s = longer_s if has_failed else _UP_AFTER_S
            self.forget()
            return Tier(self.tier * 2)
        if self._up_since_s is not None and now_s - self._up_since_s >= self._up_after_s:
            self._moved_up_s, self._since_up_bps = now_s, self.lasting_bps
            self.forget()
            return Tier(self.tier // 2)
        return self.tier

    def forget(self) -> None:
        """Forget what it has wanted so far, and its troubles."""
        self._down_since_s = self._up_since_s = None
        self._troubles_s.clear()


def _rate(rate_bps: float) -> float:
    return max(rate_bps, 0.0) if rate_bps == rate_bps else 0.0


def _since(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s


@dataclass(frozen=True, slots=True)
class Demand:
    """What one tier's encoder shall do."""

    target_bps: float = math.inf
    free_s: float = -math.inf
    """No frame is wanted before."""


def demand(members: Iterable[Member]) -> Demand:
    """Return what the members of one tier want: a rate for all, frames for whoever is free."""
    members = list(members)
    if not members:
        return Demand()
    return Demand(min(each.target_bps for each in members), min(each.free_s for each in members))


def moves(
    now_s: float, members: Sequence[Member], meters: Mapping[Tier, Meter]
) -> list[tuple[Member, Tier]]:
    """Decide who moves to which tier. Ask several times a second.

    Args:
        now_s: The time.
        members: The viewers of one codec.
        meters: Of each tier that is encoded.
    """
    by_tier = {tier: [each for each in members if each.tier is tier] for tier in Tier}
    moved = []
    for member in members:
        tier = member.next_tier(
            now_s,
            down_after_s=_down_after_s(now_s, member, by_tier[member.tier], meters),
            wants_up=_wants_up(now_s, member, by_tier, meters),
        )
        if tier is not member.tier:
            moved.append((member, tier))
    return moved


def _down_after_s(
    now_s: float, member: Member, beside: Sequence[Member], meters: Mapping[Tier, Meter]
) -> float:
    meter = meters.get(member.tier)
    if member.tier is Tier.QUARTER or meter is None:
        return math.inf
    lowest_bps, highest_bps = (pick(each.lasting_bps for each in beside) for pick in (min, max))
    is_at_the_bottom = member.lasting_bps * _FAR_BELOW <= lowest_bps
    is_limited = meter.quantiser is not None and not meter.is_fine
    is_blurring = is_limited and member.lasting_bps < highest_bps * _FAR_BELOW
    is_disturbing = len(beside) > 1 and member.is_troubled(now_s)
    if is_blurring and member.has_fallen:
        return _FALLEN_DOWN_AFTER_S
    wants_down = (meter.is_coarse and is_at_the_bottom) or is_blurring or is_disturbing
    return _DOWN_AFTER_S if wants_down else math.inf


def _wants_up(
    now_s: float,
    member: Member,
    by_tier: Mapping[Tier, Sequence[Member]],
    meters: Mapping[Tier, Meter],
) -> bool:
    meter = meters.get(member.tier)
    if member.tier is Tier.FULL or meter is None or member.is_troubled(now_s):
        return False
    tier_above = Tier(member.tier // 2)
    needed_bps = min((each.lasting_bps for each in by_tier[tier_above]), default=0.0) * _CLOSE_TO
    above = meters.get(tier_above)
    if above is not None and above.is_fine:  # it may need much less than its members' links take
        needed_bps = min(needed_bps, above.bitrate_bps / _CLOSE_TO)
    return meter.is_fine and member.lasting_bps >= needed_bps
