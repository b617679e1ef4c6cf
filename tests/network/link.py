"""A cable with a rate, a delay, a queue and loss, between two machines of the small internet.

    with Internet() as internet, Link() as link:
        viewer = internet.host("p", "198.51.100.20/28", cable=link.connect)
        link.change(down=Way(rate_bps=2e6, delay_s=0.025), up=Way(delay_s=0.025))
        link.cut(0.3)

Both ends are TUN devices, and a process of its own carries the packets between them. So it needs
nothing of the kernel's traffic control, which many machines lack. The devices go when that process
ends, and it ends with the process that started it, even if that is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import math
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

from gpuview.testing.link import Shaper, Traffic, Way
from tests.network.topology import Node, enter

__all__ = ["Link"]

_ROOT = Path(__file__).parents[2]
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001  # whole IP packets, nothing before them
_MAX_PACKET = 65536
_BATCH = 64  # packets of one direction before the other has its turn
_DEVICE_QUEUE = 4000  # packets: the link's own queue decides what is dropped, not the device's
_PAUSE_S = 0.0005  # between two looks: fewer, and packets go in batches
_END_S = 5.0


class Link:
    """One such cable. Any thread may change it while it runs.

    Args:
        seed: Of the random loss and jitter.
    """

    def __init__(self, *, seed: int = 11) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def connect(self, near: Node, near_name: str, far: Node, far_name: str) -> None:
        """Lay the cable: make a device on each machine. ``down`` leads to the near one.

        Raises:
            OSError: A device cannot be made; only root can.
        """
        own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends = []
        try:
            for node, name in ((near, near_name), (far, far_name)):
                ends.append(_make_tun(node, name))
                node.run(f"ip link set dev {name} txqueuelen {_DEVICE_QUEUE}")
            passed = (*ends, theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, *map(str, passed), str(self._seed)],
                pass_fds=passed,
                cwd=_ROOT,
            )
        finally:
            for end in ends:
                os.close(end)
            theirs.close()
        self._control = own
        self._ask(do="traffic")  # it runs

    @property
    def pid(self) -> int:
        """The id of the process that carries the packets."""
        assert self._process is not None, "connected"
        return self._process.pid

    def change(self, *, down: Way | None = None, up: Way | None = None) -> None:
        """Let one or both directions behave differently from now on."""
        ways = {"down": down, "up": up}
        self._ask(do="change", **{name: asdict(way) for name, way in ways.items() if way})

    def cut(self, seconds: float) -> None:
        """Lose everything that comes in the next ``seconds``, both ways; returns at once."""
        self._ask(do="cut", seconds=seconds)

    def traffic(self) -> tuple[Traffic, Traffic]:
        """Return what has been carried down and up."""
        found = self._ask(do="traffic")
        return Traffic(**found["down"]), Traffic(**found["up"])

    def close(self) -> None:
        """Remove the cable. Closing again does nothing."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.wait(_END_S)

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._control is not None, "connected"
        with self._lock:
            self._control.send(json.dumps(request).encode())
            reply = self._control.recv(_MAX_PACKET)
        if not reply:
            raise BrokenPipeError("the link's process has ended")
        found: dict[str, Any] = json.loads(reply)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make_tun(node: Node, name: str) -> int:
    """Return the descriptor of a new TUN device on a machine; it lives as long as that is open."""

    def make() -> int:
        enter(node.name)  # for the life of this thread
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            request = struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI)
            fcntl.ioctl(descriptor, _TUNSETIFF, request)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


# --- the process that carries the packets --------------------------------------------------------


@dataclass(slots=True)
class _Direction:
    source: int
    target: int
    shaper: Shaper
    under_way: deque[tuple[float, bytes]] = field(default_factory=deque)

    def read(self) -> None:
        """Take the packets that wait at the source."""
        for _ in range(_BATCH):
            try:
                packet = os.read(self.source, _MAX_PACKET)
            except BlockingIOError:
                return
            due_s = self.shaper.take(time.monotonic(), len(packet))
            if due_s is not None:
                self.under_way.append((due_s, packet))

    def write(self, now_s: float) -> None:
        """Hand over what is due."""
        under_way = self.under_way
        while under_way and under_way[0][0] <= now_s:
            # The device may be down, or its queue full.
            with contextlib.suppress(OSError):
                os.write(self.target, under_way[0][1])
            under_way.popleft()

    @property
    def next_s(self) -> float:
        return self.under_way[0][0] if self.under_way else math.inf


def _carry(near: int, far: int, control: socket.socket, seed: int) -> None:
    """Carry packets until the other end of ``control`` is closed, or a device is gone."""
    down = _Direction(far, near, Shaper(Way(), Random(seed)))
    up = _Direction(near, far, Shaper(Way(), Random(seed + 1)))
    readers: dict[int, Callable[[], None]] = {far: down.read, near: up.read}
    while True:
        next_s = min(down.next_s, up.next_s)
        wait_s = None if next_s == math.inf else max(0.0, next_s - time.monotonic())
        # select waits to the microsecond, epoll only to the millisecond.
        ready, _, _ = select.select([near, far, control], [], [], wait_s)
        for source in ready:
            if source is control:
                if not (request := control.recv(_MAX_PACKET)):
                    return
                reply = _obey(json.loads(request), down.shaper, up.shaper)
                control.send(json.dumps(reply).encode())
            else:
                readers[source]()
        now_s = time.monotonic()
        down.write(now_s)
        up.write(now_s)
        time.sleep(_PAUSE_S)


def _obey(request: dict[str, Any], down: Shaper, up: Shaper) -> dict[str, Any]:
    shapers = {"down": down, "up": up}
    now_s = time.monotonic()
    for name, shaper in shapers.items():
        if name in request:
            shaper.way = Way(**request[name])
        if request["do"] == "cut":
            shaper.cut(now_s + request["seconds"])
        shaper.traffic.backlog_s = shaper.backlog_s(now_s)
        shaper.traffic.cpu_s = time.process_time()
    return {name: asdict(shaper.traffic) for name, shaper in shapers.items()}


def _main() -> None:
    near, far, control, seed = map(int, sys.argv[1:])
    # A machine that is busy with video must not look like a slow link.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()
    with contextlib.suppress(OSError, KeyboardInterrupt):  # a device went with its namespace
        _carry(near, far, socket.socket(fileno=control), seed)


if __name__ == "__main__":
    _main()
