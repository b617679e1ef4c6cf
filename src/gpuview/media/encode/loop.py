"""The thread that encodes one stream: newest frame in, packets out.

A thread of its own, so that ICE and RTCP never wait for a frame. It sleeps on the stream's eventfd,
which the kernel writes to for each frame and this process to when something else is to be done. A
frame that a GPU writes comes after that, and wakes nobody: until it is there, the thread looks
again, every millisecond at first.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import av

from gpuview.errors import MediaError
from gpuview.media.encode.codec import CLOCK_HZ, Codec, Packet, target_bitrate_bps
from gpuview.media.encode.convert import SlotConverter
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.schedule import KeyframeGate, LookClock, RefreshClock, earliest_start
from gpuview.protocol.ring import RingReader, Slot
from gpuview.protocol.stats import EncoderStats

__all__ = ["EncodeLoop"]

_RETRY_S = 1.0  # after an encoder failed


@dataclass(slots=True)
class _Output:
    """One codec of the stream: its encoder, while somebody watches it."""

    codec: Codec
    encoder: Encoder | None = None
    keyframes: KeyframeGate = field(default_factory=KeyframeGate)
    timestamp: int = 0
    n_frames: int = 0
    n_keyframes: int = 0
    nbytes: int = 0

    def stats(self) -> EncoderStats:
        encoder = self.encoder  # once: the encode thread may take it away meanwhile
        return EncoderStats(
            codec=str(self.codec),
            width=encoder.width if encoder else 0,
            height=encoder.height if encoder else 0,
            frames=self.n_frames,
            keyframes=self.n_keyframes,
            nbytes=self.nbytes,
        )


class EncodeLoop:
    """Owns the ring's reading end, the converter and the encoders of one stream.

    Args:
        event_fd: The stream's eventfd; owned from now on.
        fps: The most frames encoded in a second.
        max_bitrate_bps: The most bits sent to one viewer in a second.
        on_packet: Called on the encode thread with each packet.
        on_error: Called on the encode thread with an error, and with None when it is over.
    """

    def __init__(
        self,
        event_fd: int,
        *,
        fps: float,
        max_bitrate_bps: int,
        on_packet: Callable[[Codec, Packet], None],
        on_error: Callable[[MediaError | None], None],
    ) -> None:
        self._event_fd = event_fd
        self._fps = fps
        self._max_bitrate_bps = max_bitrate_bps
        self._on_packet = on_packet
        self._on_error = on_error
        self._lock = threading.Lock()  # guards _outputs, _next_ring and _is_stopping
        self._outputs: dict[Codec, _Output] = {}
        self._next_ring: RingReader | None = None
        self._is_stopping = False
        # What follows belongs to the encode thread.
        self._ring: RingReader | None = None
        self._converter = SlotConverter()
        self._frame: av.VideoFrame | None = None
        self._frame_seq = 0
        self._n_taken = 0
        self._last_start_s = float("-inf")
        self._refresh = RefreshClock()
        self._look = LookClock()
        self._is_failing = False
        self._retry_s = float("-inf")  # no new encoder before, however many frames come
        self._thread = threading.Thread(target=self._run, name="gpuview-encode", daemon=True)
        self._thread.start()

    # --- from the event loop's thread ---------------------------------------------------------

    def attach(self, ring: RingReader) -> None:
        """Read frames from ``ring`` from now on."""
        with self._lock:
            unused, self._next_ring = self._next_ring, ring
        if unused is not None:
            unused.close()
        self._wake()

    def start(self, codec: Codec) -> None:
        """Encode for ``codec`` as well, until `stop`."""
        with self._lock:
            self._outputs.setdefault(codec, _Output(codec))

    def stop(self, codec: Codec) -> None:
        """Encode for ``codec`` no longer."""
        with self._lock:
            self._outputs.pop(codec, None)

    def want_keyframe(self, codec: Codec, spacing_s: float) -> None:
        """Make a keyframe at once, from the newest frame, new or not; see `KeyframeGate`."""
        with self._lock:
            output = self._outputs.get(codec)
            if output is not None:
                output.keyframes.request(time.monotonic(), spacing_s)
        self._wake()

    def stats(self) -> list[EncoderStats]:
        """Return the counters of each running encoder."""
        with self._lock:
            return [output.stats() for output in self._outputs.values()]

    @property
    def frames_taken(self) -> int:
        """How many different frames were taken from the ring; repeats are not counted."""
        return self._n_taken

    def close(self) -> None:
        """End the thread, and free what it owned."""
        with self._lock:
            self._is_stopping = True
        self._wake()
        self._thread.join()
        for ring in (self._ring, self._next_ring):
            if ring is not None:
                ring.close()
        os.close(self._event_fd)

    def _wake(self) -> None:
        os.eventfd_write(self._event_fd, 1)

    # --- on the encode thread -----------------------------------------------------------------

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._event_fd, select.POLLIN)
        next_s: float | None = None
        while True:
            timeout_ms = None if next_s is None else max(0.0, next_s - time.monotonic()) * 1000
            if poll.poll(timeout_ms):
                os.eventfd_read(self._event_fd)
            with self._lock:
                if self._is_stopping:
                    return
                outputs = list(self._outputs.values())
                self._switch_ring()
            try:
                next_s = self._step(outputs) if outputs else None
            except MediaError as exc:
                next_s = self._give_up(outputs, exc)

    def _switch_ring(self) -> None:
        if self._next_ring is not None:
            if self._ring is not None:
                self._ring.close()
            self._ring, self._next_ring = self._next_ring, None
            self._frame_seq = 0

    def _step(self, outputs: list[_Output]) -> float | None:
        """Encode what is due, and return when to look again; None to wait for a wake-up."""
        slot = self._ring.take() if self._ring is not None else None
        now_s = time.monotonic()
        if slot is None and self._frame is None:
            return self._next_look(now_s)
        if now_s < self._retry_s:
            return self._retry_s
        if slot is not None and (slot.seq != self._frame_seq or self._frame is None):
            return self._step_forward(outputs, slot, now_s)
        return self._step_in_place(outputs, now_s)

    def _step_forward(self, outputs: list[_Output], slot: Slot, now_s: float) -> float:
        """Encode the new frame in ``slot``, if one may be encoded by now."""
        start_s = earliest_start(self._last_start_s, self._fps)
        if now_s < start_s and not _wanted(outputs, now_s):
            return min([start_s, *_keyframes_s(outputs)])
        if not self._take(slot):
            return now_s  # overwritten while it was read: a newer one is there
        self._last_start_s = now_s
        self._look.arrived()
        self._encode(outputs, slot.capture_ns)
        self._refresh.changed(now_s)
        return self._next_due(outputs, now_s)

    def _step_in_place(self, outputs: list[_Output], now_s: float) -> float:
        """Encode the last frame once more, if that is due or wanted."""
        if now_s >= self._refresh.due_s:
            self._encode(outputs, time.monotonic_ns())
            self._refresh.repeated(now_s)
        elif wanted := _wanted(outputs, now_s):
            self._encode(wanted, time.monotonic_ns())
        return self._next_due(outputs, now_s)

    def _next_due(self, outputs: list[_Output], now_s: float) -> float:
        """Return when something is to be done although nobody wakes this thread."""
        due_s = min([self._refresh.due_s, *_keyframes_s(outputs)])
        look_s = self._next_look(now_s)
        if look_s is None:
            return due_s
        # Before it may be encoded, a frame is not looked for.
        return min(due_s, max(look_s, earliest_start(self._last_start_s, self._fps)))

    def _next_look(self, now_s: float) -> float | None:
        """Return when to look for a frame that a device writes; None where none is expected."""
        is_expecting = self._ring is not None and self._ring.is_expecting()
        return self._look.next_s(now_s, is_expecting=is_expecting)

    def _take(self, slot: Slot) -> bool:
        frame = self._converter.convert(slot)
        if frame is None:
            return False
        self._n_taken += slot.seq != self._frame_seq
        self._frame = frame
        self._frame_seq = slot.seq
        return True

    def _encode(self, outputs: list[_Output], capture_ns: int) -> None:
        for output in outputs:
            packet = self._encode_one(output, capture_ns)
            if packet is not None:
                self._on_packet(output.codec, packet)
        if self._is_failing:
            self._is_failing = False
            self._on_error(None)

    def _encode_one(self, output: _Output, capture_ns: int) -> Packet | None:
        assert self._frame is not None
        now_s = time.monotonic()
        encoder = self._fitting_encoder(output, self._frame)
        output.timestamp = max(output.timestamp + 1, capture_ns * CLOCK_HZ // 1_000_000_000)
        packet = encoder.encode(
            self._frame, output.timestamp, is_keyframe=output.keyframes.is_due(now_s)
        )
        if packet is None:
            return None
        with self._lock:
            if packet.is_keyframe:
                output.keyframes.done(now_s)
            output.n_frames += 1
            output.n_keyframes += packet.is_keyframe
            output.nbytes += packet.nbytes
        return packet

    def _fitting_encoder(self, output: _Output, frame: av.VideoFrame) -> Encoder:
        encoder = output.encoder
        if encoder is None or (encoder.width, encoder.height) != (frame.width, frame.height):
            output.encoder = None
            bitrate_bps = target_bitrate_bps(
                frame.width, frame.height, self._fps, self._max_bitrate_bps
            )
            encoder = output.encoder = Encoder(
                output.codec, frame.width, frame.height, fps=self._fps, bitrate_bps=bitrate_bps
            )
        return encoder

    def _give_up(self, outputs: list[_Output], error: MediaError) -> float:
        """Drop encoders that failed; the next try is with new ones."""
        for output in outputs:
            output.encoder = None
        self._frame = None
        if not self._is_failing:
            self._is_failing = True
            self._on_error(error)
        self._retry_s = time.monotonic() + _RETRY_S
        return self._retry_s

    def __repr__(self) -> str:
        state = "running" if self._thread.is_alive() else "closed"
        return f"<EncodeLoop {state} {[str(codec) for codec in self._outputs]}>"


def _wanted(outputs: list[_Output], now_s: float) -> list[_Output]:
    """Return those of which a keyframe is due."""
    return [output for output in outputs if output.keyframes.is_due(now_s)]


def _keyframes_s(outputs: list[_Output]) -> list[float]:
    """Return when keyframes are due."""
    return [each.keyframes.due_s for each in outputs if each.keyframes.due_s is not None]
