"""What a stream counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuview.protocol.stats import EncoderStats, NetworkStats, ViewerStats

if TYPE_CHECKING:
    from gpuview.frames.feed import FeedStats
    from gpuview.protocol.messages import Stats

__all__ = ["EncoderStats", "NetworkStats", "StreamStats", "ViewerStats", "stream_stats"]


@dataclass(frozen=True, slots=True)
class StreamStats:
    """One moment's counters of a stream."""

    frames_pushed: int
    """Frames that were pushed, or made by the source. Each was shown, or dropped for one reason."""
    frames_shown: int
    """Frames that were encoded since the media process was started; one that is repeated while
    nothing new comes counts once."""
    frames_dropped: dict[str, int]
    """The others, by reason: unwatched (nobody was there), superseded (a newer one came before it
    was encoded, or the media process was started anew after it), failed (it could not be shown),
    capturing (a CUDA graph was captured)."""
    source_ms: float | None
    """How long the source took for its last frame, in the time of its thread."""
    conversion_ms: float | None
    """How long the last frame's conversion took, on its own device."""
    copy_ms: float | None
    """How long its copy to the media process took."""
    nan: int
    """Values that were NaN, in all frames that were converted."""
    inf: int
    """Values that were infinite."""
    minimum: float | None
    """The least finite value of the newest frame; None without one."""
    maximum: float | None
    viewers: tuple[ViewerStats, ...]
    """One for each view."""
    encoders: tuple[EncoderStats, ...]
    """One for each codec in use."""
    network: NetworkStats
    media_pid: int
    """The media process's id."""


def stream_stats(
    media: Stats,
    feed: FeedStats,
    *,
    media_pid: int,
    source_ms: float | None,
    extremes: tuple[float, float] | None,
) -> StreamStats:
    """Put together what the media process and the feed have counted."""
    shown = media.frames_taken
    low, high = extremes or (None, None)
    return StreamStats(
        frames_pushed=feed.n_pushed,
        frames_shown=shown,
        frames_dropped=feed.n_dropped_with(shown),
        source_ms=source_ms,
        conversion_ms=feed.writes.conversion_ms,
        copy_ms=feed.writes.copy_ms,
        nan=feed.writes.n_nan,
        inf=feed.writes.n_inf,
        minimum=low,
        maximum=high,
        viewers=tuple(media.viewers),
        encoders=tuple(media.encoders),
        network=media.network,
        media_pid=media_pid,
    )
