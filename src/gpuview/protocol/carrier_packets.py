"""What a page and the media process say over a carrier other than WebRTC.

A carrier takes whole messages both ways, in order: a WebSocket of the jupyter-server extension, or
the widget's comm. Text messages are JSON, see `gpuview.protocol.page_messages`. Binary messages go
to the page only, and are packets or pieces of a still. ``js/src/carriers/packet.ts`` is the page's
half.

A packet is one encoded frame behind a header of big-endian numbers:

    kind        8 bits: 1
    flags       8 bits: 1 for a keyframe
    codec       8 bits: 0 for H.264 (Annex B), 1 for VP8, 2 for JPEG
    quantiser   8 bits: the picture's mean quantiser plus 1; 0: it is not known
    seq         32 bits: counts the packets of this view; a gap means that some are lost
    timestamp   32 bits: RTP's, 90 kHz
    width       16 bits
    height      16 bits
    tile        32 bits: the rank whose picture it is in a grid of ranks; 0 in other streams

A piece of a still is one byte, 2, and then as in `gpuview.protocol.still`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from gpuview.protocol.page_messages import Carrier

__all__ = [
    "CARRIER_CODECS",
    "HEADER_NBYTES",
    "PACKET",
    "STILL_PIECE",
    "PacketHeader",
    "ViewerCarrier",
]

ViewerCarrier = Carrier | Literal["cluster"]
"""How a viewer is reached; ``cluster``: it is a notebook's media process on another machine."""

PACKET, STILL_PIECE = 1, 2

CARRIER_CODECS = ("H264", "VP8", "JPEG")
"""By the number in the header."""

_HEADER = struct.Struct(">BBBBIIHHI")
HEADER_NBYTES = _HEADER.size

_KEYFRAME = 1


@dataclass(frozen=True, slots=True)
class PacketHeader:
    """What precedes a packet's bitstream."""

    codec: str
    """One of ``CARRIER_CODECS``."""
    is_keyframe: bool
    seq: int
    """Its low 32 bits are sent."""
    timestamp: int
    """90 kHz; its low 32 bits are sent."""
    width: int
    height: int
    quantiser: int | None = None
    """0 to 254; None: it is not known."""
    tile: int = 0
    """The rank in a grid; 0 in other streams."""

    def pack(self) -> bytes:
        """Return the header as it is sent."""
        return _HEADER.pack(
            PACKET,
            _KEYFRAME if self.is_keyframe else 0,
            CARRIER_CODECS.index(self.codec),
            0 if self.quantiser is None else self.quantiser + 1,
            self.seq & 0xFFFFFFFF,
            self.timestamp & 0xFFFFFFFF,
            self.width,
            self.height,
            self.tile,
        )

    @classmethod
    def parse(cls, message: bytes) -> PacketHeader:
        """Read the header of a packet.

        Raises:
            ValueError: ``message`` is no packet.
        """
        if len(message) <= HEADER_NBYTES or message[0] != PACKET:
            raise ValueError(f"a message of {len(message)} bytes is no packet")
        _, flags, codec, quantiser, seq, *rest = _HEADER.unpack_from(message)
        timestamp, width, height, tile = rest
        if codec >= len(CARRIER_CODECS):
            raise ValueError(f"{codec = } is unknown")
        is_keyframe = bool(flags & _KEYFRAME)
        return cls(
            CARRIER_CODECS[codec],
            is_keyframe,
            seq,
            timestamp,
            width,
            height,
            quantiser - 1 if quantiser else None,
            tile,
        )
