"""RTP timestamps that tell a page which frames show one picture. Pure.

Note [picture number]: the low bits of each timestamp are the picture's number, and a repeat has the
number of what it repeats. So a page that shows a still picture over the video knows at the first
frame of another picture that the still has to go, without a message that could be lost or late.
This moves a timestamp by less than 0.4 ms.
"""

from __future__ import annotations

from gpuview.media.encode.codec import CLOCK_HZ

__all__ = ["PICTURES", "timestamp_of"]

PICTURES = 32
"""How many pictures in a row have different numbers; ``js/src/still_assembler.ts`` has it too."""


def timestamp_of(shown_ns: int, picture: int, *, after: int) -> int:
    """Return the 90 kHz timestamp for a frame.

    Args:
        shown_ns: The time that viewers are told.
        picture: Counts the stream's pictures; a repeat has the same number.
        after: The last frame's timestamp.

    Returns:
        The least timestamp with the picture's number that is greater than ``after``, and no
        earlier than ``shown_ns``.
    """
    earliest = max(after + 1, shown_ns * CLOCK_HZ // 1_000_000_000)
    return earliest + (picture - earliest) % PICTURES
