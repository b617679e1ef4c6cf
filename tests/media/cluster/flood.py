"""Somebody who comes to a port ten thousand times a second: ``flood.py HOW PORT [JOIN_RUN]``.

``silent`` connects and says nothing, ``joins`` comes with a run's key, as a worker of another rank
each time. Prints a line for each thousand, and ends when it is killed.
"""

from __future__ import annotations

import itertools
import resource
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec
import zmq

from gpuview import __version__
from gpuview.protocol.cluster_messages import Join, JoinRun
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.wire import encode_text
from gpuview.protocol.worker_channels import ABOUT_CONNECTION, ChannelMessage

AT_ONCE = 100
EVERY_S = 0.01
MOST_OPEN = 800


class Closable(Protocol):
    def close(self) -> object: ...


def silent(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    return sock


def new_dealer(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    while True:
        try:
            return context.socket(zmq.DEALER)
        except zmq.ZMQError:  # those that were closed are not all gone yet
            time.sleep(EVERY_S)


def joins(
    context: zmq.Context[zmq.Socket[bytes]], joining: JoinRun, number: int
) -> zmq.Socket[bytes]:
    dealer = new_dealer(context)
    dealer.setsockopt_string(zmq.CURVE_SERVERKEY, joining.notebook_key)
    dealer.setsockopt_string(zmq.CURVE_PUBLICKEY, joining.public_key)
    dealer.setsockopt_string(zmq.CURVE_SECRETKEY, joining.secret_key)
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.connect(joining.endpoints[0])
    join = Join(
        version=__version__,
        attempt=f"flood-{number}",
        run=joining.run,
        rank=1 + number % 1000,
        world_size=1001,
        host="node13",
        pid=number,
    )
    hello = ChannelMessage(ABOUT_CONNECTION, TEXT, encode_text(join).encode())
    dealer.send_multipart(hello.pack(), zmq.DONTWAIT)
    return dealer


def flood(come: Callable[[int], Closable]) -> None:
    opened: deque[Closable] = deque()
    for number in itertools.count():
        opened.append(come(number))
        if len(opened) > MOST_OPEN:
            opened.popleft().close()
        if number % AT_ONCE == 0:
            time.sleep(EVERY_S)
        if number % 1000 == 0:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


def main(how: str, port: str, joining: str = "") -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if how == "silent":
        flood(lambda number: silent(int(port)))
    else:
        context = zmq.Context()
        context.setsockopt(zmq.MAX_SOCKETS, 4 * MOST_OPEN)
        run = msgspec.json.decode(joining, type=JoinRun)
        flood(lambda number: joins(context, run, number))


if __name__ == "__main__":
    main(*sys.argv[1:])
