"""One viewer's packets as they leave: numbered, encrypted, and kept for those that get lost."""

from __future__ import annotations

import random
from collections import deque
from typing import Protocol

from gpuview.media.link.link import Link
from gpuview.media.link.pacer import Departures
from gpuview.media.link.tcp_stalls import NO_DELAY
from gpuview.media.rtp import rtcp
from gpuview.media.rtp.history import History, SentPacket
from gpuview.media.rtp.packets import MAX_PADDING_NBYTES, PacketWriter, StreamFormat

__all__ = ["Frame", "Outgoing", "Srtp"]

_IP_UDP_NBYTES = 28
_CLOCK_HZ = 90_000
_WORTH_REPEATING_NBYTES = 500
_SENDER_REPORTS = 8


class Frame(Protocol):
    """An encoded frame."""

    @property
    def payloads(self) -> list[bytes]:
        """Split for RTP."""

    @property
    def timestamp(self) -> int:
        """90 kHz, of any length."""

    @property
    def is_keyframe(self) -> bool:
        """Whether it can be decoded without those before it."""


class Srtp(Protocol):
    """One connection's encryption."""

    @property
    def is_open(self) -> bool: ...

    def protect(self, packet: bytes, /) -> bytes: ...

    def protect_rtcp(self, packet: bytes, /) -> bytes: ...


class Outgoing:
    """Makes the datagrams of one viewer. All times are of one monotonic clock, in seconds.

    Args:
        negotiated: The numbers that the page knows the video by.
        srtp: Encrypts.
        link: Is told of each packet.
    """

    def __init__(self, negotiated: StreamFormat, srtp: Srtp, link: Link) -> None:
        self._format = negotiated
        self._srtp = srtp
        self._link = link
        self._writer = PacketWriter(negotiated)
        self._history = History()
        # The lower half, because a number that wraps soon upsets SRTP when packets are lost.
        self._number = random.randrange(1, 32768)
        self._rtx_number = random.randrange(1, 32768)
        self._playout_delay = NO_DELAY
        self._n_packets = 0
        self._nbytes = 0
        self._last_timestamp = 0
        self._last_frame_s = float("-inf")
        self._reported: deque[tuple[int, float]] = deque(maxlen=_SENDER_REPORTS)

    @property
    def can_repeat(self) -> bool:
        """Whether the page takes retransmissions, and padding with them."""
        return self._format.rtx_payload_type is not None

    def split(self, frame: Frame, now_s: float) -> list[SentPacket]:
        """Return the packets of a frame, numbered. Each of them may leave more than once."""
        timestamp = frame.timestamp & 0xFFFFFFFF
        last = len(frame.payloads) - 1
        first, self._number = self._number, self._number + last + 1 & 0xFFFF
        self._last_timestamp, self._last_frame_s = timestamp, now_s
        return [
            SentPacket(first + n & 0xFFFF, timestamp, n == last, payload)
            for n, payload in enumerate(frame.payloads)
        ]

    def take_lost(self, number: int, now_s: float) -> SentPacket | None:
        """Return the packet to retransmit; None if there is none, see `History.take_lost`."""
        if not self.can_repeat:
            return None
        return self._history.take_lost(number, now_s, self._link.round_trip_s)

    def forget(self) -> None:
        """Repeat nothing that has been sent up to now."""
        self._history.clear()

    def write(self, departures: Departures[SentPacket], now_s: float) -> list[bytes]:
        """Return the datagrams of what leaves now."""
        self._follow_playout_delay()
        probe = departures.probe
        datagrams = [self._again(packet, now_s, probe) for packet in departures.retransmissions]
        self._link.note_retransmitted(now_s, sum(map(len, datagrams)))
        for packet in departures.video:
            if packet.has_left:
                datagrams.append(self._again(packet, now_s, probe))
                continue
            packet.has_left = True
            data = self._writer.video(
                packet.payload,
                number=packet.number,
                timestamp=packet.timestamp,
                is_last=packet.is_last,
                now_s=now_s,
                transport_number=self._link.next_number,
            )
            datagrams.append(self._protect(data, now_s, probe))
            self._history.add(packet)
            self._n_packets += 1
            self._nbytes += len(packet.payload)
        if departures.padding_nbytes:
            datagrams += self._padding(departures.padding_nbytes, now_s, probe)
        return datagrams

    def write_sign_of_life(self, now_s: float) -> bytes:
        """Return the smallest packet that the page reports on; where `can_repeat`."""
        return self._zeros(1, now_s, None)

    def _follow_playout_delay(self) -> None:
        delay = self._link.playout_delay
        if delay != self._playout_delay:
            self._playout_delay = delay
            self._writer.set_playout_delay(delay)

    def _again(self, packet: SentPacket, now_s: float, probe: int | None) -> bytes:
        data = self._writer.retransmission(
            packet.payload,
            number=self._next_rtx_number(),
            original_number=packet.number,
            timestamp=packet.timestamp,
            is_last=packet.is_last,
            now_s=now_s,
            transport_number=self._link.next_number,
        )
        return self._protect(data, now_s, probe)

    def _padding(self, nbytes: int, now_s: float, probe: int | None) -> list[bytes]:
        """Return so much of what the page does not need: large packets again, or zeros."""
        datagrams = []
        for packet in self._history.newest():
            if nbytes > 0 and len(packet.payload) >= _WORTH_REPEATING_NBYTES:
                datagrams.append(self._again(packet, now_s, probe))
                nbytes -= len(datagrams[-1]) + _IP_UDP_NBYTES
        while nbytes > 0:
            datagrams.append(self._zeros(MAX_PADDING_NBYTES, now_s, probe))
            nbytes -= len(datagrams[-1]) + _IP_UDP_NBYTES
        return datagrams

    def _zeros(self, nbytes: int, now_s: float, probe: int | None) -> bytes:
        data = self._writer.padding(
            nbytes,
            number=self._next_rtx_number(),
            timestamp=self._last_timestamp,
            now_s=now_s,
            transport_number=self._link.next_number,
        )
        return self._protect(data, now_s, probe)

    def _protect(self, packet: bytes, now_s: float, probe: int | None) -> bytes:
        """Encrypt a packet, and note that it leaves."""
        datagram = self._srtp.protect(packet)
        self._link.note_sent(now_s, len(datagram) + _IP_UDP_NBYTES, probe)
        return datagram

    def _next_rtx_number(self) -> int:
        number, self._rtx_number = self._rtx_number, self._rtx_number + 1 & 0xFFFF
        return number

    # --- reports --------------------------------------------------------------------------------

    def write_report(self, now_s: float, unix_s: float) -> bytes | None:
        """Return a sender report, encrypted; None before anything was sent."""
        if not self._n_packets:
            return None
        ntp = rtcp.ntp_time(unix_s)
        since_s = now_s - self._last_frame_s
        report = rtcp.write_sender_report(
            self._format.ssrc,
            self._format.cname,
            ntp=ntp,
            timestamp=self._last_timestamp + int(since_s * _CLOCK_HZ) & 0xFFFFFFFF,
            n_packets=self._n_packets,
            nbytes=self._nbytes,
        )
        self._reported.append((ntp >> 16 & 0xFFFFFFFF, now_s))
        return self._srtp.protect_rtcp(report)

    def write_bye(self) -> bytes:
        """Return a goodbye, encrypted."""
        return self._srtp.protect_rtcp(rtcp.write_bye(self._format.ssrc))

    def round_trip_s(self, now_s: float, report: rtcp.ReceiverReport) -> float | None:
        """Return how long our last report and the page's about it were on their way."""
        for last_report, sent_s in self._reported:
            if last_report == report.last_report:
                return now_s - sent_s - report.delay_s
        return None
