"""Makes the streams of a notebook that show workers' packets. Lives on the event loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from gpuview.media.cluster.follower import Follower
from gpuview.media.cluster.grid import Grid
from gpuview.media.cluster.grid_follower import GridFollower
from gpuview.media.cluster.remote_encodes import RemoteEncodes
from gpuview.media.encode.packet_source import MakeEncodes
from gpuview.media.stream import Stream
from gpuview.protocol.cluster_messages import OpenRun
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.page_messages import Problem

__all__ = ["NewStream", "stream_of_run"]


class NewStream(Protocol):
    """Makes a stream, whose follower is missing."""

    def __call__(self, make_encodes: MakeEncodes, *, has_webrtc: bool = True) -> Stream: ...


def stream_of_run(
    opening: OpenRun,
    new_stream: NewStream,
    *,
    max_bitrate_bps: int,
    encoder: EncoderSetting,
    on_error: Callable[[Problem | None], None],
) -> Stream:
    """Make the stream that shows one rank, or a grid of them.

    Args:
        opening: What the kernel has said of it.
        new_stream: Makes it.
        max_bitrate_bps: The most bits sent to one viewer per second.
        encoder: As for `Fanout`.
        on_error: Called with why there are no packets of the one rank, and with None when there are
            again; those of a grid say it themselves.
    """
    if opening.rank is not None:
        make = partial(RemoteEncodes, max_bitrate_bps=max_bitrate_bps, on_error=on_error)
        stream = new_stream(make)
        encodes = stream.fanout.encodes
        assert isinstance(encodes, RemoteEncodes)
        stream.follower = Follower(opening, encodes, stream.send, stream.tell)
        return stream
    grid = Grid(max_bitrate_bps=max_bitrate_bps, encoder=encoder)
    stream = new_stream(lambda *_: grid, has_webrtc=False)
    stream.pages.grid = grid
    stream.follower = GridFollower(opening, grid, stream.send, stream.pages.publish)
    return stream
