"""A link with a rate, a delay, a queue and loss: what becomes of each packet. Pure.

The caller has the clock and the packets: `gpuview.testing.shaped_loop` for a viewer, and a device
between two machines in gpuview's own tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from gpuview.errors import SettingsError

__all__ = ["Link", "Shaper", "Traffic", "Way", "poor_link"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a link behaves in one direction."""

    rate_bps: float = math.inf
    """Of whole IP packets."""
    delay_s: float = 0.0
    queue_s: float = 0.2
    """A packet that would wait longer for its turn is dropped."""
    loss: float = 0.0
    """The share of packets that vanish before the queue, at random."""
    jitter_s: float = 0.0
    """Each packet is late by up to this much more. The order is kept."""


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What one direction has carried so far."""

    packets: int = 0
    nbytes: int = 0
    lost: int = 0
    """Packets that vanished at random or while the link was cut."""
    overflowed: int = 0
    """Packets that found the queue full."""
    backlog_s: float = 0.0
    """How long a packet that came now would wait for its turn."""
    cpu_s: float = 0.0
    """CPU time of the process that carries both directions."""


@dataclass(slots=True)
class Shaper:
    """Decides what becomes of each packet of one direction.

    A packet that is already in the queue keeps its time when the way changes.
    """

    way: Way
    random: Random
    traffic: Traffic = field(default_factory=Traffic)
    _free_s: float = -math.inf  # when the last packet of the queue has left it
    _last_due_s: float = -math.inf
    _cut_until_s: float = -math.inf

    def cut(self, until_s: float) -> None:
        """Lose everything until then."""
        self._cut_until_s = until_s

    def backlog_s(self, now_s: float) -> float:
        """Return how long a packet that comes now waits for its turn."""
        return max(0.0, self._free_s - now_s)

    def take(self, now_s: float, nbytes: int) -> float | None:
        """Return when a packet that comes now arrives at the other end; None if it never does."""
        way, traffic = self.way, self.traffic
        if now_s < self._cut_until_s or (way.loss and self.random.random() < way.loss):
            traffic.lost += 1
            return None
        wait_s = self.backlog_s(now_s)
        if wait_s > way.queue_s:
            traffic.overflowed += 1
            return None
        traffic.packets += 1
        traffic.nbytes += nbytes
        self._free_s = now_s + wait_s + nbytes * 8 / way.rate_bps
        late_s = self.random.random() * way.jitter_s if way.jitter_s else 0.0
        self._last_due_s = max(self._last_due_s, self._free_s + way.delay_s + late_s)
        return self._last_due_s


class Link:
    """Both directions of a link; each draws its own random numbers.

    Args:
        way: How both behave at first; set ``link.down.way`` to change one of them later.
        seed: Of the random loss and jitter.
    """

    def __init__(self, way: Way, *, seed: int) -> None:
        self.down = Shaper(way, Random(seed))
        """To the viewer."""
        self.up = Shaper(way, Random(seed + 1))
        """From the viewer."""

    def __repr__(self) -> str:
        return f"<Link down={self.down.traffic} up={self.up.traffic}>"


def poor_link(*, loss: float, delay_ms: float, rate_bps: float, seed: int) -> Link | None:
    """Return a link that behaves alike in both directions; None if nothing is wrong with it.

    Args:
        loss: The share of packets that vanish, at least 0 and less than 1.
        delay_ms: Of each packet, in each direction: a round trip takes twice as long.
        rate_bps: Of whole IP packets, in each direction.
        seed: Of the random loss.

    Raises:
        SettingsError: A value is out of its range.
    """
    if not 0 <= loss < 1:
        raise _out_of_range("loss", loss, "a share of at least 0 and less than 1", "loss=0.05")
    if not 0 <= delay_ms < math.inf:
        raise _out_of_range("delay_ms", delay_ms, "milliseconds, 0 or more", "delay_ms=40")
    if not rate_bps > 0:
        raise _out_of_range("rate_bps", rate_bps, "bits a second, more than 0", "rate_bps=2e6")
    way = Way(loss=loss, delay_s=delay_ms / 1000, rate_bps=rate_bps)
    return None if way == Way() else Link(way, seed=seed)


def _out_of_range(name: str, value: float, expected: str, fix: str) -> SettingsError:
    return SettingsError(f"no link has {name} = {value!r}", expected=expected, fix=fix)
