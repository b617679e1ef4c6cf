"""One viewer's video: what is sent, again, in what pace, and how it ends."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from aiortc.rtp import (
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSrPacket,
    RtpPacket,
    is_rtcp,
    unpack_header_extensions,
)

from gpuview.media.link.link import Link
from gpuview.media.link.reports import Probe
from gpuview.media.link.tcp_stalls import NO_DELAY, PlayoutDelay
from gpuview.media.rtp import sender as sender_module
from gpuview.media.rtp.packets import PLAYOUT_DELAY_URI, TRANSPORT_CC_URI, StreamFormat
from gpuview.media.rtp.sender import VideoSender
from tests.waiting import wait_until_async

SSRC, RTX_SSRC = 1111, 2222
FORMAT = StreamFormat(
    ssrc=SSRC,
    payload_type=96,
    rtx_ssrc=RTX_SSRC,
    rtx_payload_type=97,
    mid="0",
    cname="us",
    extension_ids={TRANSPORT_CC_URI: 3},
)


@dataclass(frozen=True)
class Frame:
    payloads: list[bytes]
    timestamp: int
    is_keyframe: bool = False


class Page:
    """Stands in for the network and the page; encryption adds 16 bytes, as SRTP does."""

    def __init__(self) -> None:
        self.is_open = True
        self.rtp: list[bytes] = []
        self.bursts: list[int] = []
        self.rtcp: list[Any] = []
        self.frames: asyncio.Queue[Frame | Exception] = asyncio.Queue()
        self.rooms: list[tuple[float, float]] = []
        self.lasting_bps = 0.0
        self.waits_s: list[float] = []
        self.failures: list[Exception] = []
        self.n_keyframe_requests = 0

    def protect(self, packet: bytes) -> bytes:
        return packet + bytes(16)

    protect_rtcp = protect

    def send(self, datagrams: list[bytes]) -> None:
        self.bursts.append(len(datagrams))
        for data in datagrams:
            if is_rtcp(data):
                self.rtcp += RtcpPacket.parse(data[:-16])
            else:
                self.rtp.append(data[:-16])

    async def next_frame(self) -> Frame:
        frame = await self.frames.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    def note_room(self, target_bps: float, lasting_bps: float, free_s: float) -> None:
        self.rooms.append((target_bps, free_s))
        self.lasting_bps = lasting_bps
        self.waits_s.append(free_s - time.monotonic())

    def request_keyframe(self) -> None:
        self.n_keyframe_requests += 1

    def packets(self, ssrc: int = SSRC) -> list[RtpPacket]:
        return [packet for packet in map(RtpPacket.parse, self.rtp) if packet.ssrc == ssrc]

    def transport_numbers(self) -> list[int]:
        return [
            int.from_bytes(dict(unpack_header_extensions(0xBEDE, data[16:20]))[3])
            for data in self.rtp
        ]

    def show(self, count: int, *, payloads: int = 1, nbytes: int = 100) -> None:
        for n in range(count):
            self.frames.put_nowait(Frame([bytes(nbytes)] * payloads, 3000 * n))

    async def wait_for_packets(self, count: int, ssrc: int = SSRC) -> list[RtpPacket]:
        await wait_until_async(lambda: len(self.packets(ssrc)) >= count, f"{count} packets came")
        return self.packets(ssrc)


def run(
    use: Callable[[VideoSender, Page], Awaitable[None]],
    *,
    target_bps: int = 20_000_000,
    negotiated: StreamFormat = FORMAT,
) -> Page:
    """Use a sender, and stop it."""

    async def main() -> Page:
        page = Page()
        now_s = asyncio.get_running_loop().time()
        link = Link(now_s, ceiling_bps=target_bps)
        link.take_remb(now_s, target_bps)
        sender = VideoSender(
            negotiated,
            page,
            link,
            send=page.send,
            next_frame=page.next_frame,
            on_room=page.note_room,
            on_keyframe_request=page.request_keyframe,
            on_failure=page.failures.append,
        )
        async with asyncio.timeout(60):
            try:
                await use(sender, page)
            finally:
                await sender.stop()
        return page

    return asyncio.run(main())


def nack(*numbers: int) -> bytes:
    body = struct.pack("!II", 5, SSRC) + b"".join(struct.pack("!HH", each, 0) for each in numbers)
    return struct.pack("!BBH", 0x81, 205, len(body) // 4) + body


def feedback(base: int, deltas: bytes) -> bytes:
    """All these packets arrived, with these small deltas."""
    fci = struct.pack("!HHIH", base, len(deltas), 100 << 8, 1 << 13 | len(deltas)) + deltas
    fci += bytes(-len(fci) % 4)
    return struct.pack("!BBHII", 0x8F, 205, 2 + len(fci) // 4, 5, SSRC) + fci


def test_frames_are_sent_with_their_own_timestamps_and_consecutive_numbers() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.frames.put_nowait(Frame([b"a", b"b"], 2**32 + 5))
        page.frames.put_nowait(Frame([b"c"], 2**40 + 3000))
        packets = await page.wait_for_packets(3)
        assert [packet.payload for packet in packets] == [b"a", b"b", b"c"]
        assert [packet.timestamp for packet in packets] == [5, 5, 3000]
        assert [packet.marker for packet in packets] == [0, 1, 1]
        first = packets[0].sequence_number
        assert [packet.sequence_number for packet in packets] == [first, first + 1, first + 2]
        assert page.transport_numbers() == [0, 1, 2]
        assert sender.n_frames == 2

    run(use)


def test_lost_packet_is_sent_again_with_a_number_of_its_own_for_the_feedback() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(3)
        first, *_ = await page.wait_for_packets(3)
        sender.take_rtcp(nack(first.sequence_number))
        (again,) = await page.wait_for_packets(1, RTX_SSRC)
        assert again.payload == first.sequence_number.to_bytes(2) + first.payload
        assert again.payload_type == 97
        assert page.transport_numbers() == [0, 1, 2, 3]

    run(use)


def lose_packets(link: Link) -> None:
    """Let the page report one of fifty lost, for some seconds."""
    now_s = asyncio.get_running_loop().time()
    for second in range(1, 6):
        link.take_receiver_report(now_s + second, fraction_lost=0.02, round_trip_s=0.0)


def test_encoder_is_told_what_the_link_takes_beside_what_may_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Link, "rate_bps", property(lambda link: 2 * link.target_bps))

    async def use(sender: VideoSender, page: Page) -> None:
        page.frames.put_nowait(Frame([b"a"], 3000))
        await page.wait_for_packets(1)
        await wait_until_async(lambda: bool(page.rooms), "it is told")
        assert page.lasting_bps == pytest.approx(2 * page.rooms[-1][0])

    run(use)


def test_link_that_loses_packets_gets_each_twice_the_copies_after_the_frame() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        lose_packets(sender.link)
        page.frames.put_nowait(Frame([b"a", b"b"], 3000))
        copies = await page.wait_for_packets(2, RTX_SSRC)
        packets = page.packets()
        assert [RtpPacket.parse(data).ssrc for data in page.rtp] == [SSRC] * 2 + [RTX_SSRC] * 2
        assert [packet.payload for packet in packets] == [b"a", b"b"]
        for packet, copy in zip(packets, copies, strict=True):
            assert copy.payload == packet.sequence_number.to_bytes(2) + packet.payload
            assert (copy.timestamp, copy.marker) == (packet.timestamp, packet.marker)
        assert page.transport_numbers() == [0, 1, 2, 3]
        sender._tell_room(asyncio.get_running_loop().time())
        assert page.rooms[-1][0] == pytest.approx(20e6 * 0.92 / 2)

    run(use)


def test_packet_whose_copy_is_lost_too_is_sent_again_at_once() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        lose_packets(sender.link)
        sender.link.round_trip_s = 60.0
        page.show(1)
        await page.wait_for_packets(1, RTX_SSRC)
        sender.take_rtcp(nack(page.packets()[0].sequence_number))
        assert len(await page.wait_for_packets(2, RTX_SSRC)) == 2

    run(use)


def test_storm_of_nacks_is_answered_with_what_was_sent_once() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(3)
        packets = await page.wait_for_packets(3)
        first = packets[0].sequence_number
        sender.link.round_trip_s = 60.0
        for _ in range(50):
            sender.take_rtcp(nack(*((first + n) % 65536 for n in range(-500, 500))))
        page.show(1)
        await page.wait_for_packets(4)
        assert len(page.packets(RTX_SSRC)) == 3

    run(use)


def test_loss_that_takes_longer_to_repair_than_a_keyframe_leads_to_a_keyframe() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1, payloads=30, nbytes=1100)  # a quarter of a second
        lost = [packet.sequence_number for packet in await page.wait_for_packets(30)]
        sender.take_rtcp(nack(*lost))
        page.frames.put_nowait(Frame([b"not decodable"], 3000))
        page.frames.put_nowait(Frame([b"key"], 6000, is_keyframe=True))
        page.frames.put_nowait(Frame([b"next"], 9000))
        *_, key, next_ = await page.wait_for_packets(32)
        assert (key.payload, next_.payload) == (b"key", b"next")
        sender.take_rtcp(nack(*lost, key.sequence_number))
        (again,) = await page.wait_for_packets(1, RTX_SSRC)
        assert again.payload.endswith(b"key")
        assert page.n_keyframe_requests == 1

    run(use, target_bps=1_000_000)


def test_second_such_loss_soon_after_is_repaired() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1, payloads=30, nbytes=1100)
        lost = [packet.sequence_number for packet in await page.wait_for_packets(30)]
        sender.take_rtcp(nack(*lost))
        page.frames.put_nowait(Frame([bytes(1100)] * 30, 3000, is_keyframe=True))
        lost = [packet.sequence_number for packet in (await page.wait_for_packets(60))[30:]]
        sender.take_rtcp(nack(*lost))
        await page.wait_for_packets(30, RTX_SSRC)
        assert page.n_keyframe_requests == 1

    run(use, target_bps=1_000_000)


def test_playout_delay_of_the_link_is_told_from_the_next_packet_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delays = [NO_DELAY, PlayoutDelay(0.08, 0.13), NO_DELAY]
    monkeypatch.setattr(Link, "playout_delay", property(lambda link: delays[0]))

    async def use(sender: VideoSender, page: Page) -> None:
        for n in range(1, 4):
            page.show(1)
            await page.wait_for_packets(n)
            delays.append(delays.pop(0))
        told = [dict(unpack_header_extensions(0xBEDE, data[16:24]))[5] for data in page.rtp]
        assert told == [b"\0\0\0", b"\x00\x80\x0d", b"\0\0\0"]

    ids = {TRANSPORT_CC_URI: 3, PLAYOUT_DELAY_URI: 5}
    run(use, negotiated=replace(FORMAT, extension_ids=ids))


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the link is, while there is something in it. It is not probed."""
    cut_off: list[bool] = []
    for name in ("is_silent", "is_cut_off"):
        monkeypatch.setattr(Link, name, lambda link, now_s: bool(cut_off))
    monkeypatch.setattr(Link, "next_probe", lambda link, now_s: None)
    return cut_off


def test_relay_that_is_cut_off_gets_a_sign_of_life_now_and_then_but_no_frame(
    cut_off: list[bool],
) -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1)
        await page.wait_for_packets(1)
        sender.take_rtcp(feedback(0, bytes([1])))
        cut_off.append(True)
        page.show(4)
        signs = await page.wait_for_packets(3, RTX_SSRC)
        assert not any(packet.payload for packet in signs)
        assert len(page.packets()) == 2  # the sender waited for that frame before
        assert page.waits_s[-1] > sender_module._WAIT_S
        assert page.transport_numbers() == list(range(len(page.rtp)))
        cut_off.clear()
        await page.wait_for_packets(5)

    run(use)


def test_page_without_retransmission_is_sent_frames_for_signs_of_life(cut_off: list[bool]) -> None:
    cut_off.append(True)

    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1)
        await page.wait_for_packets(1)
        sender.take_rtcp(feedback(0, bytes([1])))
        page.show(4)
        await page.wait_for_packets(5)

    run(use, negotiated=replace(FORMAT, rtx_payload_type=None, rtx_ssrc=None))


def test_page_without_retransmission_gets_none_and_no_padding() -> None:
    negotiated = StreamFormat(
        ssrc=SSRC,
        payload_type=96,
        rtx_ssrc=RTX_SSRC,
        rtx_payload_type=None,
        mid="0",
        cname="us",
        extension_ids={},
    )

    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1)
        (packet,) = await page.wait_for_packets(1)
        lose_packets(sender.link)
        sender.link.next_probe = lambda now_s: Probe(1, 1e6, 1000)  # type: ignore[method-assign]
        sender.take_rtcp(nack(packet.sequence_number))
        page.show(1)
        await page.wait_for_packets(2)
        assert page.packets(RTX_SSRC) == []

    run(use, negotiated=negotiated)


def test_keyframe_that_is_too_large_for_the_link_is_spread_and_holds_the_next_frame() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1, payloads=100, nbytes=1000)
        page.show(1)
        await page.wait_for_packets(100)
        assert max(page.bursts) <= 9  # 5 ms at 12.5 Mbit/s, and what one packet exceeds it by
        target_bps, free_s = page.rooms[0]
        # 1076 bytes each at 5 Mbit/s, less the 120 ms that may wait.
        assert free_s - asyncio.get_running_loop().time() < 100 * 1076 * 8 / 5e6 - 0.12
        assert target_bps == 4_600_000
        await page.wait_for_packets(101)
        assert asyncio.get_running_loop().time() >= free_s

    run(use, target_bps=5_000_000)


def test_probe_is_padded_with_what_the_page_has_already() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1, payloads=4, nbytes=1000)
        await page.wait_for_packets(4)
        probes = [Probe(1, 8e6, 12_000)]
        sender.link.next_probe = lambda now_s: probes.pop() if probes else None  # type: ignore[method-assign]
        sender.take_rtcp(b"")
        padding = await page.wait_for_packets(8, RTX_SSRC)
        await wait_until_async(lambda: sender._pacer.next_s is None, "the probe is complete")
        assert sum(map(len, page.rtp)) > 12_000
        originals = {packet.payload[:2] for packet in padding if packet.payload}
        assert originals <= {packet.sequence_number.to_bytes(2) for packet in page.packets()}
        assert page.transport_numbers() == list(range(len(page.rtp)))

    run(use)


def test_feedback_reaches_the_link_and_the_round_trip_is_known() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(3)
        await page.wait_for_packets(3)
        assert not sender.link.is_awaiting
        sender.take_rtcp(feedback(0, bytes([1, 2, 3])))
        assert sender.link.round_trip_s is not None
        page.show(1)
        await page.wait_for_packets(4)
        assert sender.link.is_awaiting

    run(use)


def test_reports_are_sent_and_tell_the_round_trip() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(2, nbytes=50)
        await wait_until_async(lambda: page.rtcp, "a report is sent")
        report = page.rtcp[0]
        assert isinstance(report, RtcpSrPacket)
        info = report.sender_info
        assert (report.ssrc, info.packet_count, info.octet_count) == (SSRC, 2, 100)
        assert info.rtp_timestamp >= 3000
        heard = RtcpReceiverInfo(SSRC, 0, 0, 9, 0, info.ntp_timestamp >> 16 & 0xFFFFFFFF, 0)
        sender.take_rtcp(bytes(RtcpRrPacket(ssrc=5, reports=[heard])))
        assert sender.link.round_trip_s is not None
        assert 0 <= sender.link.round_trip_s < 60

    page = run(use)
    assert page.rtcp[-1] == RtcpByePacket(sources=[SSRC])


@pytest.mark.parametrize("fmt", [RTCP_PSFB_PLI, RTCP_PSFB_FIR])
def test_flood_of_keyframe_requests_is_one_request(fmt: int) -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        fci = struct.pack("!II", SSRC, 0) if fmt == RTCP_PSFB_FIR else b""
        request = bytes(RtcpPsfbPacket(fmt=fmt, ssrc=5, media_ssrc=SSRC, fci=fci))
        sender.take_rtcp(request * 1000)
        assert page.n_keyframe_requests == 1

    run(use)


def test_flood_of_rtcp_is_not_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = sender_module.rtcp.parse_rtcp

    def count(data: bytes, ssrc: int) -> Any:
        parsed.append(data)
        return parse(data, ssrc)

    async def use(sender: VideoSender, page: Page) -> None:
        monkeypatch.setattr(sender_module.rtcp, "parse_rtcp", count)
        began_s = time.monotonic()
        for _ in range(5000):
            sender.take_rtcp(nack(1))
        passed_s = time.monotonic() - began_s
        assert 200 <= len(parsed) <= 200 * (1 + passed_s) + 1

    run(use)


@pytest.mark.parametrize("where", ["next_frame", "send", "protect", "closed", "rtcp", "pace"])
def test_failure_ends_the_sender_and_is_told_once(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError("made up")

    def fail(*args: object, **kwargs: object) -> Any:
        raise error

    async def use(sender: VideoSender, page: Page) -> None:
        if where == "next_frame":
            page.frames.put_nowait(error)
        elif where == "closed":
            page.is_open = False
        elif where == "rtcp":
            monkeypatch.setattr(sender_module.rtcp, "parse_rtcp", fail)
            sender.take_rtcp(b"")
        elif where == "pace":
            page.show(1, payloads=100, nbytes=1000)
            await page.wait_for_packets(1)
            page.is_open = False
        else:
            owner = {"send": sender, "protect": sender._outgoing}[where]
            monkeypatch.setattr(owner, f"_{where}", fail)
        page.show(1)
        await wait_until_async(lambda: page.failures, "the failure is told")
        page.show(1)
        sender.take_rtcp(nack(1))
        for _ in range(10):
            await asyncio.sleep(0)
        assert "over" in repr(sender)

    page = run(use, target_bps=3_000_000)
    (failure,) = page.failures
    assert failure is error or isinstance(failure, ConnectionError)
    assert RtcpByePacket(sources=[SSRC]) not in page.rtcp


def test_stopping_is_no_failure() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        page.show(1, payloads=100, nbytes=1000)
        await page.wait_for_packets(1)

    page = run(use, target_bps=1_000_000)
    assert page.failures == []
    assert page.rtcp == [RtcpByePacket(sources=[SSRC])]
    assert len(page.packets()) < 100


def test_idle_sender_has_no_timer_but_that_of_its_reports() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        sender.link.next_probe = lambda now_s: None  # type: ignore[method-assign]
        page.show(3)
        await page.wait_for_packets(3)
        sender.take_rtcp(feedback(0, bytes([1, 2, 3])))
        await wait_until_async(lambda: sender._wait_timer is None, "nothing is awaited")
        assert sender._pace_timer is None

    run(use)


def test_numbers_wrap() -> None:
    async def use(sender: VideoSender, page: Page) -> None:
        sender._outgoing._number = 65534
        page.show(4)
        packets = await page.wait_for_packets(4)
        numbers = [packet.sequence_number for packet in packets]
        assert numbers == [65534, 65535, 0, 1]
        assert all((b - a) % 65536 == 1 for a, b in pairwise(numbers))
        sender.take_rtcp(nack(65535, 0))
        assert len(await page.wait_for_packets(2, RTX_SSRC)) == 2

    run(use)
