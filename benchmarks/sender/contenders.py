"""The senders: gpuview's media process, and stock aiortc."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.sender.scene import FPS, HEIGHT, WIDTH, Pixels, pictures
from gpuview.engine.engine import Engine
from gpuview.engine.shared_engine import shared_engine
from gpuview.engine.stream import StreamHandle
from gpuview.protocol.page_messages import Answer, Offer
from gpuview.protocol.pixel_format import PixelFormat
from gpuview.settings import Settings

__all__ = ["CONTENDERS", "Contender"]

_ROOT = Path(__file__).parents[2]
_MAX_BITRATE_BPS = 6_500_000
_WAIT_S = 60.0


class Contender(Protocol):
    """A process that sends."""

    pid: int

    def answer(self, offer: dict[str, Any]) -> dict[str, Any]:
        """Answer an offer, which has a view's number and an SDP."""

    def frames(self) -> int:
        """Return how many frames have been sent so far, of all viewers together."""

    def kilobits(self) -> float:
        """Return what one viewer was sent so far; 0 if it is not known."""


class _Stock:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._process = process

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        reply: dict[str, Any] = json.loads(self._process.stdout.readline())
        return reply

    def answer(self, offer: dict[str, Any]) -> dict[str, Any]:
        return self._ask(offer)

    def frames(self) -> int:
        return int(self._ask({})["frames"])

    def kilobits(self) -> float:
        return 0.0


@contextmanager
def _stock() -> Iterator[_Stock]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sender.stock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    ) as process:
        yield _Stock(process)


class _Listener:
    """Keeps the answers; the engine calls it for much else."""

    def __init__(self) -> None:
        self.answers: queue.Queue[Any] = queue.Queue()

    def answered(self, message: Any) -> None:
        self.answers.put(message)

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


class _Gpuview:
    def __init__(self, engine: Engine, handle: StreamHandle, listener: _Listener) -> None:
        self.pid = engine.process.pid
        self._handle = handle
        self._listener = listener
        self._n_offers = 0

    def answer(self, offer: dict[str, Any]) -> dict[str, Any]:
        self._n_offers += 1
        self._handle.send(Offer(view=f"v{offer['view']}", seq=self._n_offers, sdp=offer["sdp"]))
        answer = self._listener.answers.get(timeout=_WAIT_S)
        assert isinstance(answer, Answer), answer
        return {"view": offer["view"], "sdp": answer.sdp}

    def frames(self) -> int:
        return sum(each.frames_sent for each in self._handle.stats(_WAIT_S).viewers)

    def kilobits(self) -> float:
        return sum(each.nbytes for each in self._handle.stats(_WAIT_S).encoders) * 8 / 1000


@contextmanager
def _gpuview() -> Iterator[_Gpuview]:
    engine = shared_engine(Settings(public_ip="127.0.0.1"))
    listener: Any = _Listener()
    handle = engine.open_stream(listener, fps=FPS, max_bitrate_bps=_MAX_BITRATE_BPS)
    is_over = threading.Event()
    feeding = threading.Thread(target=_feed, args=(handle, pictures(), is_over))
    feeding.start()
    try:
        yield _Gpuview(engine, handle, listener)
    finally:
        is_over.set()
        feeding.join()
        handle.close()


def _feed(handle: StreamHandle, shown: list[Pixels], is_over: threading.Event) -> None:
    due_s = time.monotonic()
    n = 0
    while not is_over.wait(max(0.0, due_s - time.monotonic())):
        picture = shown[n % len(shown)]
        handle.begin(picture.nbytes)[:] = picture.reshape(-1).data
        handle.publish(PixelFormat.RGB24, WIDTH, HEIGHT, time.monotonic_ns())
        due_s = max(due_s + 1 / FPS, time.monotonic() - 1 / FPS)
        n += 1


CONTENDERS = {
    "gpuview": (_gpuview, "H264"),
    "aiortc H.264": (_stock, "H264"),
    "aiortc VP8": (_stock, "VP8"),
}
"""How each is started, and the codec that its viewers offer."""
