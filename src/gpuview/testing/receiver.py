"""What browsers do and aiortc's RTP receiver does not, so that a poor link is as poor as it is.

The internals of aiortc's receiver that are used, besides those in `gpuview.media.aiortc_compat`:

- ``__jitter_buffer`` gives one frame for each packet that comes. After a wait for a lost packet, a
  picture of one packet a frame would stay as late for ever. So the frames that are whole as well
  are taken out, and go the same way to ``__decoder_queue``.
- ``__nack_generator`` has each lost packet asked for once. When that is lost too, the picture would
  stand until the buffer is full.
- ``__timestamp_mapper`` counts from the first frame. Set to 0, it gives the RTP timestamps.
"""

from __future__ import annotations

from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.rtp import RtpPacket

__all__ = ["Receiver"]


class Receiver:
    """Receives one video, which is decoded. Lives on the event loop.

    The ``pts`` of its frames are their RTP timestamps, which go on beyond 32 bits.

    Args:
        receiver: A viewer's, before its first packet.
    """

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        parts = vars(receiver)

        def part(name: str) -> Any:
            return parts[f"_RTCRtpReceiver__{name}"]

        self._receiver: Any = receiver
        self._buffer, self._queue = part("jitter_buffer"), part("decoder_queue")
        self._codecs, self._lost = part("codecs"), part("nack_generator")
        self._mapper = part("timestamp_mapper")
        self._mapper._origin, self._mapper._last = 0, 0
        self._ssrc = 0
        self._missed: frozenset[int] = frozenset()
        self._take = receiver._handle_rtp_packet
        parts["_handle_rtp_packet"] = self._take_packet

    async def ask_again(self) -> None:
        """Ask again for those packets that were missing at the last call, too."""
        missing = frozenset(self._lost.missing)  # not those that have been given up
        wanted, self._missed = sorted(missing & self._missed), missing
        if wanted:
            await self._receiver._send_rtcp_nack(self._ssrc, wanted)

    async def _take_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        await self._take(packet, arrival_time_ms)
        codec = self._codecs.get(packet.payload_type)
        if codec is not None and codec.mimeType == "video/rtx":
            codec = self._codecs.get(codec.parameters.get("apt"))
        else:
            self._ssrc = packet.ssrc
        if codec is None or self._buffer._origin is None:
            return
        while (frame := self._buffer._remove_frame(packet.sequence_number)) is not None:
            frame.timestamp = self._mapper.map(frame.timestamp)
            self._queue.put((codec, frame))
