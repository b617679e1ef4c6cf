"""The packets of a grid of ranks, each with a fan-out of its own. Lives on the event loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gpuview.media.cluster.remote_encodes import RemoteEncodes
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.stats import EncoderStats

if TYPE_CHECKING:
    from gpuview.media.carriers.grid_viewer import GridViewer
    from gpuview.media.cluster.worker_link import WorkerLink

__all__ = ["Grid"]


class Grid:
    """An `Encodes` that makes no packets itself: a `GridViewer` is sent those of its ranks.

    Args:
        max_bitrate_bps: The most bits sent to one viewer per second, for all ranks.
        encoder: As for `Fanout`.
    """

    def __init__(self, *, max_bitrate_bps: int, encoder: EncoderSetting) -> None:
        self.on_problem: Callable[[int, Problem | None], None] = lambda rank, problem: None
        """Called with a rank and why it sends no packets, and with None when it does."""
        self.fanouts: dict[int, Fanout] = {}
        """Of each rank that has been there, until `drop`."""
        self.present: set[int] = set()
        """The ranks whose workers are there."""
        self.viewers: set[GridViewer] = set()
        self._encodes: dict[int, RemoteEncodes] = {}
        self._max_bitrate_bps = max_bitrate_bps
        self._encoder: EncoderSetting = encoder

    def encodes_of(self, rank: int) -> RemoteEncodes:
        """Return what asks the workers of a rank for packets; the first time, viewers get it."""
        if rank not in self._encodes:
            make = partial(
                RemoteEncodes,
                max_bitrate_bps=self._max_bitrate_bps,
                on_error=partial(self.on_problem, rank),
                has_webrtc=False,
            )
            fanout = Fanout(make, self._encoder)
            assert isinstance(fanout.encodes, RemoteEncodes)
            self.fanouts[rank], self._encodes[rank] = fanout, fanout.encodes
            for viewer in self.viewers:
                viewer.show(rank, fanout)
        return self._encodes[rank]

    def follow(self, link: WorkerLink) -> None:
        """Show this worker's packets in the tile of its rank."""
        self.encodes_of(link.join.rank).follow(link)
        self.present.add(link.join.rank)

    def lose(self, link: WorkerLink) -> None:
        """Keep the last picture of a worker that has gone."""
        self.encodes_of(link.join.rank).lose(link)
        self.present.discard(link.join.rank)

    def drop(self, rank: int) -> None:
        """Forget a rank whose worker has gone; if it comes back, it is a new one."""
        for viewer in self.viewers:
            viewer.drop(rank)
        self.fanouts.pop(rank).close()
        del self._encodes[rank]

    # --- an `Encodes` ---------------------------------------------------------------------------

    @property
    def frames_taken(self) -> int:
        return sum(each.frames_taken for each in self._encodes.values())

    @property
    def encoded_seq(self) -> int:
        """0: no ring numbers these frames."""
        return 0

    @property
    def max_bitrate_bps(self) -> int:
        return self._max_bitrate_bps

    @property
    def picture_size(self) -> tuple[int, int]:
        """Zeros: pages lay the tiles out."""
        return 0, 0

    def set_limits(self, fps: float, max_bitrate_bps: int) -> None:
        self._max_bitrate_bps = max_bitrate_bps
        for each in self._encodes.values():
            each.set_limits(fps, max_bitrate_bps)

    def start(self, codec: Codec, tier: Tier, wants: Callable[[], Demand]) -> None:
        """Do nothing, like all that is about packets of the whole grid: there are none."""

    def stop(self, codec: Codec, tier: Tier) -> None:
        pass

    def request_keyframe(self, codec: Codec, spacing_s: float, tier: Tier) -> None:
        pass

    def want_stills(self, is_wanted: bool) -> None:
        pass

    def stats(self) -> list[EncoderStats]:
        return [stats for each in self._encodes.values() for stats in each.stats()]

    def close(self) -> None:
        for fanout in self.fanouts.values():
            fanout.close()

    def __repr__(self) -> str:
        return f"<Grid ranks={list(self.fanouts)} viewers={len(self.viewers)}>"
