"""The headless viewer's feedback, read by the sender."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.feedback import parse_feedback
from gpuview.media.rtp.packets import MID_URI, TRANSPORT_CC_URI, PacketWriter, StreamFormat
from gpuview.testing.feedback import ArrivalReport, extension_id

WRITER = PacketWriter(
    StreamFormat(
        ssrc=1,
        payload_type=96,
        rtx_ssrc=2,
        rtx_payload_type=97,
        mid="video",
        cname="us",
        extension_ids={MID_URI: 4, TRANSPORT_CC_URI: 3},
    )
)


def packet(number: int) -> bytes:
    return WRITER.video(
        b"x", number=0, timestamp=0, is_last=True, now_s=0.0, transport_number=number
    )


@given(
    start=st.integers(0, 65535),
    steps=st.lists(st.tuples(st.integers(1, 5), st.floats(0, 0.2)), min_size=1, max_size=50),
)
def test_message_says_what_has_come_and_when(start: int, steps: list[tuple[int, float]]) -> None:
    report = ArrivalReport(3)
    number, now_s = start, 1000.0
    expected: list[int | None] = []
    for step, wait_s in steps:
        now_s += wait_s
        expected += [None] * (step - 1) * bool(expected)
        number = number + step if expected else number
        report.add(packet(number % 65536), now_s)
        expected.append(int(now_s / 0.00025))
    message = report.take()
    assert message is not None
    feedback = parse_feedback(message[12:])
    assert feedback is not None
    assert feedback.base_number == start
    ticks, found = feedback.reference * 256, []
    for delta in feedback.deltas:
        ticks += delta or 0
        found.append(None if delta is None else ticks)
    assert found == expected
    assert report.take() is None


def test_next_message_goes_on_where_the_last_one_ended() -> None:
    report = ArrivalReport(3)
    report.add(packet(65534), 1.0)
    report.take()
    report.add(packet(1), 1.1)
    message = report.take()
    assert message is not None
    feedback = parse_feedback(message[12:])
    assert feedback is not None
    assert (feedback.base_number, len(feedback.deltas)) == (65535, 3)


def test_packets_without_a_number_are_not_reported() -> None:
    report = ArrivalReport(5)
    report.add(packet(1), 1.0)
    report.add(bytes([0x80]) + bytes(20), 1.0)
    assert report.take() is None


def test_extension_is_found_in_the_answer() -> None:
    assert extension_id(f"a=mid:0\r\na=extmap:7 {TRANSPORT_CC_URI}\r\n") == 7
    assert extension_id(f"a=extmap:7/recvonly {TRANSPORT_CC_URI}\r\n") == 7
    assert extension_id("a=mid:0\r\n") is None
