"""The last seconds of one stream's packets, so that its viewers can step back. Pure.

They are kept in groups: a keyframe, and what refers to it. Only whole groups are of use, and the
oldest goes first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gpuview.media.encode.codec import CLOCK_HZ, Codec, Packet
from gpuview.media.encode.recording_keyframes import KeyframePace
from gpuview.media.encode.tiers import Tier

__all__ = ["Group", "History", "KeptPacket", "Picture", "Span", "picture_at"]

_CODECS = ("H264", "VP8", "JPEG")  # the best one first, among pictures of one size
_ENDED_S = 2.0
_LARGEST_SHARE = 4
_LONGEST_GROUP_S = 5.0  # all of it may have to be decoded for one picture
# On a link that takes no full picture, a keyframe is as much as a fifth of a second of video.
_LONGEST_POOR_GROUP_S = 30.0
_MAX_HOLDS = 64

_Track = tuple[Codec, Tier]


@dataclass(frozen=True, slots=True)
class KeptPacket:
    """What a decoder needs of a `Packet`."""

    data: bytes
    timestamp: int
    capture_ns: int


class Group:
    """A keyframe, and what refers to it. It grows at its end while it is the newest."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        """``"H264"``, ``"VP8"`` or ``"JPEG"``."""
        self.packets: list[KeptPacket] = []
        self.nbytes = 0

    def add(self, packet: Packet) -> None:
        self.packets.append(KeptPacket(packet.data, packet.timestamp, packet.capture_ns))
        self.nbytes += packet.nbytes

    def __repr__(self) -> str:
        return f"<Group {self.codec} packets={len(self.packets)} nbytes={self.nbytes}>"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a span. Repeats of a picture belong to it."""

    timestamp: int
    """When it was first shown, 90 kHz on ``time.monotonic``."""
    group: Group
    index: int
    """Of the packet in the group after which it is the sharpest."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was kept at one moment. Unlike the history, it does not go on. Any thread."""

    groups: tuple[Group, ...] = ()
    n_last: int = 0
    """How many packets of the last group belong to it."""

    def pictures(self) -> list[Picture]:
        """Return all pictures, the oldest first."""
        found: list[Picture] = []
        capture_ns = -1
        for group, index, packet in self._packets():
            is_repeat = bool(found) and packet.capture_ns == capture_ns
            timestamp = found.pop().timestamp if is_repeat else packet.timestamp
            found.append(Picture(timestamp, group, index))
            capture_ns = packet.capture_ns
        return found

    def without(self, group: Group) -> Span:
        """Return the span without a group."""
        groups = tuple(each for each in self.groups if each is not group)
        return Span(groups, self.n_last if groups else 0)

    def _packets(self) -> Iterator[tuple[Group, int, KeptPacket]]:
        for group in self.groups:
            n = self.n_last if group is self.groups[-1] else len(group.packets)
            for index in range(n):
                yield group, index, group.packets[index]


def picture_at(pictures: list[Picture], timestamp: int, step: int) -> Picture:
    """Return the picture that was shown at a time, or so many pictures later; the nearest one.

    Args:
        pictures: At least one, as from `Span.pictures`.
        timestamp: 90 kHz on ``time.monotonic``.
        step: Negative: earlier.
    """
    at = bisect_right(pictures, timestamp, key=lambda each: each.timestamp) - 1
    return pictures[min(max(at + step, 0), len(pictures) - 1)]


class History:
    """What is kept of one stream. One thread at a time.

    It keeps one codec and size: the largest picture that is encoded.

    Args:
        kept_s: So much is kept, and less than another group. One group is kept however long it is.
        max_nbytes: The most that is kept, and the most that views hold besides.
    """

    def __init__(self, kept_s: float, max_nbytes: int) -> None:
        self._kept = round(kept_s * CLOCK_HZ)
        self._max_nbytes = max_nbytes
        self._pace = KeyframePace(min(kept_s / 2, _LONGEST_GROUP_S))
        self._poor_pace = KeyframePace(_LONGEST_POOR_GROUP_S)
        self._track: _Track | None = None
        self._newest = 0  # timestamp
        self._groups: deque[Group] = deque()
        self._groups_nbytes = 0
        self._holds: OrderedDict[str, Span] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """What is kept and held."""
        return self._groups_nbytes + _nbytes(self._held)

    def take(self, codec: Codec, tier: Tier, packet: Packet) -> bool:
        """Keep a packet, if it is of the kept codec and size and can be decoded.

        Returns:
            Whether a keyframe of that codec and size should follow soon.
        """
        if not self._follows((codec, tier), packet):
            return False
        if self._track is None and not packet.is_keyframe:
            return False  # Whoever looks begins with a keyframe; others need none.
        if packet.is_keyframe:
            self._track = (codec, tier)
            self._groups.append(Group(codec.name))
        elif self._track != (codec, tier) or not self._groups:
            return True
        self._newest = packet.timestamp
        self._groups[-1].add(packet)
        self._groups_nbytes += packet.nbytes
        pace = self._pace if tier is Tier.FULL else self._poor_pace
        is_due = pace.is_due(packet)
        self._drop_old()
        return is_due or not self._groups or self._is_large(self._groups[-1])

    @property
    def is_held(self) -> bool:
        """Whether anything is kept for a view that steps back."""
        return bool(self._holds)

    def span(self, view: str) -> Span:
        """Return what a view holds, or what is kept now."""
        return self._holds.get(view) or self._now()

    def hold(self, view: str) -> None:
        """Keep for a view what is kept now, for as long as `release_all_but` names it."""
        self._holds[view] = self._now()
        self._holds.move_to_end(view)
        while len(self._holds) > _MAX_HOLDS:
            self._holds.popitem(last=False)

    def release_all_but(self, views: Collection[str]) -> None:
        """Hold nothing for all other views."""
        for view in self._holds.keys() - set(views):
            del self._holds[view]

    def clear(self) -> None:
        """Keep and hold nothing."""
        self._track = None
        self._drop_all()
        self._holds.clear()

    def _follows(self, track: _Track, packet: Packet) -> bool:
        """Tell whether a packet is of the track to keep: the present one, or one to change to."""
        present = self._track
        if present is None or track == present or _rank(track) < _rank(present):
            return True
        return packet.timestamp - self._newest > _ENDED_S * CLOCK_HZ

    def _is_large(self, group: Group) -> bool:
        return group.nbytes > self._max_nbytes // _LARGEST_SHARE and len(group.packets) > 1

    def _now(self) -> Span:
        return Span(tuple(self._groups), len(self._groups[-1].packets) if self._groups else 0)

    def _drop_old(self) -> None:
        while len(self._groups) > 1 and (self._is_first_old() or self._is_full):
            self._groups_nbytes -= self._groups.popleft().nbytes
        if self._is_full:  # with one group
            self._drop_all()
        while _nbytes(self._held) > self._max_nbytes:
            oldest = min(self._held, key=lambda group: group.packets[0].timestamp)
            self._holds = OrderedDict(
                (view, span.without(oldest)) for view, span in self._holds.items()
            )

    @property
    def _held(self) -> set[Group]:
        """The groups that only views hold."""
        if not self._holds:
            return set()
        return {group for span in self._holds.values() for group in span.groups} - {*self._groups}

    def _is_first_old(self) -> bool:
        """Tell whether enough is kept without the oldest group; it may end long ago."""
        return self._newest - self._groups[0].packets[-1].timestamp >= self._kept

    @property
    def _is_full(self) -> bool:
        return self._groups_nbytes > self._max_nbytes

    def _drop_all(self) -> None:
        self._groups.clear()
        self._groups_nbytes = 0

    def __repr__(self) -> str:
        return f"<History groups={len(self._groups)} holds={len(self._holds)}>"


def _nbytes(groups: Collection[Group]) -> int:
    return sum(each.nbytes for each in groups)


def _rank(track: _Track) -> tuple[int, int]:
    """Return how good a track is; less is better."""
    codec, tier = track
    return tier, _CODECS.index(codec.name)
