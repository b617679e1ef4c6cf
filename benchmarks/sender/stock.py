"""A server as aiortc's documentation has it: an encoder for each viewer, at aiortc's own rate.

Reads a JSON line with each offer and writes one with its answer; ``{}`` asks for the number of
frames that were encoded so far, for all viewers together.
"""

from __future__ import annotations

import asyncio
import json
import sys
from fractions import Fraction

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

from benchmarks.sender.scene import Pixels, pictures
from gpuview.media.ice.aioice_compat import gather_loopback_when_alone

_CLOCK = Fraction(1, 90_000)


class _Track(VideoStreamTrack):
    """Each viewer needs one of its own: aiortc stops it with the viewer."""

    def __init__(self, shown: list[Pixels]) -> None:
        super().__init__()
        self.n_frames = 0
        self._shown = shown

    async def recv(self) -> av.VideoFrame:
        pts, _ = await self.next_timestamp()  # paces the frames: 30 a second
        frame = av.VideoFrame.from_ndarray(self._shown[self.n_frames % len(self._shown)])
        frame.pts, frame.time_base = pts, _CLOCK
        self.n_frames += 1
        return frame


async def _main() -> None:
    gather_loopback_when_alone()
    shown = pictures()
    tracks: list[_Track] = []
    connections: list[RTCPeerConnection] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        if "sdp" not in request:
            print(json.dumps({"frames": sum(track.n_frames for track in tracks)}), flush=True)
            continue
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        tracks.append(_Track(shown))
        connection.addTrack(tracks[-1])
        await connection.setRemoteDescription(RTCSessionDescription(request["sdp"], "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        answer = {"view": request["view"], "sdp": connection.localDescription.sdp}
        print(json.dumps(answer), flush=True)
    await asyncio.gather(*(each.close() for each in connections))


if __name__ == "__main__":
    asyncio.run(_main())
