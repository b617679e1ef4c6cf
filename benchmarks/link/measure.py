"""One session of a contender: what its pages showed while the link changed, step by step."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import psutil

from benchmarks.link.contenders import Sender
from benchmarks.link.laboratory import VIEWER, Laboratory
from gpuview.testing.link import Way
from tests.network.page import Tab

__all__ = ["Session", "Step"]

_WRAP_US = 2**40  # the time code's range
_SETTLE_S = 1.0  # after a change of the link, not counted in gaps and latencies
_REFERENCE_S = 4.0  # at the end of a step: what its picture is like once it has settled
_SAME_QUANTISER = 2.0  # steps of the quantiser that nobody sees
_SAMPLE_S = 0.5
_KEPT_STATS = (
    *("at", "bytesReceived", "frameHeight", "framesDecoded", "framesDropped"),
    *("keyFramesDecoded", "nackCount", "packetsLost", "pliCount", "qpSum"),
)


@dataclass(slots=True, kw_only=True)
class Step:
    """What one page showed while the link stayed as it was."""

    name: str
    viewer: str
    down: Way
    began_s: float
    ended_s: float
    cpu_s: dict[str, float]
    """CPU time of the sender, the browsers and the link, and of the whole machine."""
    shown_fps: float = 0.0
    p50_ms: float | None = None
    """Glass to glass, as all latencies; None where no frame was shown."""
    p95_ms: float | None = None
    longest_gap_ms: float = 0.0
    """The longest time without a new frame."""
    quantiser: float | None = None
    """The mean at the end of the step; of H.264, 0 to 51."""
    height: int = 0
    """Of the picture, at the end of the step."""
    received_bps: float = 0.0
    moving_after_ms: float | None = None
    """From the end of an outage to the first frame shown that was made after its begin."""
    sharp_after_s: float | None = None
    """On the link of the session's first step, until size and quantiser were again those of its
    end."""


@dataclass(frozen=True, slots=True)
class _Quality:
    at_s: float
    quantiser: float
    height: int
    nbytes: int


@dataclass(slots=True)
class Session:
    """Changes the link and watches.

    Args:
        laboratory: With the link.
        sender: A contender that runs.
    """

    laboratory: Laboratory
    sender: Sender
    steps: list[Step] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)
    """Twice a second: the link's queue and what the sender says of itself."""
    pages: list[dict[str, Any]] = field(default_factory=list)
    """All that the pages recorded."""
    _outages: list[tuple[float, float]] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _sampler: threading.Thread | None = None

    def step(
        self, name: str, seconds: float, *, down: Way, up: Way, outages_s: Sequence[float] = ()
    ) -> None:
        """Let the link be like this for a while, with outages of these lengths in between."""
        self.laboratory.link.change(down=down, up=up)
        began_s, before = time.time(), self._cpu_s()
        for outage_s in outages_s:
            time.sleep(seconds / (len(outages_s) + 1))
            self._cut(outage_s)
        time.sleep(seconds / (len(outages_s) + 1))
        spent = {name: after - before[name] for name, after in self._cpu_s().items()}
        for viewer in self.sender.pages:
            self.steps.append(
                Step(
                    name=name,
                    viewer=viewer.name,
                    down=down if viewer.address == VIEWER else Way(),
                    began_s=began_s,
                    ended_s=time.time(),
                    cpu_s=spent,
                )
            )

    def _cut(self, seconds: float) -> None:
        began_s = time.time()
        self.laboratory.link.cut(seconds)
        self._outages.append((began_s, began_s + seconds))

    def __enter__(self) -> Session:
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        assert self._sampler is not None, "entered"
        self._sampler.join()
        if error is None:
            for viewer, page in self.sender.pages.items():
                self._judge(page, [step for step in self.steps if step.viewer == viewer.name])

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            down, _ = self.laboratory.link.traffic()
            entry = {"at_s": time.time(), "link": asdict(down), "sender": self.sender.report()}
            self.series.append(entry)

    def _cpu_s(self) -> dict[str, float]:
        busy = psutil.cpu_times()
        return {
            "sender": _spent_s(self.sender.pids()),
            "browser": _spent_s(self.laboratory.browser_pids()),
            "link": self.laboratory.link.traffic()[0].cpu_s,
            "machine": busy.user + busy.nice + busy.system + busy.softirq + busy.irq,
        }

    def _judge(self, page: Tab, steps: Sequence[Step]) -> None:
        """Fill in what the page recorded."""
        offset_ms = _clock_offset_ms(page)
        shown = np.array(page.evaluate("bench.samples"), dtype=np.float64).reshape(-1, 3)
        at_s = (shown[:, 0] - offset_ms) / 1000
        ages_ms = (at_s * 1e6 - shown[:, 2]) % _WRAP_US / 1000
        stats = page.evaluate("bench.stats")
        qualities = _qualities(stats, offset_ms)
        for step in steps:
            _judge_frames(step, at_s, ages_ms)
            _judge_quality(step, qualities)
            _judge_return(step, steps[0], qualities)
        self._judge_outages(steps, at_s, at_s - ages_ms / 1000)
        self.pages.append(
            {
                "problems": page.evaluate("bench.problems()"),
                "shown_at_s": at_s.round(4).tolist(),
                "ages_ms": ages_ms.round(1).tolist(),
                "stats": [{name: each.get(name) for name in _KEPT_STATS} for each in stats],
            }
        )

    def _judge_outages(self, steps: Sequence[Step], at_s: Any, made_s: Any) -> None:
        for began_s, ended_s in self._outages:
            (step,) = (each for each in steps if each.began_s <= began_s < each.ended_s)
            fresh = at_s[(at_s > ended_s) & (made_s > began_s)]
            after_ms = (float(fresh[0]) - ended_s) * 1000 if len(fresh) else float("inf")
            step.moving_after_ms = max(step.moving_after_ms or 0.0, after_ms)


def _judge_frames(step: Step, at_s: Any, ages_ms: Any) -> None:
    settled_s = step.began_s + _SETTLE_S
    inside = (at_s >= settled_s) & (at_s <= step.ended_s)
    step.shown_fps = float(inside.sum()) / (step.ended_s - settled_s)
    times = np.concatenate([[settled_s], at_s[inside], [step.ended_s]])
    step.longest_gap_ms = float(np.diff(times).max()) * 1000
    if inside.any():
        p50, p95 = np.percentile(ages_ms[inside], [50, 95])
        step.p50_ms, step.p95_ms = float(p50), float(p95)


def _judge_quality(step: Step, qualities: Sequence[_Quality]) -> None:
    inside = [each for each in qualities if step.began_s <= each.at_s <= step.ended_s]
    late = [each for each in inside if each.at_s >= step.ended_s - _REFERENCE_S]
    if late:
        step.quantiser = statistics.fmean(each.quantiser for each in late)
        step.height = late[-1].height
    if len(inside) > 1:
        # A new connection counts from zero again.
        nbytes = sum(max(0, after.nbytes - before.nbytes) for before, after in pairwise(inside))
        step.received_bps = nbytes * 8 / (inside[-1].at_s - inside[0].at_s)


def _judge_return(step: Step, first: Step, qualities: Sequence[_Quality]) -> None:
    if step is first or step.down != first.down or first.quantiser is None:
        return
    limit = first.quantiser + _SAME_QUANTISER
    inside = [each for each in qualities if step.began_s <= each.at_s <= step.ended_s]
    is_sharp = [each.height >= first.height and each.quantiser <= limit for each in inside]
    for quality, *sharp in zip(inside, is_sharp, is_sharp[1:], strict=False):
        if all(sharp):  # twice in a row: a single look may have been at one keyframe
            step.sharp_after_s = quality.at_s - step.began_s
            return


def _qualities(stats: Sequence[dict[str, Any]], offset_ms: float) -> list[_Quality]:
    """Return the mean quantiser between each two looks at the statistics in which frames came."""
    found = []
    for before, after in pairwise(stats):
        n_frames = after.get("framesDecoded", 0) - before.get("framesDecoded", 0)
        if before["id"] == after["id"] and n_frames > 0 and "qpSum" in before:
            quantiser = (after["qpSum"] - before["qpSum"]) / n_frames
            at_s = (after["at"] - offset_ms) / 1000
            found.append(_Quality(at_s, quantiser, after["frameHeight"], after["bytesReceived"]))
    return found


def _clock_offset_ms(page: Tab) -> float:
    """Return how far the page's clock is ahead of ours: the quickest of 20 samples."""
    best = (float("inf"), 0.0)
    for _ in range(20):
        before = time.time()
        shown = page.evaluate("performance.timeOrigin + performance.now()")
        after = time.time()
        best = min(best, (after - before, shown - (before + after) * 500))
    return best[1]


def _spent_s(pids: Sequence[int]) -> float:
    spent_s = 0.0
    for pid in pids:
        # A browser's processes come and go.
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            spent_s += times.user + times.system
    return spent_s
