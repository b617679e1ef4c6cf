"""Viewers that cost little: they decrypt, report on each packet as a browser does, and drop it.

Started as a process, with the number of viewers and their codec. It writes a JSON line with each
offer, and reads a line with each answer, until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)

from gpuview.media import aiortc_compat
from gpuview.media.ice.aioice_compat import gather_loopback_when_alone
from gpuview.protocol.page_messages import Ping
from gpuview.protocol.wire import encode_text
from gpuview.testing.feedback import FEEDBACK_S, ArrivalReport, extension_id

_PING_S = 1.0


async def _watch(codec: str, view: int, lines: asyncio.Queue[str], end: asyncio.Event) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer.addTransceiver("video", direction="recvonly")
    known = RTCRtpReceiver.getCapabilities("video").codecs
    wanted = [each for each in known if each.mimeType in (f"video/{codec}", "video/rtx")]
    transceiver.setCodecPreferences(wanted)
    channel = peer.createDataChannel("gpuview", ordered=False, maxRetransmits=0)
    await peer.setLocalDescription(await peer.createOffer())
    print(json.dumps({"view": view, "sdp": peer.localDescription.sdp}), flush=True)
    answer = json.loads(await lines.get())["sdp"]
    receiver = transceiver.receiver
    aiortc_compat.drop_video(receiver, lambda timestamp: None)
    number = extension_id(answer)
    arrivals = ArrivalReport(number) if number is not None else None
    if arrivals is not None:
        aiortc_compat.watch_packets(receiver, lambda data: arrivals.add(data, time.monotonic()))
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    talking = asyncio.create_task(_talk(receiver, channel, arrivals))
    await end.wait()
    talking.cancel()
    await peer.close()


async def _talk(
    receiver: RTCRtpReceiver, channel: RTCDataChannel, arrivals: ArrivalReport | None
) -> None:
    """Send feedback, and pings, as a page does."""
    next_ping_s = time.monotonic()
    while True:
        await asyncio.sleep(FEEDBACK_S)
        message = arrivals.take() if arrivals is not None else None
        if message is not None:
            await aiortc_compat.send_rtcp(receiver, message)
        if channel.readyState == "open" and time.monotonic() >= next_ping_s:
            next_ping_s += _PING_S
            channel.send(encode_text(Ping(sent_ms=0)))


async def _main(count: int, codec: str) -> None:
    gather_loopback_when_alone()
    aiortc_compat.use_transport_feedback()
    end = asyncio.Event()
    answers = [asyncio.Queue[str]() for _ in range(count)]
    watching = [
        asyncio.create_task(_watch(codec, view, lines, end)) for view, lines in enumerate(answers)
    ]
    while line := await asyncio.to_thread(sys.stdin.readline):
        answers[json.loads(line)["view"]].put_nowait(line)
    end.set()
    await asyncio.gather(*watching)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2]))
