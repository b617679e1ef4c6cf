"""RTCP, written and read by aiortc at the other end."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    pack_remb_fci,
)
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.rtp.rtcp import (
    KeyframeRequest,
    Message,
    Nack,
    ReceiverReport,
    Remb,
    TransportFeedback,
    ntp_time,
    parse_rtcp,
    write_bye,
    write_sender_report,
)

OURS, OTHER = 1111, 2222


def parse(data: bytes) -> list[Message]:
    return list(parse_rtcp(data, OURS))


def report(ssrc: int) -> RtcpReceiverInfo:
    return RtcpReceiverInfo(
        ssrc=ssrc,
        fraction_lost=64,
        packets_lost=-5,
        highest_sequence=9,
        jitter=8,
        lsr=77,
        dlsr=32768,
    )


OUR_REPORT = ReceiverReport(fraction_lost=0.25, last_report=77, delay_s=0.5)


def test_reports_about_us_are_read() -> None:
    rr = RtcpRrPacket(ssrc=5, reports=[report(OTHER), report(OURS)])
    sr = RtcpSrPacket(ssrc=5, sender_info=RtcpSenderInfo(1, 2, 3, 4), reports=[report(OURS)])
    assert parse(bytes(rr)) == [OUR_REPORT]
    assert parse(bytes(sr)) == [OUR_REPORT]


def test_missing_packets_are_read() -> None:
    lost = [3, 4, 19, 20, 65535]
    nack = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=5, media_ssrc=OURS, lost=lost)
    assert parse(bytes(nack)) == [Nack(lost)]


def test_numbers_of_missing_packets_wrap() -> None:
    nack = struct.pack("!BBHIIHH", 0x81, 205, 3, 5, OURS, 65535, 1)
    assert parse(nack) == [Nack([65535, 0])]


def test_of_a_storm_of_missing_packets_some_are_read() -> None:
    pairs = 10_000
    body = struct.pack("!II", 5, OURS) + b"\0\0\xff\xff" * pairs
    nack = struct.pack("!BBH", 0x81, 205, len(body) // 4) + body
    (message,) = parse(nack)
    assert isinstance(message, Nack)
    assert len(message.numbers) == 1024


def test_keyframe_requests_are_read() -> None:
    pli = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=5, media_ssrc=OURS)
    fir = RtcpPsfbPacket(
        fmt=RTCP_PSFB_FIR, ssrc=5, media_ssrc=0, fci=struct.pack("!IIII", OTHER, 0, OURS, 1 << 24)
    )
    assert parse(bytes(pli)) == [KeyframeRequest()]
    assert parse(bytes(fir)) == [KeyframeRequest()]


@pytest.mark.parametrize("bitrate_bps", [0, 1, 300_000, 2**40])
def test_estimate_of_the_page_is_read(bitrate_bps: int) -> None:
    remb = RtcpPsfbPacket(
        fmt=RTCP_PSFB_APP, ssrc=5, media_ssrc=0, fci=pack_remb_fci(bitrate_bps, [OTHER, OURS])
    )
    (message,) = parse(bytes(remb))
    assert isinstance(message, Remb)
    assert message.bitrate_bps == pytest.approx(bitrate_bps, rel=1e-4)


def test_transport_feedback_is_handed_on_whole() -> None:
    fci = bytes(range(20))
    feedback = struct.pack("!BBHII", 0x8F, 205, 7, 5, 0) + fci
    assert parse(feedback) == [TransportFeedback(fci)]


def test_messages_about_others_are_left_out() -> None:
    others = [
        RtcpRrPacket(ssrc=5, reports=[report(OTHER)]),
        RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=5, media_ssrc=OTHER, lost=[1]),
        RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=5, media_ssrc=OTHER),
        RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=5, media_ssrc=0, fci=pack_remb_fci(9, [OTHER])),
        RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=5, media_ssrc=0, fci=b"goog"),
        RtcpSdesPacket(),
        RtcpByePacket(sources=[OURS]),
    ]
    assert parse(b"".join(map(bytes, others))) == []


def test_compound_packet_is_read_up_to_what_is_malformed() -> None:
    good = bytes(RtcpRrPacket(ssrc=5, reports=[report(OURS)]))
    padded = struct.pack("!BBHIII", 0xA1, 206, 3, 5, OURS, 4)  # a PLI with four bytes of padding
    assert parse(good + padded) == [OUR_REPORT, KeyframeRequest()]
    for bad in (b"\x81", good[:-1], b"\x01" + good[1:] + good, padded[:-1] + b"\xff" + good):
        assert parse(good + bad) == [OUR_REPORT]


@given(st.binary(max_size=300))
def test_no_bytes_upset_the_parser(data: bytes) -> None:
    parse(data)


@given(
    kind=st.sampled_from([200, 201, 205, 206]),
    first=st.integers(0x80, 0xBF),
    body=st.binary(max_size=80).map(lambda data: data[: len(data) // 4 * 4]),
)
def test_no_body_upsets_the_parser(kind: int, first: int, body: bytes) -> None:
    parse(struct.pack("!BBH", first, kind, len(body) // 4) + body)


@pytest.mark.parametrize("cname", ["", "a", "abcd", "{" + "x" * 36 + "}", "y" * 300])
def test_our_report_is_understood(cname: str) -> None:
    data = write_sender_report(
        OURS, cname, ntp=2**63 + 5, timestamp=90, n_packets=2**32 + 3, nbytes=2**32 + 4
    )
    sr, sdes = RtcpPacket.parse(data)
    assert sr == RtcpSrPacket(ssrc=OURS, sender_info=RtcpSenderInfo(2**63 + 5, 90, 3, 4))
    assert isinstance(sdes, RtcpSdesPacket)
    assert [(each.ssrc, each.items) for each in sdes.chunks] == [
        (OURS, [(1, cname[:255].encode())])
    ]


def test_our_goodbye_is_understood() -> None:
    assert RtcpPacket.parse(write_bye(OURS)) == [RtcpByePacket(sources=[OURS])]


def test_ntp_time() -> None:
    assert ntp_time(0.5) == (2_208_988_800 << 32) + 2**31
