"""RTP packets, read back by aiortc."""

from __future__ import annotations

import pytest
from aiortc.rtp import RtpPacket, unpack_header_extensions, unwrap_rtx
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.tcp_stalls import PlayoutDelay
from gpuview.media.rtp.packets import (
    ABS_SEND_TIME_URI,
    MID_URI,
    PLAYOUT_DELAY_URI,
    TRANSPORT_CC_URI,
    PacketWriter,
    StreamFormat,
)

ALL = {ABS_SEND_TIME_URI: 2, TRANSPORT_CC_URI: 3, MID_URI: 4, PLAYOUT_DELAY_URI: 5}


def negotiated(ids: dict[str, int], mid: str = "0") -> StreamFormat:
    return StreamFormat(
        ssrc=1111,
        payload_type=96,
        rtx_ssrc=2222,
        rtx_payload_type=97,
        mid=mid,
        cname="us",
        extension_ids=ids,
    )


def video(ids: dict[str, int], *, mid: str = "0", now_s: float = 1.5) -> bytes:
    return PacketWriter(negotiated(ids, mid)).video(
        b"payload",
        number=65535,
        timestamp=4_294_967_295,
        is_last=True,
        now_s=now_s,
        transport_number=513,
    )


def extensions(data: bytes) -> dict[int, bytes]:
    n_words = int.from_bytes(data[14:16])
    return dict(unpack_header_extensions(int.from_bytes(data[12:14]), data[16 : 16 + 4 * n_words]))


def test_packet_has_what_it_was_given() -> None:
    packet = RtpPacket.parse(video(ALL))
    assert packet.payload == b"payload"
    assert (packet.sequence_number, packet.timestamp) == (65535, 4_294_967_295)
    assert (packet.ssrc, packet.payload_type, packet.marker) == (1111, 96, 1)
    assert extensions(video(ALL)) == {2: b"\x06\0\0", 3: b"\x02\x01", 4: b"0", 5: b"\0\0\0"}


def test_pictures_are_held_back_from_the_packet_on_that_says_so() -> None:
    writer = PacketWriter(negotiated(ALL))
    times = {"number": 1, "timestamp": 2, "is_last": True, "now_s": 1.5, "transport_number": 3}
    before = writer.video(b"payload", **times)
    writer.set_playout_delay(PlayoutDelay(0.08, 0.13))
    after = writer.video(b"payload", **times)
    again = writer.retransmission(b"payload", original_number=1, **times)
    assert extensions(before)[5] == b"\0\0\0"
    assert extensions(after) == extensions(before) | {5: b"\x00\x80\x0d"}  # in 10 ms, 12 bits each
    assert extensions(again) == extensions(after)
    assert len(after) == len(before)


@given(st.sets(st.sampled_from(sorted(ALL))), st.text("abc", min_size=1, max_size=16))
def test_extensions_that_were_not_negotiated_are_left_out(uris: set[str], mid: str) -> None:
    ids = {uri: ALL[uri] for uri in uris}
    data = video(ids, mid=mid)
    assert RtpPacket.parse(data).payload == b"payload"
    assert not uris or set(extensions(data)) == set(ids.values())


@pytest.mark.parametrize("uri", sorted(ALL))
@pytest.mark.parametrize("number", [0, 15, 16, 255])
def test_extension_whose_id_needs_a_longer_header_is_left_out(uri: str, number: int) -> None:
    kept = {each: ids for each, ids in ALL.items() if each != uri}
    assert set(extensions(video(ALL | {uri: number}))) == set(kept.values())


def test_mid_that_needs_a_longer_header_is_left_out() -> None:
    assert set(extensions(video(ALL, mid="m" * 17))) == {2, 3, 5}


def test_send_time_wraps_after_64_seconds() -> None:
    assert extensions(video(ALL, now_s=64.0 * 1000 + 1.5)) == extensions(video(ALL))


def test_retransmission_holds_the_lost_packet() -> None:
    data = PacketWriter(negotiated(ALL)).retransmission(
        b"payload",
        number=7,
        original_number=65535,
        timestamp=90,
        is_last=True,
        now_s=0.0,
        transport_number=8,
    )
    packet = RtpPacket.parse(data)
    assert (packet.ssrc, packet.payload_type, packet.sequence_number) == (2222, 97, 7)
    original = unwrap_rtx(packet, 96, 1111)
    assert (original.sequence_number, original.timestamp, original.marker) == (65535, 90, 1)
    assert original.payload == b"payload"
    assert extensions(data)[3] == b"\0\x08"


@pytest.mark.parametrize("nbytes", [1, 2, 100, 255])
def test_padding_has_no_payload(nbytes: int) -> None:
    data = PacketWriter(negotiated(ALL)).padding(
        nbytes, number=7, timestamp=90, now_s=0.0, transport_number=8
    )
    packet = RtpPacket.parse(data)
    assert (packet.payload, packet.padding_size, packet.ssrc) == (b"", nbytes, 2222)
