"""A real Janus on this machine, with a WHIP front end before its video room, and readers of it.

Janus takes part in ICE with addresses other than loopback only. Packets from this machine to one of
its own addresses do not leave it.

Janus speaks WHIP by a front end only. This one does what Meetecho's does: an offer is a publisher
that joins the room, and the end of the session is that publisher's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from aioice.ice import get_host_addresses
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from gpuview.media import aiortc_compat
from gpuview.media.ice.aioice_compat import gather_loopback_when_alone
from gpuview.testing.peer import Image, to_rgb
from tests.http_handler import QuietHandler
from tests.ports import free_port
from tests.waiting import wait_until

__all__ = ["OWN_ADDRESS", "Janus", "Reader", "needs_janus"]

JANUS = shutil.which("janus")
ROOM = 1234
_TIMEOUT_S = 60.0

OWN_ADDRESS = next(iter(get_host_addresses(use_ipv4=True, use_ipv6=False)), "")
"""One of this machine; empty if it has but loopback."""

needs_janus = pytest.mark.skipif(
    JANUS is None or not OWN_ADDRESS,
    reason="no Janus here; on Debian: apt-get install janus"
    if JANUS is None
    else "Janus needs an address other than loopback",
)

_CONFIG = """
general: {{
    configs_folder = "{folder}"
    log_to_stdout = true
    session_timeout = 60
}}
nat: {{
    ice_enforce_list = "{address}"
}}
transports: {{
    disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,\
libjanus_websockets.so"
}}
events: {{ broadcast = false }}
"""
_HTTP = """
general: {{ json = "compact"; base_path = "/janus"; http = true; ip = "127.0.0.1"; port = {port} }}
admin: {{ admin_http = false }}
"""
_ROOMS = """
room-{room}: {{
    publishers = 3
    bitrate = 4000000
    videocodec = "h264,vp8"
    fir_freq = 0
}}
"""


class Janus:
    """Runs from its construction to `close`; `url` is where a stream is published."""

    def __init__(self, folder: Path) -> None:
        self.newest_id = 0
        """Of the publisher that came last."""
        self._folder = folder
        self._port = free_port()
        texts = {
            "janus.jcfg": _CONFIG.format(folder=folder, address=OWN_ADDRESS),
            "janus.transport.http.jcfg": _HTTP.format(port=self._port),
            "janus.plugin.videoroom.jcfg": _ROOMS.format(room=ROOM),
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        self._process = self._start()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/whip"

    def publishers(self) -> list[int]:
        """The ids of who publishes in the room now."""
        with Plugin(self) as plugin:
            said = plugin.ask({"request": "listparticipants", "room": ROOM})
        return [each["id"] for each in said["participants"] if each["publisher"]]

    def restart(self) -> None:
        """Kill it and start it again, without anything that it knew."""
        self._kill()
        self._process = self._start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._kill()

    def request(self, path: str, **message: Any) -> dict[str, Any]:
        """Send a message, or with none wait for the session's next event."""
        url = f"http://127.0.0.1:{self._port}/janus{path}"
        body = json.dumps({"transaction": secrets.token_hex(4), **message}).encode()
        request = Request(url, body if message else None, {"Content-Type": "application/json"})
        with urlopen(request, timeout=_TIMEOUT_S) as response:
            reply: dict[str, Any] = json.load(response)
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "janus.log").open("ab") as log:
            process = subprocess.Popen(
                ["janus", "--configs-folder", str(self._folder), "--disable-colors"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def answers() -> bool:
            try:
                return self.request("", janus="info")["janus"] == "server_info"
            except (URLError, OSError):
                assert process.poll() is None, (self._folder / "janus.log").read_text()[-2000:]
                return False

        wait_until(answers, "Janus answers")
        return process

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Plugin:
    """One handle of Janus's video room, in a session of its own."""

    def __init__(self, janus: Janus) -> None:
        self._janus = janus
        self._session = f"/{janus.request('', janus='create')['data']['id']}"
        attached = janus.request(self._session, janus="attach", plugin="janus.plugin.videoroom")
        self._handle = f"{self._session}/{attached['data']['id']}"

    def ask(self, body: dict[str, Any], jsep: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the plugin; return what it says, with the ``jsep`` that came along, if any."""
        extra = {} if jsep is None else {"jsep": jsep}
        reply = self._janus.request(self._handle, janus="message", body=body, **extra)
        while reply["janus"] != "success" and "plugindata" not in reply:
            reply = self._janus.request(f"{self._session}?maxev=1")
        said: dict[str, Any] = reply["plugindata"]["data"]
        assert "error" not in said, said
        return {**said, "jsep": reply.get("jsep")}

    def close(self) -> None:
        self._janus.request(self._session, janus="destroy")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Reader:
    """Somebody who watches the room's newest publisher."""

    def __init__(self, janus: Janus) -> None:
        self.n_frames = 0
        self._newest: VideoFrame | None = None
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._loop_thread.start()
        aiortc_compat.install()  # plays H.264 Main, as browsers do
        gather_loopback_when_alone()
        self._peer = asyncio.run_coroutine_threadsafe(_new_peer(), self._loop).result(_TIMEOUT_S)
        self._watching: list[asyncio.Task[None]] = []
        self._plugin = Plugin(janus)
        try:
            self._join(janus)
        except BaseException:
            self.close()
            raise

    def _join(self, janus: Janus) -> None:
        join = {"request": "join", "room": ROOM, "ptype": "subscriber", "feed": janus.newest_id}
        offer = self._plugin.ask(join)["jsep"]
        answer = asyncio.run_coroutine_threadsafe(self._answer(offer["sdp"]), self._loop)
        sdp = answer.result(_TIMEOUT_S)
        self._plugin.ask({"request": "start", "room": ROOM}, {"type": "answer", "sdp": sdp})

    def wait_for_frames(self, n: int) -> Image:
        """Wait for so many frames; return the newest, ``(H, W, 3)`` uint8 RGB."""
        before = self.n_frames
        wait_until(lambda: self.n_frames >= before + n, f"{n} frames of the room")
        assert self._newest is not None
        return to_rgb(self._newest)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._peer.close(), self._loop).result(_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join()
        self._loop.close()
        with contextlib.suppress(URLError, OSError, KeyError):  # Janus may be another by now
            self._plugin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _answer(self, offer: str) -> str:
        peer = self._peer

        def watch(track: MediaStreamTrack) -> None:
            self._watching.append(asyncio.create_task(self._watch(track)))

        peer.on("track", watch)
        await peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        sdp: str = peer.localDescription.sdp
        return sdp

    async def _watch(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                self._newest = frame
                self.n_frames += 1


async def _new_peer() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def _handler(janus: Janus) -> type[BaseHTTPRequestHandler]:
    sessions: dict[str, Plugin] = {}

    class WhipFrontEnd(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802
            offer = self.content()
            try:
                plugin = Plugin(janus)
                said = plugin.ask(
                    {"request": "joinandconfigure", "room": ROOM, "ptype": "publisher"},
                    {"type": "offer", "sdp": offer},
                )
            except (URLError, OSError):
                self.reply(503, {})
                return
            path = f"/session/{len(sessions) + 1}"
            sessions[path] = plugin
            janus.newest_id = said["id"]
            headers = {"Location": path, "Content-Type": "application/sdp"}
            self.reply(201, headers, said["jsep"]["sdp"])

        def do_DELETE(self) -> None:  # noqa: N802
            plugin = sessions.pop(self.path, None)
            with contextlib.suppress(URLError, OSError):
                if plugin is not None:
                    plugin.close()
            self.reply(404 if plugin is None else 200, {})

    return WhipFrontEnd
