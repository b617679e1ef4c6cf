"""A still picture goes to a page in pieces."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.protocol.still import (
    MAX_STILL_NBYTES,
    PIECE_NBYTES,
    StillAssembler,
    moved_message,
    still_pieces,
)

PNG = bytes(range(256)) * 100


@given(nbytes=st.integers(1, 3 * PIECE_NBYTES), timestamp=st.integers(0, 2**34))
def test_pieces_make_the_picture_again(nbytes: int, timestamp: int) -> None:
    assembler = StillAssembler()
    png = (PNG * 2)[:nbytes]
    *first, last = still_pieces(timestamp, png)
    assert all(len(each) <= PIECE_NBYTES + 12 for each in (*first, last))
    assert all(assembler.take(each) is None for each in first)
    assert assembler.take(last) == (timestamp % 2**32, png)


def test_still_that_is_broken_off_is_replaced_by_the_next() -> None:
    assembler = StillAssembler()
    assembler.take(next(still_pieces(1, PNG)))
    assert assembler.take(next(still_pieces(2, b"short"))) == (2, b"short")


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"short",
        struct.pack(">III", 1, 5, 0),
        struct.pack(">III", 1, 5, 0) + b"longer",
        struct.pack(">III", 1, 5, 1) + b"late",
        struct.pack(">III", 1, MAX_STILL_NBYTES + 1, 0) + b"vast",
    ],
)
def test_what_is_no_piece_is_refused(piece: bytes) -> None:
    with pytest.raises(ValueError, match="piece"):
        StillAssembler().take(piece)


def test_moved_has_the_timestamp_that_a_page_sees() -> None:
    assert moved_message(2**32 + 7) == "moved 7"
