"""What is done about packets that get lost before anything can be asked for again. Pure.

A frame that has lost a packet waits for a round trip, and so do all that follow. So either a frame
has few packets, or each packet is sent more than once, the copies as retransmissions that nobody
has asked for: then only those frames wait that have lost a packet with all of its copies. Copies
take their room from the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["MAX_COPIES", "MIN_LOSS", "Protection", "protect"]

MAX_COPIES = 2
"""Of one packet in ten, two copies leave one in a thousand."""

MIN_LOSS = 0.005
"""With less, nothing is done."""

_LOST_PER_FRAME = 0.05  # packets, in the mean: 19 frames of 20 arrive whole at once
_FRAME_PACKET_BPS = 1160 * 8 * 30  # of one full packet in each frame, at 30 fps
_MIN_VIDEO_BPS = 1_000_000  # with less, the picture is mush


@dataclass(frozen=True, slots=True)
class Protection:
    """How one viewer's video is sent."""

    video_bps: float
    """Of the frames, without copies."""
    n_copies: int
    """How often each packet is sent again at once."""


def protect(loss: float, room_bps: float, *, can_repeat: bool) -> Protection:
    """Return the protection that leaves most bits to a picture of which most frames arrive whole.

    From `MIN_LOSS` on, the bitrate changes continuously with the loss and with the room.

    Args:
        loss: The part of the packets that gets lost, in [0, 1].
        room_bps: What may be sent of video and copies together.
        can_repeat: Whether the page takes a packet a second time.
    """
    most = MAX_COPIES if can_repeat and loss >= MIN_LOSS else 0
    found = (
        Protection(min(room_bps / (1 + n), _whole_frames_bps(loss ** (1 + n), loss)), n)
        for n in range(most + 1)
    )
    return max(found, key=lambda each: (each.video_bps, each.n_copies))


def _whole_frames_bps(lost: float, loss: float) -> float:
    """Return the bitrate at which most frames arrive whole, when ``lost`` is beyond the copies."""
    if loss < MIN_LOSS:
        return math.inf
    return max(_LOST_PER_FRAME / lost * _FRAME_PACKET_BPS, _MIN_VIDEO_BPS)
