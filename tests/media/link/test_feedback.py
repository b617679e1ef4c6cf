"""What a page reports of the packets, and what is believed of it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.feedback import (
    MAX_SENT_PACKETS,
    Feedback,
    SentPackets,
    parse_feedback,
)
from gpuview.media.link.reports import PacketReport


def message(
    base: int, count: int, reference: int, chunks: Sequence[int], deltas: bytes = b""
) -> bytes:
    head = struct.pack("!HHI", base, count, reference << 8 | 7)
    return head + struct.pack(f"!{len(chunks)}H", *chunks) + deltas


def run(symbol: int, length: int) -> int:
    return symbol << 13 | length


def bits(*symbols: int) -> int:
    """A vector of 14 symbols of one bit."""
    return 0x8000 | sum(symbol << 13 - n for n, symbol in enumerate(symbols))


def pairs(*symbols: int) -> int:
    """A vector of 7 symbols of two bits."""
    return 0xC000 | sum(symbol << 12 - 2 * n for n, symbol in enumerate(symbols))


@pytest.mark.parametrize(
    ("chunks", "deltas", "expected"),
    [
        ([run(1, 3)], bytes([0, 4, 255]), (0, 4, 255)),
        ([run(0, 3)], b"", (None, None, None)),
        ([run(2, 3)], struct.pack("!hhh", -1, 300, -32768), (-1, 300, -32768)),
        ([bits(1, 0, 1)], bytes([8, 9]), (8, None, 9)),
        ([pairs(2, 0, 1)], struct.pack("!hB", -400, 5), (-400, None, 5)),
        ([pairs(3, 1, 0)], bytes([5]), (None, 5, None)),  # 3 is reserved
        ([run(1, 1), bits(0, 1)], bytes([1, 2]), (1, None, 2)),
        ([run(1, 1), pairs(1, 2)], bytes([1, 2, 0, 3]), (1, 2, 3)),
        ([run(1, 8191)], bytes([1, 2, 3]), (1, 2, 3)),  # a run longer than the message
        ([run(1, 3)], bytes([1, 2, 3, 0, 0, 0]), (1, 2, 3)),  # padding
    ],
)
def test_each_chunk_and_delta(
    chunks: list[int], deltas: bytes, expected: tuple[int | None, ...]
) -> None:
    assert parse_feedback(message(40, 3, 500, chunks, deltas)) == Feedback(40, 500, expected)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        message(0, 0, 0, [run(0, 1)]),  # no packets
        message(0, MAX_SENT_PACKETS + 1, 0, [run(0, 8191), run(0, 8191)]),
        message(0, 5, 0, [run(0, 4)]),  # a chunk is missing
        message(0, 5, 0, [run(0, 0)]),
        message(0, 2, 0, [run(1, 2)], bytes([1])),  # a delta is missing
        message(0, 2, 0, [run(2, 2)], bytes([1, 2, 3])),
    ],
)
def test_truncated_or_absurd_message_says_nothing(data: bytes) -> None:
    assert parse_feedback(data) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    feedback = parse_feedback(data)
    assert feedback is None or 0 < len(feedback.deltas) <= MAX_SENT_PACKETS


def sent(count: int, *, first: int = 0) -> SentPackets:
    """A history in which packet n was sent at n seconds, with n bytes."""
    packets = SentPackets()
    packets._next_number = first
    for number in range(first, first + count):
        assert packets.next_number == number % 65536
        packets.add(float(number), number, None)
    return packets


def test_packets_are_reported_with_what_was_noted_when_they_were_sent() -> None:
    packets = SentPackets()
    packets.add(5.0, 1200, None)
    packets.add(5.5, 300, 3)
    packets.add(6.0, 100, None)
    assert packets.match(Feedback(0, 1000, (4, None, 8))) == [
        PacketReport(5.0, 64.001, 1200, None),
        PacketReport(5.5, None, 300, 3),
        PacketReport(6.0, 64.003, 100, None),
    ]


def test_each_packet_is_reported_once() -> None:
    packets = sent(10)
    feedback = Feedback(2, 0, (0, 0, 0))
    assert [each.nbytes for each in packets.match(feedback)] == [2, 3, 4]
    assert packets.match(feedback) == []
    assert [each.nbytes for each in packets.match(Feedback(3, 0, (0, 0, 0)))] == [5]


@pytest.mark.parametrize("base", [10, 11, 5000, 40_000, 65_533])
@pytest.mark.parametrize("delta", [None, 1])
def test_packets_that_were_never_sent_are_not_reported(base: int, delta: int | None) -> None:
    assert sent(10).match(Feedback(base, 0, (delta,) * 3)) == []


def test_only_the_latest_packets_are_remembered() -> None:
    packets = sent(MAX_SENT_PACKETS + 10)
    assert packets.match(Feedback(0, 0, (0,) * 10)) == []
    assert len(packets.match(Feedback(10, 0, (0,) * 10))) == 10


@given(first=st.integers(0, 300_000), count=st.integers(1, 200), data=st.data())
def test_numbers_wrap(first: int, count: int, data: st.DataObject) -> None:
    packets = sent(count, first=first)
    at = data.draw(st.integers(0, count - 1))
    (report,) = packets.match(Feedback((first + at) % 65536, 0, (0,)))
    assert report.sent_s == first + at


@given(
    start=st.integers(0, 2**24 - 1),
    steps=st.lists(st.integers(-(2**22), 2**22), min_size=1, max_size=20),
)
def test_arrival_times_do_not_wrap(start: int, steps: list[int]) -> None:
    packets = sent(len(steps) + 1)
    (first,) = packets.match(Feedback(0, start, (0,)))
    assert first.arrived_s is not None
    total = 0
    for number, step in enumerate(steps, 1):
        total += step
        (report,) = packets.match(Feedback(number, (start + total) % 2**24, (0,)))
        assert report.arrived_s is not None
        assert report.arrived_s - first.arrived_s == pytest.approx(total * 0.064)


def test_deltas_add_up_over_packets_that_were_lost() -> None:
    reports = sent(4).match(Feedback(0, 0, (4, None, -8, 12)))
    assert [each.arrived_s for each in reports] == [0.001, None, -0.001, 0.002]


@given(
    st.lists(
        st.tuples(
            st.integers(65_100, 65_900).map(lambda number: number % 65536),
            st.integers(0, 2**24 - 1),
            st.lists(st.none() | st.integers(-32768, 32767), min_size=1, max_size=40),
        ),
        max_size=20,
    )
)
def test_no_messages_make_a_packet_be_reported_twice(
    messages: list[tuple[int, int, list[int | None]]],
) -> None:
    packets = sent(600, first=65_200)
    reports: list[PacketReport] = []
    for base, reference, deltas in messages:
        reports += packets.match(Feedback(base, reference, tuple(deltas)))
    assert len({each.sent_s for each in reports}) == len(reports)
