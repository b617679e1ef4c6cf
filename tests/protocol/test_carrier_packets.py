"""The header of packets that go to a page over a carrier other than WebRTC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.protocol.carrier_packets import CARRIER_CODECS, HEADER_NBYTES, PacketHeader


@given(
    codec=st.sampled_from(CARRIER_CODECS),
    is_keyframe=st.booleans(),
    seq=st.integers(0, 2**34),
    timestamp=st.integers(0, 2**34),
    width=st.integers(1, 65_535),
    height=st.integers(1, 65_535),
    quantiser=st.none() | st.integers(0, 63),
)
def test_a_header_is_read_as_it_was_written(
    codec: str,
    is_keyframe: bool,
    seq: int,
    timestamp: int,
    width: int,
    height: int,
    quantiser: int | None,
) -> None:
    header = PacketHeader(codec, is_keyframe, seq, timestamp, width, height, quantiser)
    assert PacketHeader.parse(header.pack() + b"x") == PacketHeader(
        codec, is_keyframe, seq % 2**32, timestamp % 2**32, width, height, quantiser
    )


def test_the_bytes_of_a_header() -> None:
    header = PacketHeader("VP8", True, 1, 2, 640, 360)
    assert header.pack().hex(" ", 4) == "01010100 00000001 00000002 02800168 00000000"
    header = PacketHeader("VP8", True, 1, 2, 640, 360, quantiser=31)
    assert header.pack().hex(" ", 4) == "01010120 00000001 00000002 02800168 00000000"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        bytes(HEADER_NBYTES),
        b"\x02" + bytes(HEADER_NBYTES),
        b"\x01\x00\x09" + bytes(20),
    ],
    ids=["empty", "short", "no bitstream", "another kind", "unknown codec"],
)
def test_anything_else_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"packet|codec"):
        PacketHeader.parse(message)
