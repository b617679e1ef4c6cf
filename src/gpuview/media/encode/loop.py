"""The thread that encodes one stream: newest frame in, packets out.

It has a thread of its own, so that ICE and RTCP never wait for a frame. The thread exists while
there is a codec to encode for, and sleeps on the stream's eventfd. The kernel writes to it for each
frame; this process writes to it for other work. A frame that a GPU writes arrives later, without a
wake-up, so the thread polls for it, at first every millisecond.

No failure ends the thread. It reports the error and tries again after a second: only the codec that
failed, or everything if the ring or the conversion failed.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

import av

from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.convert import SlotConverter, TierScaler
from gpuview.media.encode.output import RETRY_S, Output
from gpuview.media.encode.schedule import LookClock, RefreshClock, StartClock
from gpuview.media.encode.still import Still, StillMaker
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.media.internal_error import log_fault, problem_of
from gpuview.protocol.event_fd import EventFd
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.ring import RingReader, Slot
from gpuview.protocol.stats import EncoderStats

__all__ = ["EncodeLoop"]


class EncodeLoop:
    """Owns the ring's reading end, the converter and the encoders of one stream.

    Args:
        event_fd: The stream's eventfd; owned once this returns.
        fps: The most frames encoded per second.
        max_bitrate_bps: The most bits sent to one viewer per second.
        encoder: The setting.
        on_packet: Called on the encode thread with each packet.
        on_error: Called on the encode thread with an error, and with None after recovery.
        on_still: As for `StillMaker`.
    """

    def __init__(
        self,
        event_fd: int,
        *,
        fps: float,
        max_bitrate_bps: int,
        encoder: EncoderSetting = "auto",
        on_packet: Callable[[Codec, Tier, Packet], None],
        on_error: Callable[[Problem | None], None],
        on_still: Callable[[Still | None], None],
    ) -> None:
        self.frames_taken = 0
        """How many frames were taken from the ring; repeats are not counted."""
        self.encoded_seq = 0
        """The number of the newest frame that every output has encoded."""
        self._event_fd = EventFd(event_fd)
        self._encoder_setting: EncoderSetting = encoder
        self._on_packet = on_packet
        self._on_error = on_error
        self._lock = threading.Lock()  # guards the next seven
        self._fps = fps
        self._max_bitrate_bps = max_bitrate_bps
        self._outputs: dict[tuple[Codec, Tier], Output] = {}
        self._ring_fd = -1  # of a ring that is not mapped yet
        self._is_detached = False  # since the thread looked last
        self._is_stopping = False
        self._thread: threading.Thread | None = None
        # The rest belongs to the encode thread while it runs.
        self._ring: RingReader | None = None
        self._converter = SlotConverter()
        self._scaler = TierScaler()
        self._frame: av.VideoFrame | None = None
        self._frame_seq = 0
        self._capture_ns = 0
        self._starts = StartClock()
        self._refresh = RefreshClock()
        self._look = LookClock()
        self._stills = StillMaker(on_still)
        self._error: Problem | None = None  # of the ring or the conversion
        self._reported_error: Problem | None = None

    # --- from the event loop's thread ---------------------------------------------------------

    def attach(self, ring_fd: int) -> None:
        """Read frames from this ring from now on; owns the descriptor.

        The encode thread maps it, and tries again while there is no memory for it.
        """
        with self._lock:
            unmapped = ring_fd
            if not self._is_stopping:
                unmapped, self._ring_fd = self._ring_fd, ring_fd
        if unmapped >= 0:
            os.close(unmapped)
        self._event_fd.wake()

    def detach(self) -> None:
        """Free the ring and forget the last frame."""
        with self._lock:
            unmapped, self._ring_fd = self._ring_fd, -1
            self._is_detached = True
            if self._thread is None:
                self._drop_ring()
        if unmapped >= 0:
            os.close(unmapped)
        self._event_fd.wake()

    @property
    def max_bitrate_bps(self) -> int:
        """The most bits sent to one viewer per second."""
        return self._max_bitrate_bps

    def set_limits(self, fps: float, max_bitrate_bps: int) -> None:
        """Encode at most so many frames and bits per second from now on."""
        with self._lock:
            self._fps, self._max_bitrate_bps = fps, max_bitrate_bps
            for output in self._outputs.values():
                output.set_limits(fps, max_bitrate_bps)
        self._event_fd.wake()

    def start(
        self, codec: Codec, tier: Tier = Tier.FULL, wants: Callable[[], Demand] = Demand
    ) -> None:
        """Start encoding for ``codec`` in ``tier``, unless that is encoded already.

        Args:
            codec: The codec that the viewers negotiated.
            tier: The size.
            wants: Tells what they want; called on the encode thread.
        """
        with self._lock:
            if self._is_stopping:  # a viewer that is late
                return
            if (codec, tier) not in self._outputs:
                self._outputs[codec, tier] = Output(
                    codec,
                    tier,
                    wants,
                    setting=self._encoder_setting,
                    fps=self._fps,
                    max_bitrate_bps=self._max_bitrate_bps,
                )
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="gpuview-encode", daemon=True
                )
                self._thread.start()

    def stop(self, codec: Codec, tier: Tier = Tier.FULL) -> None:
        """Stop encoding for ``codec`` in ``tier``."""
        with self._lock:
            self._outputs.pop((codec, tier), None)
        self._event_fd.wake()

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the newest frame in pixels; zeros before the first."""
        frame = self._frame  # read once: the encode thread may drop it meanwhile
        return (frame.width, frame.height) if frame is not None else (0, 0)

    def request_keyframe(self, codec: Codec, spacing_s: float, tier: Tier = Tier.FULL) -> None:
        """Make a keyframe from the newest frame, new or not, as soon as `KeyframeGate` allows."""
        with self._lock:
            output = self._outputs.get((codec, tier))
        if output is not None:
            output.request_keyframe(spacing_s)
        self._event_fd.wake()

    def want_stills(self, is_wanted: bool) -> None:
        """Make stills from now on, of the present picture too, or make none."""
        self._stills.is_wanted = is_wanted
        if is_wanted:
            self._event_fd.wake()

    def stats(self) -> list[EncoderStats]:
        """Return the counters of each codec and tier in use."""
        with self._lock:
            return [output.stats() for output in self._outputs.values()]

    def close(self) -> None:
        """End the thread, and free its resources. Whatever is asked for later does nothing."""
        with self._lock:
            self._is_stopping = True
            thread = self._thread
        if thread is not None:
            self._event_fd.wake()
            thread.join()
        self._stills.close()
        self.detach()
        self._event_fd.close()

    # --- on the encode thread -----------------------------------------------------------------

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._event_fd.fileno(), select.POLLIN)
        next_s: float | None = None
        retry_s = float("-inf")
        while True:
            timeout_ms = None if next_s is None else max(0.0, next_s - time.monotonic()) * 1000
            if poll.poll(timeout_ms):
                self._event_fd.clear()
            with self._lock:
                outputs = [] if self._is_stopping else list(self._outputs.values())
                if not outputs:
                    self._report([])
                    if self._is_detached:
                        self._drop_ring()
                    self._thread = None
                    return
            if time.monotonic() < retry_s:
                next_s = retry_s
                continue
            try:
                self._switch_ring()
                next_s = self._step(outputs)
                self._error = None
            except Exception as exc:
                self._error = problem_of(exc)
                next_s = retry_s = time.monotonic() + RETRY_S
            self._report([self._error, *(output.error for output in outputs)])

    def _switch_ring(self) -> None:
        """Map the newest ring. If that fails, keep its descriptor for the next attempt."""
        with self._lock:
            if self._is_detached:
                self._drop_ring()
            if self._ring_fd < 0:
                return
            if self._ring is not None:
                self._ring.close()
                self._ring = None
            self._ring = RingReader.attach(self._ring_fd)
            self._ring_fd = -1
        self._frame_seq = 0

    def _drop_ring(self) -> None:
        self._is_detached = False
        self._frame = None
        self._stills.forget()
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _step(self, outputs: list[Output]) -> float | None:
        """Encode any frame that is due; return when to look again, None to wait for a wake-up."""
        slot = self._ring.take() if self._ring is not None else None
        now_s = time.monotonic()
        if slot is None and self._frame is None:
            return self._next_look(now_s)
        retry_s = min(output.retry_s for output in outputs)
        if now_s < retry_s:
            return retry_s
        if slot is not None and (slot.seq != self._frame_seq or self._frame is None):
            return self._step_forward(outputs, slot, now_s)
        if now_s >= self._stills.due_s:
            self._stills.make(slot)
        return self._step_in_place(outputs, now_s)

    def _step_forward(self, outputs: list[Output], slot: Slot, now_s: float) -> float:
        """Encode the new frame in ``slot``, unless it is too soon after the last frame."""
        free_s = min(output.free_s for output in outputs)
        start_s = max(self._starts.earliest_s(self._fps), free_s)
        if now_s < start_s and not _waiting(outputs, now_s):
            return min([start_s, *(output.keyframe_s for output in outputs)])
        if not self._take(slot):
            return now_s  # overwritten during the read: a newer frame is there
        self._starts.started(now_s, self._fps)
        self._look.arrived()
        for output in outputs:
            output.is_behind = True
        self._encode(_free(outputs, now_s), slot.capture_ns)
        self._refresh.changed(now_s)
        self._stills.changed(now_s)
        return self._next_due(outputs, now_s)

    def _step_in_place(self, outputs: list[Output], now_s: float) -> float:
        """Encode the last frame for whoever was not free, or again if anything is due."""
        behind = [output for output in _free(outputs, now_s) if output.is_behind]
        if behind:
            self._encode(behind, self._capture_ns)
        elif now_s >= self._refresh.due_s:
            self._encode(_free(outputs, now_s), time.monotonic_ns())
            self._refresh.repeated(now_s)
        else:
            self._encode(_waiting(outputs, now_s), time.monotonic_ns())
        return self._next_due(outputs, now_s)

    def _next_due(self, outputs: list[Output], now_s: float) -> float:
        """Return when the thread must run again without a wake-up."""
        if not any(output.is_behind for output in outputs):
            self.encoded_seq = max(self.encoded_seq, self._frame_seq)
        behind_s = (output.free_s for output in outputs if output.is_behind)
        keyframes_s = (output.keyframe_s for output in outputs)
        due_s = min([self._refresh.due_s, self._stills.due_s, *keyframes_s, *behind_s])
        look_s = self._next_look(now_s)
        if look_s is None:
            return due_s
        # There is no use in finding a frame before it may be encoded.
        return min(due_s, max(look_s, self._starts.earliest_s(self._fps)))

    def _next_look(self, now_s: float) -> float | None:
        """Return when to look for a frame from a device; None if no frame is expected."""
        is_expecting = self._ring is not None and self._ring.is_expecting()
        return self._look.next_s(now_s, is_expecting=is_expecting)

    def _take(self, slot: Slot) -> bool:
        frame = self._converter.convert(slot)
        if frame is None:
            return False
        self.frames_taken += slot.seq != self._frame_seq
        self._frame = frame
        self._frame_seq = slot.seq
        self._capture_ns = slot.capture_ns
        self._scaler.forget()
        return True

    def _encode(self, outputs: list[Output], shown_ns: int) -> None:
        """Encode the last frame for each output, except those that wait for a retry.

        Those with a keyframe due come first: a viewer that changes its tier with it then gets the
        frame once.
        """
        assert self._frame is not None
        now_s = time.monotonic()
        for output in sorted(outputs, key=lambda output: now_s < output.keyframe_s):
            if time.monotonic() < output.retry_s:
                continue
            try:
                frame = self._scaler.scaled(self._frame, output.tier)
                packet = output.encode(frame, self._capture_ns, shown_ns, self.frames_taken)
                if packet is not None:
                    self._on_packet(output.codec, output.tier, packet)
            except Exception as exc:
                output.give_up(problem_of(exc))

    def _report(self, errors: list[Problem | None]) -> None:
        """Report the first error, or None, if it differs from the last report."""
        error = next((each for each in errors if each is not None), None)
        if error == self._reported_error:
            return
        self._reported_error = error
        try:
            self._on_error(error)
        except Exception as exc:
            log_fault(exc)

    def __repr__(self) -> str:
        is_running = self._thread is not None
        state = "closed" if self._is_stopping else "running" if is_running else "idle"
        return f"<EncodeLoop {state} {[f'{codec} {tier}' for codec, tier in self._outputs]}>"


def _waiting(outputs: list[Output], now_s: float) -> list[Output]:
    """Return the outputs with a keyframe due."""
    return [output for output in outputs if now_s >= output.keyframe_s]


def _free(outputs: list[Output], now_s: float) -> list[Output]:
    """Return the outputs whose viewers want a frame now."""
    return [output for output in outputs if now_s >= min(output.free_s, output.keyframe_s)]
