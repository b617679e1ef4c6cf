"""What a `Fanout` needs of whatever makes a stream's packets.

`EncodeLoop` encodes frames in this process. Packets of a worker on another machine come from
`gpuview.media.cluster`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.still import Still
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.protocol.stats import EncoderStats

__all__ = ["Encodes", "MakeEncodes"]


class Encodes(Protocol):
    """One stream's packets, for each codec and tier that somebody wants. On the event loop."""

    @property
    def frames_taken(self) -> int:
        """How many frames were encoded; repeats are not counted."""

    @property
    def encoded_seq(self) -> int:
        """The number in the ring of the newest frame that every viewer's encoder has had."""

    @property
    def max_bitrate_bps(self) -> int:
        """The most bits sent to one viewer per second."""

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the newest frame in pixels; zeros before the first."""

    def set_limits(self, fps: float, max_bitrate_bps: int) -> None:
        """Encode at most so many frames and bits per second from now on."""

    def start(self, codec: Codec, tier: Tier, wants: Callable[[], Demand]) -> None:
        """Start encoding for ``codec`` in ``tier``, unless that is encoded already.

        Args:
            codec: The codec that the viewers negotiated.
            tier: The size.
            wants: Tells what they want; may be called on any thread.
        """

    def stop(self, codec: Codec, tier: Tier) -> None:
        """Stop encoding for ``codec`` in ``tier``."""

    def request_keyframe(self, codec: Codec, spacing_s: float, tier: Tier) -> None:
        """Make a keyframe soon, at least ``spacing_s`` after the last one."""

    def want_stills(self, is_wanted: bool) -> None:
        """Make stills from now on, of the present picture too, or make none."""

    def stats(self) -> list[EncoderStats]:
        """Return the counters of each codec and tier in use."""

    def close(self) -> None:
        """Stop, and free all resources."""


MakeEncodes = Callable[
    [Callable[[Codec, Tier, Packet], None], Callable[[Still | None], None]], Encodes
]
"""Given what takes packets and what takes stills, as for `EncodeLoop`; both belong to the event
loop."""
