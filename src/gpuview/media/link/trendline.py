"""Whether delay grows: a line through the last delays, against a threshold that adapts.

Source: draft-ietf-rmcat-gcc-02, sections 5.3 and 5.4, with libwebrtc's line in place of the
draft's Kalman filter. All constants are libwebrtc's.
"""

from __future__ import annotations

import enum
from collections import deque

from gpuview.media.link.arrival import DelayVariation

__all__ = ["Trendline", "Usage"]

N_POINTS = 20
SMOOTHING = 0.9
GAIN = 4.0
MOST_COUNTED = 60
"""A trend counts for more the more groups it was seen in, up to so many."""
OVERUSE_S = 0.010
FIRST_THRESHOLD_MS = 12.5
THRESHOLD_RANGE_MS = (6.0, 600.0)
THRESHOLD_UP_PER_MS = 0.0087
THRESHOLD_DOWN_PER_MS = 0.039
OUTLIER_MS = 15.0
"""A trend so far beyond the threshold is a sudden event: the threshold does not learn from it."""
LONGEST_STEP_MS = 100.0


class Usage(enum.Enum):
    """How what is sent compares with what the link takes."""

    UNDER = enum.auto()
    """Delay shrinks: a queue empties."""
    NORMAL = enum.auto()
    OVER = enum.auto()
    """Delay grows: a queue fills."""


class Trendline:
    """Finds the trend in the delays of arrival groups."""

    def __init__(self) -> None:
        self.usage = Usage.NORMAL
        self._points: deque[tuple[float, float]] = deque(maxlen=N_POINTS)
        self._n_groups = 0
        self._delay_ms = 0.0
        self._smoothed_ms = 0.0
        self._slope = 0.0
        self._threshold_ms = FIRST_THRESHOLD_MS
        self._over_since_s: float | None = None
        self._last_arrived_s: float | None = None

    def add(self, variation: DelayVariation) -> None:
        """Take one group's variation, and judge anew."""
        self._n_groups = min(self._n_groups + 1, MOST_COUNTED)
        self._delay_ms += variation.grown_s * 1000
        self._smoothed_ms = SMOOTHING * self._smoothed_ms + (1 - SMOOTHING) * self._delay_ms
        self._points.append((variation.arrived_s * 1000, self._smoothed_ms))
        if len(self._points) == N_POINTS:
            before, self._slope = self._slope, _slope(self._points)
            trend_ms = self._n_groups * self._slope * GAIN
            self._judge(trend_ms, variation.arrived_s, rises=self._slope >= before)
            self._adapt(abs(trend_ms), variation.arrived_s)
        self._last_arrived_s = variation.arrived_s

    def _judge(self, trend_ms: float, arrived_s: float, *, rises: bool) -> None:
        if trend_ms <= self._threshold_ms:
            self._over_since_s = None
            self.usage = Usage.UNDER if trend_ms < -self._threshold_ms else Usage.NORMAL
            return
        if self._over_since_s is None:
            self._over_since_s = self._last_arrived_s or arrived_s
        if arrived_s - self._over_since_s > OVERUSE_S and rises:
            self.usage = Usage.OVER

    def _adapt(self, trend_ms: float, arrived_s: float) -> None:
        beyond_ms = trend_ms - self._threshold_ms
        if beyond_ms > OUTLIER_MS or self._last_arrived_s is None:
            return
        step_ms = min(max((arrived_s - self._last_arrived_s) * 1000, 0.0), LONGEST_STEP_MS)
        gain = THRESHOLD_UP_PER_MS if beyond_ms > 0 else THRESHOLD_DOWN_PER_MS
        lowest_ms, highest_ms = THRESHOLD_RANGE_MS
        adapted_ms = self._threshold_ms + gain * beyond_ms * step_ms
        self._threshold_ms = min(max(adapted_ms, lowest_ms), highest_ms)


def _slope(points: deque[tuple[float, float]]) -> float:
    """Return the slope of the line of least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
