"""What a worker's media process and the notebook's say to each other, whole messages over ZeroMQ.

A message has two parts: a header of five bytes, and its content.

    kind        8 bits: 0 for text, 1 for binary, as over a local socket; 2: the channel ends
    channel     32 bits, big-endian

Channel 0 is there from the start, and is about the connection: see
`gpuview.protocol.cluster_messages`. The notebook opens the others by its first message on each;
their messages are those of `gpuview.protocol.carrier_packets`, with the notebook in place of a
page. Each side may end a channel, with an empty content. The number of one that has ended is not
used again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from gpuview.protocol.local_socket import BINARY, MAX_FROM_MEDIA_NBYTES, TEXT

__all__ = ["ABOUT_CONNECTION", "END", "MAX_CONTENT_NBYTES", "ChannelMessage"]

END = 2
"""The third kind of message, besides TEXT and BINARY."""

ABOUT_CONNECTION = 0
"""The channel that is there from the start."""

MAX_CONTENT_NBYTES = MAX_FROM_MEDIA_NBYTES
"""The longest content either way: a keyframe, or less."""

_HEADER = struct.Struct(">BI")


class ChannelMessage(NamedTuple):
    """One message."""

    channel: int
    kind: int
    content: bytes

    def pack(self) -> list[bytes]:
        """Return its parts."""
        return [_HEADER.pack(self.kind, self.channel), self.content]

    @classmethod
    def parse(cls, parts: Sequence[bytes]) -> ChannelMessage:
        """Read what a peer sent; nothing about it is trusted.

        Raises:
            ValueError: It is no such message.
        """
        if len(parts) != 2 or len(parts[0]) != _HEADER.size:
            raise ValueError(f"a message of {len(parts)} parts")
        kind, channel = _HEADER.unpack(parts[0])
        if kind not in (TEXT, BINARY, END):
            raise ValueError(f"a message of {kind = }")
        if len(parts[1]) > MAX_CONTENT_NBYTES:
            raise ValueError(f"a message of {len(parts[1])} bytes")
        return cls(channel, kind, parts[1])
