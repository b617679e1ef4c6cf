"""When a viewer's packets leave: pure decisions, in seconds on one monotonic clock.

A keyframe of 47 kB that leaves at once overruns the buffers on its way, a TURN server's most of
all. So packets leave in bursts of 5 ms, at 2.5 times the target: an encoder that keeps to the
target is hardly delayed, and retransmissions find room. RTCP is too little to wait here.

The pacer also says when the next frame is wanted. At 2.5 times the target the packets may leave
faster than the link takes them, and wait in front of it instead of here. So what counts is what
the link has not carried yet, at the target: at most 120 ms of it, apart from the last frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from gpuview.media.link.reports import Probe

__all__ = ["MAX_QUEUE_S", "Departures", "Pacer"]

MAX_QUEUE_S = 0.12
"""Frames are wanted while the link is behind by less than this."""

_FACTOR = 2.5
_BURST_S = 0.005
_PROBE_BURST_S = 0.002  # the more even the train, the truer the rate that the page sees
_MIN_PROBE_PACKETS = 5
_MAX_RETRANSMISSIONS = 512

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Departures(Generic[T]):
    """What leaves now, in this order."""

    retransmissions: list[T]
    video: list[T]
    padding_nbytes: int = 0
    """For the probe."""
    probe: int | None = None
    """The number of the probe that all of it belongs to."""


class Pacer(Generic[T]):
    """A viewer's queue of packets.

    Args:
        target_bps: What may be sent.
    """

    def __init__(self, target_bps: float) -> None:
        self._target_bps = target_bps
        self._video: deque[tuple[T, int]] = deque()
        self._retransmissions: deque[tuple[T, int]] = deque()
        self._busy_until_s = float("-inf")  # what has left fills the pace up to then
        self._probe: Probe | None = None
        self._probe_nbytes = 0
        self._probe_packets = 0
        self._repair_nbytes = 0  # of the retransmissions
        self._behind_nbytes = 0.0  # not carried by the link, or not sent yet, at `_behind_s`
        self._behind_s = float("-inf")

    def set_target(self, now_s: float, target_bps: float) -> None:
        """Change what may be sent, for what is queued too."""
        self._settle(now_s)
        self._target_bps = target_bps

    def start_probe(self, now_s: float, probe: Probe) -> None:
        """Send a probe from now on; what is queued is part of it."""
        self._probe = probe
        self._probe_nbytes = self._probe_packets = 0
        self._busy_until_s = now_s

    def put_video(self, now_s: float, item: T, nbytes: int) -> None:
        """Queue one packet of a frame."""
        self._settle(now_s)
        self._behind_nbytes += nbytes
        self._video.append((item, nbytes))

    def put_retransmission(self, now_s: float, item: T, nbytes: int) -> None:
        """Queue a packet before all video, unless too many wait already."""
        if len(self._retransmissions) < _MAX_RETRANSMISSIONS:
            self._settle(now_s)
            self._behind_nbytes += nbytes
            self._retransmissions.append((item, nbytes))
            self._repair_nbytes += nbytes

    @property
    def repair_s(self) -> float:
        """How long the link needs for the retransmissions that wait."""
        return self._repair_nbytes * 8 / self._target_bps

    def clear(self) -> None:
        """Drop all that waits, except a probe."""
        self._video.clear()
        self._retransmissions.clear()
        self._repair_nbytes = 0

    def note_under_way(self, nbytes: int) -> None:
        """Note how much the page has not reported on yet: the link cannot be behind by more."""
        waiting = sum(each for _, each in (*self._video, *self._retransmissions))
        self._behind_nbytes = min(self._behind_nbytes, nbytes + waiting)

    def take(self, now_s: float) -> Departures[T]:
        """Take what may leave now."""
        probe = self._probe
        if probe is None:
            rate_bps, horizon_s = self._target_bps * _FACTOR, now_s + _BURST_S
            self._busy_until_s = max(self._busy_until_s, now_s)
        else:  # a timer that was late is made up for, else the rate were too low
            rate_bps, horizon_s = probe.bitrate_bps, now_s + _PROBE_BURST_S
            self._busy_until_s = max(self._busy_until_s, now_s - _BURST_S)
        room_nbytes = (horizon_s - self._busy_until_s) * rate_bps / 8
        retransmissions, sent_nbytes = _take_from(self._retransmissions, room_nbytes)
        self._repair_nbytes -= sent_nbytes
        video, video_nbytes = _take_from(self._video, room_nbytes - sent_nbytes)
        sent_nbytes += video_nbytes
        padding_nbytes = 0
        if probe is not None:
            self._probe_packets += len(retransmissions) + len(video)
            self._probe_nbytes += sent_nbytes
            padding_nbytes = self._padding(probe, room_nbytes - sent_nbytes)
        self._busy_until_s += (sent_nbytes + padding_nbytes) * 8 / rate_bps
        number = None if probe is None else probe.number
        return Departures(retransmissions, video, padding_nbytes, number)

    def _padding(self, probe: Probe, room_nbytes: float) -> int:
        """Return the padding of a probe that leaves now; end the probe when it is complete."""
        missing = probe.nbytes - self._probe_nbytes
        if self._probe_packets < _MIN_PROBE_PACKETS:
            missing = max(missing, 1)
        padding_nbytes = max(0, min(missing, int(room_nbytes)))
        if padding_nbytes:
            self._probe_nbytes += padding_nbytes
            self._probe_packets += 1
        if self._probe_nbytes >= probe.nbytes and self._probe_packets >= _MIN_PROBE_PACKETS:
            self._probe = None
        return padding_nbytes

    @property
    def next_s(self) -> float | None:
        """When to take again; None if nothing waits."""
        if self._video or self._retransmissions or self._probe is not None:
            return self._busy_until_s
        return None

    def free_s(self, now_s: float) -> float:
        """Return when the next frame is wanted; not after ``now_s`` if it is wanted now."""
        self._settle(now_s)
        return now_s + self._behind_nbytes * 8 / self._target_bps - MAX_QUEUE_S

    def _settle(self, now_s: float) -> None:
        """Count what the link has carried since the last time."""
        if now_s > self._behind_s:
            carried = (now_s - self._behind_s) * self._target_bps / 8
            self._behind_nbytes = max(0.0, self._behind_nbytes - carried)
            self._behind_s = now_s

    def __repr__(self) -> str:
        waiting = len(self._video) + len(self._retransmissions)
        return f"<Pacer {self._target_bps:.0f} bit/s waiting={waiting}>"


def _take_from(queue: deque[tuple[T, int]], room_nbytes: float) -> tuple[list[T], int]:
    """Take packets while there is room, the last one may exceed it; return them and their size."""
    items: list[T] = []
    taken_nbytes = 0
    while queue and taken_nbytes < room_nbytes:
        item, nbytes = queue.popleft()
        items.append(item)
        taken_nbytes += nbytes
    return items, taken_nbytes
