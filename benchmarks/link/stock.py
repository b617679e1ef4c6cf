"""A server as aiortc's documentation has it: its own H.264 encoder, its own rate, no gpuview.

Its standard input has JSON lines: an offer, which is answered on standard output, or
``{"is_moving": false}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from fractions import Fraction

import av
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

from benchmarks.link.scene import Texture

_CLOCK = Fraction(1, 90_000)


class _Track(VideoStreamTrack):
    def __init__(self, scene: Texture) -> None:
        super().__init__()
        self.is_moving = True
        self._scene = scene
        self._pixels = scene()

    async def recv(self) -> av.VideoFrame:
        pts, _ = await self.next_timestamp()  # paces the frames: 30 a second
        if self.is_moving:
            self._pixels = self._scene()
        frame = av.VideoFrame.from_ndarray(self._pixels)
        frame.pts, frame.time_base = pts, _CLOCK
        return frame


async def _serve(width: int, height: int) -> None:
    track = _Track(Texture(width, height))
    connection = RTCPeerConnection()
    connection.addTrack(track)
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        if "is_moving" in request:
            track.is_moving = request["is_moving"]
            continue
        await connection.setRemoteDescription(RTCSessionDescription(request["sdp"], "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        print(json.dumps({"sdp": connection.localDescription.sdp}), flush=True)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
