"""The counters of a stream, as users see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuview.protocol.media_messages import Stats
from gpuview.protocol.stats import EncoderStats, NetworkStats, ViewerStats
from gpuview.stats_table import as_html, as_text

if TYPE_CHECKING:
    from gpuview.frames.feed_stats import FeedStats

__all__ = [
    "EncoderStats",
    "NetworkStats",
    "StreamStats",
    "ViewerStats",
    "no_stats",
    "remote_stats",
    "stream_stats",
]


@dataclass(frozen=True, slots=True)
class StreamStats:
    """A snapshot of a stream's counters. Prints as a table."""

    frames_pushed: int
    """Frames pushed, or made by the source. Each was either shown or dropped for one reason."""
    frames_shown: int
    """Frames encoded since the media process started. A frame that is repeated counts once."""
    frames_dropped: dict[str, int]
    """All other frames, by reason: ``unwatched`` (no viewer and no recording), ``superseded`` (a
    newer frame came before this one was encoded, or the media process restarted after it),
    ``failed`` (it could not be shown), ``capturing`` (a CUDA graph was being captured)."""
    source_ms: float | None
    """Wall time of the source's last call; None if nothing is polled."""
    conversion_ms: float | None
    """Time to convert the last frame, on its own device."""
    copy_ms: float | None
    """Time to copy the last frame to the media process; None on the CPU."""
    nan: int
    """NaN values in all frames converted so far."""
    inf: int
    """Infinite values in all frames converted so far."""
    minimum: float | None
    """The smallest finite value of the newest frame; None if it has no finite value."""
    maximum: float | None
    viewers: tuple[ViewerStats, ...]
    """One for each view."""
    encoders: tuple[EncoderStats, ...]
    """One for each codec in use."""
    replay_bytes: int
    """The memory of the video that is kept, so that paused views can step back."""
    network: NetworkStats
    media_pid: int
    """The process id of the media process."""

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def stream_stats(
    media: Stats,
    feed: FeedStats,
    *,
    media_pid: int,
    source_ms: float | None,
    extremes: tuple[float, float] | None,
) -> StreamStats:
    """Merge the counters of the media process and of the feed."""
    low, high = extremes or (None, None)
    return StreamStats(
        frames_pushed=feed.n_pushed,
        frames_shown=feed.n_shown(media.frames_taken),
        frames_dropped=feed.n_dropped_with(media.frames_taken),
        source_ms=source_ms,
        conversion_ms=feed.writes.conversion_ms,
        copy_ms=feed.writes.copy_ms,
        nan=feed.writes.n_nan,
        inf=feed.writes.n_inf,
        minimum=low,
        maximum=high,
        viewers=tuple(media.viewers),
        encoders=tuple(media.encoders),
        replay_bytes=media.replay_nbytes,
        network=media.network,
        media_pid=media_pid,
    )


def remote_stats(media: Stats, media_pid: int) -> StreamStats:
    """Return the counters of a stream whose frames are made elsewhere: what came is what counts."""
    return StreamStats(
        frames_pushed=media.frames_taken,
        frames_shown=media.frames_taken,
        frames_dropped={},
        source_ms=None,
        conversion_ms=None,
        copy_ms=None,
        nan=0,
        inf=0,
        minimum=None,
        maximum=None,
        viewers=tuple(media.viewers),
        encoders=tuple(media.encoders),
        replay_bytes=media.replay_nbytes,
        network=media.network,
        media_pid=media_pid,
    )


def no_stats() -> StreamStats:
    """Return the counters of a stream that nobody can watch."""
    return remote_stats(Stats(request=0), 0)
