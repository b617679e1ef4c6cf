"""Sends one viewer's video, in place of aiortc's RTP sender. Lives on the event loop.

The payloads are shared by all viewers. For each viewer a packet costs its header, its encryption
and a system call. What leaves when is the pacer's choice, how much the link's.

Nothing here ends unseen: an exception ends the viewer, and its page makes a new connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

from gpuview.media.link.link import Link
from gpuview.media.link.message_budget import Budget
from gpuview.media.link.pacer import Pacer
from gpuview.media.link.protection import Protection
from gpuview.media.rtp import rtcp
from gpuview.media.rtp.history import SentPacket
from gpuview.media.rtp.outgoing import Frame, Outgoing, Srtp
from gpuview.media.rtp.packets import StreamFormat

__all__ = ["VideoSender"]

_OVERHEAD_NBYTES = 76  # IPv4, UDP, RTP with extensions, SRTP's tag
_LONGEST_REPAIR_S = 0.15  # a keyframe takes no longer
_ANEW_SPACING_S = 4.0  # a viewer who asks for three keyframes in six seconds waits for the next
_WAIT_S = 0.05  # how often feedback that is due is looked for
_LOOK_S = 0.02  # how often it is looked whether a frame is wanted again
_MAX_RTCP_PER_S = 200  # a browser sends some 30
_MAX_NACKED_PER_S = 4000  # twice as many as packets are sent
_KEYFRAME_REQUEST_S = 0.1


class VideoSender:
    """Sends one viewer's video, from its construction to `stop`.

    Args:
        negotiated: The numbers that the page knows the video by.
        srtp: Encrypts.
        link: The viewer's.
        send: Sends datagrams in order. Raises ConnectionError if there is no way to the page.
        next_frame: Awaited for each frame.
        on_room: Called after each frame and whenever the link is known better. It gets what may be
            sent of video, what the link takes of it (more, while a queue is drained), both in
            bit/s, and when the next frame is wanted, on the monotonic clock.
        on_keyframe_request: Called for the page's requests, at most ten times a second.
        on_failure: Called once, with what ended the sending; not called by `stop`.
    """

    def __init__(
        self,
        negotiated: StreamFormat,
        srtp: Srtp,
        link: Link,
        *,
        send: Callable[[list[bytes]], None],
        next_frame: Callable[[], Awaitable[Frame]],
        on_room: Callable[[float, float, float], None],
        on_keyframe_request: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.link = link
        self.n_frames = 0
        self._format = negotiated
        self._srtp = srtp
        self._send = send
        self._next_frame = next_frame
        self._on_room = on_room
        self._on_keyframe_request = on_keyframe_request
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._outgoing = Outgoing(negotiated, srtp, link)
        self._pacer: Pacer[SentPacket] = Pacer(link.target_bps)
        self._last_request_s = float("-inf")
        now_s = self.heard_s = time.monotonic()
        """When the other side has sent RTCP last, on ``time.monotonic``."""
        self._rtcp_budget = Budget(now_s, _MAX_RTCP_PER_S)
        self._nack_budget = Budget(now_s, _MAX_NACKED_PER_S)
        self._pace_timer: asyncio.TimerHandle | None = None
        self._wait_timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._needs_keyframe = False
        self._anew_s = float("-inf")
        self._tasks = [
            self._loop.create_task(self._guard(self._send_frames)),
            self._loop.create_task(self._guard(self._send_reports)),
        ]

    async def stop(self) -> None:
        """Say goodbye, and end."""
        if self._end() and self._srtp.is_open:
            with contextlib.suppress(ConnectionError):
                self._send([self._outgoing.write_bye()])
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take_rtcp(self, data: bytes) -> None:
        """Act on a decrypted RTCP packet of the page."""
        now_s = self.heard_s = time.monotonic()
        if self._is_over or not self._rtcp_budget.spend(now_s, 1):
            return
        try:
            for message in rtcp.parse_rtcp(data, self._format.ssrc):
                self._take(now_s, message)
            if self._pacer.repair_s > _LONGEST_REPAIR_S:
                self._start_anew(now_s)
            self._link_changed(now_s)
        except Exception as exc:
            self._fail(exc)

    # --- what the page says ---------------------------------------------------------------------

    def _take(self, now_s: float, message: rtcp.Message) -> None:
        match message:
            case rtcp.TransportFeedback():
                self.link.take_transport_feedback(now_s, message.fci)
            case rtcp.Nack():
                if self._nack_budget.spend(now_s, len(message.numbers)):
                    for number in message.numbers:
                        self._retransmit(now_s, number)
            case rtcp.ReceiverReport():
                self.link.take_receiver_report(
                    now_s,
                    fraction_lost=message.fraction_lost,
                    round_trip_s=self._outgoing.round_trip_s(now_s, message),
                )
            case rtcp.Remb():
                self.link.take_remb(now_s, message.bitrate_bps)
            case rtcp.KeyframeRequest():
                if now_s - self._last_request_s >= _KEYFRAME_REQUEST_S:
                    self._last_request_s = now_s
                    self._on_keyframe_request()

    def _retransmit(self, now_s: float, number: int) -> None:
        packet = self._outgoing.take_lost(number, now_s)
        if packet is not None:
            self._pacer.put_retransmission(now_s, packet, len(packet.payload) + _OVERHEAD_NBYTES)

    def _start_anew(self, now_s: float) -> None:
        """Drop everything up to the next keyframe, which is ready sooner than the repair."""
        if now_s - self._anew_s < _ANEW_SPACING_S:
            return
        self._anew_s = now_s
        self._pacer.clear()
        self._outgoing.forget()
        self._needs_keyframe = True
        self._on_keyframe_request()

    def _link_changed(self, now_s: float) -> None:
        """Tell the pacer and the encoder what may be sent now, and send what may leave."""
        self._pacer.set_target(now_s, self.link.target_bps)
        if (under_way_nbytes := self.link.under_way_nbytes) is not None:
            self._pacer.note_under_way(under_way_nbytes)
        self._start_probe(now_s)
        self._let_leave()
        self._tell_room(now_s)

    def _start_probe(self, now_s: float) -> None:
        if self._outgoing.can_repeat:
            probe = self.link.next_probe(now_s)
            if probe is not None:
                self._pacer.start_probe(now_s, probe)

    def _tell_room(self, now_s: float) -> None:
        video_bps = self._protection(now_s).video_bps
        lasting_bps = video_bps * self.link.rate_bps / self.link.target_bps
        self._on_room(video_bps, lasting_bps, self._free_s(now_s))

    def _free_s(self, now_s: float) -> float:
        """Return when the next frame is wanted; not after ``now_s`` if it is wanted now."""
        free_s = self._pacer.free_s(now_s)
        # Without signs of life, nothing but a frame would ever be reported on.
        if self._outgoing.can_repeat and self.link.is_cut_off(now_s):
            return max(free_s, now_s + 2 * _WAIT_S)  # longer than until it is said again
        return free_s

    def _protection(self, now_s: float) -> Protection:
        return self.link.protection(now_s, can_repeat=self._outgoing.can_repeat)

    # --- what is sent ---------------------------------------------------------------------------

    async def _send_frames(self) -> None:
        while True:
            frame = await self._next_frame()
            if self._needs_keyframe and not frame.is_keyframe:
                continue
            self._needs_keyframe = False
            now_s = time.monotonic()
            self._queue(frame, now_s)
            self._start_probe(now_s)
            self._let_leave()
            self._tell_room(now_s)
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        """Wait until another frame is wanted; meanwhile frames wait where they can be left out."""
        while True:
            now_s = time.monotonic()
            wait_s = self._free_s(now_s) - now_s
            if wait_s <= 0:
                return
            await asyncio.sleep(min(wait_s, _LOOK_S))  # the link may be found better meanwhile

    def _queue(self, frame: Frame, now_s: float) -> None:
        packets = self._outgoing.split(frame, now_s)
        # Copies leave after the whole frame: losses often come in a row.
        for packet in packets * (1 + self._protection(now_s).n_copies):
            self._pacer.put_video(now_s, packet, len(packet.payload) + _OVERHEAD_NBYTES)
        self.n_frames += 1

    def _let_leave(self) -> None:
        """Send what may leave now, and come back when more may."""
        now_s = time.monotonic()
        self._send_all(self._outgoing.write(self._pacer.take(now_s), now_s))
        if self._pace_timer is None and self._pacer.next_s is not None:
            self._pace_timer = self._loop.call_at(self._pacer.next_s, self._pace)
        if self._wait_timer is None and self.link.is_awaiting:
            self._wait_timer = self._loop.call_later(_WAIT_S, self._wait)

    def _send_all(self, datagrams: list[bytes]) -> None:
        if not datagrams:
            return
        if not self._srtp.is_open:
            raise ConnectionError("the connection is closed")
        self._send(datagrams)

    async def _send_reports(self) -> None:
        while True:
            # RFC 3550 section 6.2 varies the interval, so that reports do not meet.
            await asyncio.sleep(0.5 + random.random())
            report = self._outgoing.write_report(time.monotonic(), time.time())
            if report is not None:
                self._send([report])

    # --- timers and the end ---------------------------------------------------------------------

    def _pace(self) -> None:
        self._pace_timer = None
        try:
            self._let_leave()
        except Exception as exc:
            self._fail(exc)

    def _wait(self) -> None:
        self._wait_timer = None
        try:
            now_s = time.monotonic()
            self.link.wait(now_s)
            if self.link.is_silent(now_s) and self._outgoing.can_repeat:
                self._send_all([self._outgoing.write_sign_of_life(now_s)])
            self._link_changed(now_s)
        except Exception as exc:
            self._fail(exc)

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as exc:
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        if self._end():
            self._on_failure(exc)

    def _end(self) -> bool:
        """End everything; return False if it has ended before."""
        if self._is_over:
            return False
        self._is_over = True
        for timer in (self._pace_timer, self._wait_timer):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        return True

    def __repr__(self) -> str:
        return f"<VideoSender {self._pacer} {'over' if self._is_over else 'sending'}>"
