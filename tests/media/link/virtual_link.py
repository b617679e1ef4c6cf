"""A link and those who send over it, in virtual time, from a seed: no clock, no socket."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gpuview.media.link.controller import CongestionController
from gpuview.media.link.reports import PacketReport, Probe

__all__ = ["Greedy", "Link", "Sender", "run", "steps"]

TICK_S = 0.005
"""The pacer's bursts."""
PACKET_NBYTES = 1200
PACING = 2.5
PACER_LIMIT_S = 0.12


def steps(*rates: tuple[float, float]) -> Callable[[float], float]:
    """Return a rate over time, of pairs (from when, in bits a second)."""

    def rate_bps(at_s: float) -> float:
        return next(rate for since_s, rate in reversed(rates) if at_s >= since_s)

    return rate_bps


@dataclass
class Link:
    """One bottleneck: a queue that drops at its tail, then a way of constant length.

    While its rate is 0, it loses everything.
    """

    rate_bps: Callable[[float], float]
    delay_s: float = 0.025
    queue_s: float = 0.2
    loss: float = 0.0
    jitter_s: float = 0.0
    stalls_until: Callable[[float], float] = lambda at_s: at_s
    """When the queue goes on that stands at that time."""
    seed: int = 1
    _free_s: float = 0.0
    _arrived_s: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def wait_s(self, now_s: float) -> float:
        """Return how long a packet that comes now waits in the queue."""
        return max(self._free_s - now_s, 0.0)

    def send(self, now_s: float, nbytes: int) -> float | None:
        """Return when a packet arrives that is sent now; None if it is lost."""
        rate_bps = self.rate_bps(now_s)
        if not rate_bps or self.wait_s(now_s) > self.queue_s:
            return None
        self._free_s = self.stalls_until(max(self._free_s, now_s)) + nbytes * 8 / rate_bps
        if self._random.random() < self.loss:
            return None
        jitter_s = self._random.uniform(0, 2 * self.jitter_s)
        # A radio delays packets, but keeps them in order.
        self._arrived_s = max(self._arrived_s, self._free_s + self.delay_s + jitter_s)
        return self._arrived_s


@dataclass
class _Packet:
    sent_s: float
    nbytes: int
    wait_s: float
    arrived_s: float | None
    probe: int | None
    is_video: bool

    def report(self) -> PacketReport:
        arrived_s = None if self.arrived_s is None else self.arrived_s + 1000
        return PacketReport(self.sent_s, arrived_s, self.nbytes, self.probe)


@dataclass
class Sender:
    """Sends pictures that fill the target, or as much of it as ``wanted_bps`` says."""

    link: Link
    ceiling_bps: float = 20e6
    wanted_bps: Callable[[float], float] = lambda _: math.inf
    feedback_s: float = 0.066
    feedback_loss: float = 0.0
    frames_per_s: float = 30
    starts_s: float = 0.0
    seed: int = 1
    packets: list[_Packet] = field(default_factory=list)
    targets: list[tuple[float, float]] = field(default_factory=list)
    probes: list[tuple[float, Probe]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.controller = CongestionController(self.starts_s, ceiling_bps=self.ceiling_bps)
        self._random = random.Random(self.seed)
        self._pacer: deque[int] = deque()
        self._pacer_nbytes = 0
        self._budget = 0.0
        self._probe: Probe | None = None
        self._probe_left = 0
        self._probe_packets = 0
        self._next_frame_s = self.starts_s
        self._next_feedback_s = self.starts_s
        self._next_question_s = self.starts_s
        self._n_reported = 0
        self._unheard_s: float | None = None  # when the first packet since the last report was sent
        self._on_the_way: deque[tuple[float, list[PacketReport]]] = deque()

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        if now_s < self.starts_s:
            return
        self._hear(now_s)
        if now_s >= self._next_question_s:
            self._next_question_s += 0.05
            self._ask(now_s)
        if now_s >= self._next_frame_s:
            self._next_frame_s += 1 / self.frames_per_s
            self._encode(now_s)
        self._pace(now_s)
        self.targets.append((now_s, self.controller.target_bps))

    def _hear(self, now_s: float) -> None:
        if now_s >= self._next_feedback_s:
            self._next_feedback_s += self.feedback_s
            heard = [
                index
                for index in range(self._n_reported, len(self.packets))
                if (arrived_s := self.packets[index].arrived_s) is not None and arrived_s <= now_s
            ]
            if heard:
                packets = self.packets[self._n_reported : heard[-1] + 1]
                self._n_reported = heard[-1] + 1
                reports = [packet.report() for packet in packets]
                if self._random.random() >= self.feedback_loss:
                    self._on_the_way.append((now_s + self.link.delay_s, reports))
        while self._on_the_way and self._on_the_way[0][0] <= now_s:
            _, reports = self._on_the_way.popleft()
            self._unheard_s = None
            self.controller.take_reports(now_s, reports, round_trip_s=2 * self.link.delay_s)

    def _ask(self, now_s: float) -> None:
        if self._unheard_s is not None:
            self.controller.take_silence(now_s, sent_s=self._unheard_s)
        probe = self.controller.next_probe(now_s)
        if probe is not None:
            self.probes.append((now_s, probe))
            self._probe, self._probe_left, self._probe_packets = probe, probe.nbytes, 0
            self._budget = 0.0

    def _encode(self, now_s: float) -> None:
        target_bps = self.controller.target_bps
        if self._pacer_nbytes * 8 > target_bps * PACING * PACER_LIMIT_S:
            return
        wanted_bps = min(target_bps, self.wanted_bps(now_s))
        nbytes = round(wanted_bps / self.frames_per_s / 8 * self._random.uniform(0.8, 1.2))
        self._pacer_nbytes += nbytes
        while nbytes > 0:
            self._pacer.append(min(nbytes, PACKET_NBYTES))
            nbytes -= PACKET_NBYTES

    def _pace(self, now_s: float) -> None:
        rate_bps = self._probe.bitrate_bps if self._probe else PACING * self.controller.target_bps
        self._budget = min(self._budget, 0.0) + rate_bps / 8 * TICK_S
        while self._budget > 0 and (self._pacer or self._probe):
            is_video = bool(self._pacer)
            least = self._probe.nbytes // 5 if self._probe else PACKET_NBYTES
            nbytes = self._pacer.popleft() if is_video else min(least, PACKET_NBYTES)
            self._pacer_nbytes -= nbytes * is_video
            self._budget -= nbytes
            self._send(now_s, nbytes, is_video)

    def _send(self, now_s: float, nbytes: int, is_video: bool) -> None:
        probe = self._probe
        wait_s = self.link.wait_s(now_s)
        arrived_s = self.link.send(now_s, nbytes)
        number = probe.number if probe else None
        if self._unheard_s is None:
            self._unheard_s = now_s
        self.packets.append(_Packet(now_s, nbytes, wait_s, arrived_s, number, is_video))
        if probe:
            self._probe_left -= nbytes
            self._probe_packets += 1
            if self._probe_left <= 0 and self._probe_packets >= 5:
                self._probe = None

    def video_bps(self, from_s: float, to_s: float) -> float:
        """Return the rate of the video that arrived in that time."""
        nbytes = sum(
            packet.nbytes
            for packet in self.packets
            if packet.is_video
            and packet.arrived_s is not None
            and from_s <= packet.arrived_s < to_s
        )
        return nbytes * 8 / (to_s - from_s)

    def queue_s(self, from_s: float, to_s: float, part: float = 0.95) -> float:
        """Return how long that part of the packets sent in that time waited at most."""
        waits = sorted(p.wait_s for p in self.packets if from_s <= p.sent_s < to_s)
        return waits[int(part * (len(waits) - 1))]

    def lost(self, from_s: float, to_s: float) -> float:
        """Return what part of the video sent in that time was lost."""
        sent = [p for p in self.packets if from_s <= p.sent_s < to_s and p.is_video]
        return sum(p.arrived_s is None for p in sent) / len(sent)

    def target_bps(self, at_s: float) -> float:
        """Return the target at that time."""
        return next(target for since_s, target in self.targets if since_s >= at_s)

    def lowest_bps(self, from_s: float, to_s: float) -> float:
        """Return the lowest target in that time."""
        return min(target for at_s, target in self.targets if from_s <= at_s < to_s)

    def reached_s(self, rate_bps: float, from_s: float) -> float:
        """Return how long after that time the target was first so high."""
        return next(
            (at_s - from_s for at_s, t in self.targets if at_s >= from_s and t >= rate_bps),
            math.inf,
        )


@dataclass(frozen=True)
class Greedy:
    """Keeps the link's queue so long for a while, as a download by TCP does."""

    link: Link
    from_s: float
    to_s: float
    wait_s: float

    def tick(self, now_s: float) -> None:
        while self.from_s <= now_s < self.to_s and self.link.wait_s(now_s) < self.wait_s:
            self.link.send(now_s, PACKET_NBYTES)


def run(seconds: float, *senders: Sender | Greedy) -> None:
    """Let virtual time pass from 0."""
    for tick in range(round(seconds / TICK_S)):
        for sender in senders:
            sender.tick(tick * TICK_S)
