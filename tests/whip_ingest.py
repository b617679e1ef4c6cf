"""A WHIP ingest on loopback, made with aiortc: takes one stream, and shows it to the test."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeVar

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from gpuview.media.ice.aioice_compat import gather_loopback_when_alone
from gpuview.testing.peer import Image, to_rgb
from tests.http_handler import QuietHandler
from tests.waiting import wait_until

__all__ = ["Ingest"]

T = TypeVar("T")


class Ingest:
    """Listens from its construction to `close`.

    Args:
        token: Who has not this bearer token is refused.
    """

    def __init__(self, token: str = "") -> None:
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.offers: list[str] = []
        self.status = 201
        """Of the reply to the next offers; 307 leads to ``/moved``."""
        self.n_frames = 0
        self._token = token
        self._newest: VideoFrame | None = None
        self._peers: dict[str, RTCPeerConnection] = {}
        self._loop = asyncio.new_event_loop()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._threads = [
            threading.Thread(target=self._loop.run_forever, daemon=True),
            threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/whip"

    @property
    def n_sessions(self) -> int:
        return len(self._peers)

    def picture(self) -> Image | None:
        """The newest frame, ``(H, W, 3)`` uint8 RGB; None before the first."""
        return None if self._newest is None else to_rgb(self._newest)

    def wait_for_frames(self, n: int) -> None:
        before = self.n_frames
        wait_until(lambda: self.n_frames >= before + n, f"{n} frames", describe=lambda: self)

    def drop_sessions(self) -> None:
        """End all connections, as an ingest does that is restarted."""
        self._run(self._close_peers())

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._run(self._close_peers())
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Ingest {self.n_sessions} sessions, {self.n_frames} frames, {self.requests}>"

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _close_peers(self) -> None:
        peers, self._peers = list(self._peers.values()), {}
        for peer in peers:
            await peer.close()

    async def _answer(self, offer: str) -> tuple[str, str]:
        gather_loopback_when_alone()
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        watching: list[asyncio.Task[None]] = []
        peer.on("track", lambda track: watching.append(asyncio.ensure_future(self._watch(track))))
        await peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        path = f"/session/{len(self.offers)}"
        self._peers[path] = peer
        return path, peer.localDescription.sdp

    async def _watch(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                self._newest = frame
                self.n_frames += 1

    def _end(self, path: str) -> bool:
        peer = self._peers.pop(path, None)
        if peer is None:
            return False
        self._run(peer.close())
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        ingest = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:  # noqa: N802
                ingest.requests.append(("POST", self.path))
                offer = self.content()
                if ingest.status == 307 and self.path == "/whip":
                    self.reply(307, {"Location": "/moved"})
                elif ingest._token and self.headers["Authorization"] != f"Bearer {ingest._token}":
                    self.reply(401, {}, "who are you?")
                elif ingest.status not in (201, 307):
                    self.reply(ingest.status, {}, "made up")
                else:
                    assert self.headers["Content-Type"] == "application/sdp"
                    ingest.offers.append(offer)
                    path, answer = ingest._run(ingest._answer(offer))
                    self.reply(201, {"Location": path, "Content-Type": "application/sdp"}, answer)

            def do_DELETE(self) -> None:  # noqa: N802
                ingest.requests.append(("DELETE", self.path))
                self.reply(200 if ingest._end(self.path) else 404, {})

        return Handler
