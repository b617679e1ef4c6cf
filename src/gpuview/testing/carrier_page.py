"""A page at the end of a carrier, without a browser: speaks the protocol over a stream socket."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self, TypeVar, cast

import av
from av import CodecContext, VideoFrame

from gpuview.protocol.carrier_messages import Received, Tiles, WantTier, Watch
from gpuview.protocol.carrier_packets import HEADER_NBYTES, STILL_PIECE, PacketHeader
from gpuview.protocol.interaction_messages import TO_VIEW, Interaction
from gpuview.protocol.local_socket import (
    MAX_FROM_MEDIA_NBYTES,
    TEXT,
    Hello,
    MessageReader,
    frame_message,
    short_path,
)
from gpuview.protocol.media_messages import Health
from gpuview.protocol.page_messages import (
    Answer,
    Candidates,
    Message,
    PeerConfig,
    Pong,
    Refusal,
    Status,
)
from gpuview.protocol.still import StillAssembler
from gpuview.protocol.wire import decode_text, encode_text
from gpuview.testing.peer import Image, to_rgb
from gpuview.testing.waiting import Changing

__all__ = ["CarrierPage", "connect"]

T = TypeVar("T")

_TO_PAGE: tuple[type[Message], ...] = (
    Answer,
    Candidates,
    Health,
    Interaction,
    PeerConfig,
    Pong,
    Refusal,
    Status,
    Tiles,
    *TO_VIEW,
)
_DECODERS = {"H264": "h264", "VP8": "vp8", "JPEG": "mjpeg"}
_READ_NBYTES = 256 * 1024


def connect(socket_path: Path, stream: str, *, token: str | None = None) -> CarrierPage:
    """Connect to a media process as the jupyter-server extension does.

    Args:
        socket_path: Of the media process's socket.
        stream: The stream's name; empty to ask about the media process.
        token: None reads it from the file beside the socket.

    Raises:
        OSError: No media process listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(socket_path) as address:
            sock.connect(address)
        if token is None:
            token = socket_path.with_suffix(".token").read_text()
        with contextlib.suppress(BrokenPipeError):  # sent away already: the page is not open
            sock.sendall(frame_message(TEXT, Hello(token, stream).encode()))
    except BaseException:
        sock.close()
        raise
    return CarrierPage(sock)


class CarrierPage:
    """A page's connection, read by a thread of its own. Any thread may use it.

    Args:
        sock: Connected to the media process; owned from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.view = f"carrier-{secrets.token_hex(8)}"
        self.acknowledges = True
        """Whether it says what it has received."""
        self.messages: list[Message] = []
        """All text messages that came."""
        self.headers: list[PacketHeader] = []
        """Of all packets that came."""
        self.nbytes = 0
        """Of all packets that came."""
        self.stills: list[bytes] = []
        """All PNGs that came whole."""
        self.is_open = True
        self._newest: dict[int, VideoFrame] = {}
        self._n_frames: Counter[int] = Counter()
        self._sock = sock
        self._changing = Changing()
        self._reader = MessageReader(MAX_FROM_MEDIA_NBYTES)
        self._assembler = StillAssembler()
        self._decoders: dict[int, av.VideoCodecContext] = {}
        self._thread = threading.Thread(target=self._read, name=f"gpuview-{self.view}", daemon=True)
        self._thread.start()

    def say(self, message: Message) -> None:
        """Send a message; nothing happens once the connection has ended."""
        self.send_bytes(frame_message(TEXT, encode_text(message).encode()))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are; nothing happens once the connection has ended."""
        try:
            self._sock.sendall(data)
        except OSError:
            with self._changing.change():
                self.is_open = False

    def watch(self, codec: str = "H264") -> None:
        """Ask for the stream."""
        self.say(Watch(view=self.view, codec=codec))  # type: ignore[arg-type]

    def want_tier(self, tier: Literal[1, 2, 4], ranks: Sequence[int]) -> None:
        """Say how large the tiles of these ranks are in a grid; none is sent before."""
        self.say(WantTier(tier=tier, ranks=list(ranks)))

    def hear(self, kind: type[Message], *, timeout_s: float = 30.0) -> Message:
        """Return the next text message of this kind that has not been returned yet."""

        def look() -> Message | None:
            return next((each for each in self.messages if isinstance(each, kind)), None)

        found = self._wait(look, timeout_s, f"a {kind.__name__}")
        self.messages.remove(found)
        return found

    def frames_after(self, count: int, *, tile: int = 0, timeout_s: float = 30.0) -> Image:
        """Wait for ``count`` more frames, and return the newest, ``(H, W, 3)`` uint8 RGB.

        Args:
            count: How many.
            tile: Of which rank, if the stream is a grid of ranks.
            timeout_s: How long to wait.
        """
        target = self._n_frames[tile] + count
        self._wait(lambda: self._n_frames[tile] >= target, timeout_s, f"{count} frames of {tile}")
        return to_rgb(self._newest[tile])

    def wait_for(self, look: Callable[[], object], what: str, *, timeout_s: float = 30.0) -> None:
        """Wait until ``look`` returns something true, asking after each message."""
        self._wait(look, timeout_s, what)

    def wait_for_end(self, *, timeout_s: float = 30.0) -> None:
        """Wait until the other side has ended the connection."""
        self._wait(lambda: not self.is_open, timeout_s, "the end of the connection")

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "ended"
        return f"<CarrierPage {self.view} {state} {self._n_frames.total()}>"

    def _wait(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        return self._changing.wait_for(look, timeout_s=timeout_s, what=lambda: what)

    # --- the thread -----------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while data := self._sock.recv(_READ_NBYTES):
                for kind, content in self._reader.feed(data):
                    with self._changing.change():
                        self._take(kind, content)
        except OSError:
            pass
        finally:
            with self._changing.change():
                self.is_open = False

    def _take(self, kind: int, content: bytes) -> None:
        if kind == TEXT:
            self.messages.append(decode_text(content.decode(), *_TO_PAGE))
        elif content[0] == STILL_PIECE:
            if (still := self._assembler.take(content[1:])) is not None:
                self.stills.append(still[1])
        else:
            self._take_packet(PacketHeader.parse(content), content[HEADER_NBYTES:])

    def _take_packet(self, header: PacketHeader, data: bytes) -> None:
        self.headers.append(header)
        self.nbytes += len(data)
        if self.acknowledges:
            self.say(Received(seq=header.seq, arrived_ms=[time.monotonic() * 1000]))
        if header.is_keyframe:
            decoder = CodecContext.create(_DECODERS[header.codec], "r")
            decoder.options = {"flags": "low_delay"}
            self._decoders[header.tile] = cast(av.VideoCodecContext, decoder)
        if (known := self._decoders.get(header.tile)) is not None:
            for frame in known.decode(av.Packet(data)):
                self._newest[header.tile] = frame
                self._n_frames[header.tile] += 1
