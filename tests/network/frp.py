"""What frp does with UDP: a process that hands datagrams on, with one socket a visitor.

`FrpProxy` starts this module as a process. Its public sockets are on the machine where frps would
run, and its other ones where frpc would. Each visitor of a public port gets a socket of its own on
the far side, which is forgotten after 30 s without an answer; frp does the same.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.network.topology import Node, enter

IDLE_S = 30.0
_ROOT = Path(__file__).parents[2]
_MAX_DATAGRAM = 2048


def main() -> None:
    """Run the proxy: ``NAMESPACE TARGET PORT_MIN PORT_MAX PUBLIC_PORT_MIN``."""
    namespace, target, *ports = sys.argv[1:]
    port_min, port_max, public_port_min = map(int, ports)
    proxy = _Proxy(target)
    for port in range(port_min, port_max + 1):
        proxy.listen(public_port_min + port - port_min, port)
    enter(namespace)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        proxy.turn()


@dataclass
class _Visitor:
    address: tuple[str, int]
    public: socket.socket
    upstream: socket.socket
    heard_s: float = field(default_factory=time.monotonic)


class _Proxy:
    def __init__(self, target: str) -> None:
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._visitors: dict[tuple[int, tuple[str, int]], _Visitor] = {}

    def listen(self, public_port: int, port: int) -> None:
        public = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        public.bind(("0.0.0.0", public_port))
        self._selector.register(public, selectors.EVENT_READ, port)

    def turn(self) -> None:
        for key, _ in self._selector.select(timeout=1.0):
            if isinstance(key.data, _Visitor):
                self._bring_back(key.data)
            else:
                self._take_in(key.fileobj, key.data)
        self._forget_idle()

    def _take_in(self, public: socket.socket, port: int) -> None:
        data, address = public.recvfrom(_MAX_DATAGRAM)
        visitor = self._visitors.get((port, address)) or self._new_visitor(public, port, address)
        with contextlib.suppress(ConnectionRefusedError):  # of the datagram before
            visitor.upstream.send(data)

    def _new_visitor(self, public: socket.socket, port: int, address: tuple[str, int]) -> _Visitor:
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        upstream.connect((self._target, port))
        visitor = _Visitor(address, public, upstream)
        self._visitors[port, address] = visitor
        self._selector.register(upstream, selectors.EVENT_READ, visitor)
        return visitor

    def _bring_back(self, visitor: _Visitor) -> None:
        try:
            data = visitor.upstream.recv(_MAX_DATAGRAM)
        except ConnectionRefusedError:
            return  # nobody listens there yet, or no more
        visitor.heard_s = time.monotonic()
        visitor.public.sendto(data, visitor.address)

    def _forget_idle(self) -> None:
        for key, visitor in list(self._visitors.items()):
            if time.monotonic() - visitor.heard_s > IDLE_S:
                del self._visitors[key]
                self._selector.unregister(visitor.upstream)
                visitor.upstream.close()


class FrpProxy:
    """A running proxy.

    Args:
        public: The machine whose ports the world reaches.
        private: The machine of the kernel.
        target: The address there that it speaks to.
        port_min: The first port of the kernel's range.
        port_max: The last one.
        public_port_min: The public port that leads to ``port_min``; None: the same.
    """

    def __init__(
        self,
        public: Node,
        private: Node,
        target: str,
        port_min: int,
        port_max: int,
        *,
        public_port_min: int | None = None,
    ) -> None:
        words = [private.name, target, port_min, port_max, public_port_min or port_min]
        self._process = public.start(
            [sys.executable, "-m", "tests.network.frp", *map(str, words)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if __name__ == "__main__":
    main()
