"""The recipe for ``ssh -L``: nothing but forwarded TCP ports leads to the kernel's machine."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.topology import Node, enter
from tests.network.world import World
from tests.turnserver import LOOPBACK, TurnServer

pytestmark = pytest.mark.network

PORT = 3478
COTURN = f"{LOOPBACK}\nlistening-port={PORT}\nlt-cred-mech\nuser=me:secret\nrealm=ssh\n"
SETTINGS = {
    "GPUVIEW_PUBLIC_IP": "127.0.0.1",
    "GPUVIEW_TURN_URL": f"turn:localhost:{PORT}?transport=tcp",
    "GPUVIEW_TURN_USERNAME": "me",
    "GPUVIEW_TURN_CREDENTIAL": "secret",
    "GPUVIEW_ICE_TRANSPORT_POLICY": "relay",
    "GPUVIEW_KERNEL_ICE_SERVERS": "[]",
}


def test_a_turn_server_beside_the_kernel_plays_through_forwarded_tcp(
    world: World, tmp_path: Path
) -> None:
    world.internet.only_via()
    kernel, laptop = world.office.host, world.home.host
    with (
        TurnServer(tmp_path / "turn", COTURN, kernel.prefix),
        forwarded_tcp(laptop, kernel, PORT),
        world.stream(kernel, SETTINGS) as stream,
        world.browser(laptop).show(stream) as view,
    ):
        assert view.wait_for_state("playing", "failed") == "playing", view.text
        view.wait_for_frames(30)
        pair = view.pair()
        assert (pair.local, pair.relay_protocol) == ("relay", "tcp")
        assert pair.address.startswith("127.0.0.1:")


@contextlib.contextmanager
def forwarded_tcp(near: Node, far: Node, port: int) -> Iterator[None]:
    """Do what ``ssh -L PORT:localhost:PORT far`` does on ``near``."""
    closing = threading.Event()
    ready = threading.Event()

    def forward() -> None:
        enter(near.name)  # for the life of this thread
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            server = stack.enter_context(socket.create_server(("127.0.0.1", port)))
            selector.register(server, selectors.EVENT_READ)
            ready.set()
            while not closing.is_set():
                for key, _ in selector.select(timeout=0.1):
                    if key.fileobj is server:
                        ends = (server.accept()[0], far.connect(port))
                        for end, other in (ends, ends[::-1]):
                            stack.enter_context(end)
                            end.settimeout(None)
                            selector.register(end, selectors.EVENT_READ, other)
                    elif not pass_on(key.fileobj, key.data):
                        selector.unregister(key.fileobj)

    thread = threading.Thread(target=forward, name="ssh")
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        closing.set()
        thread.join()


def pass_on(source: socket.socket, target: socket.socket) -> bool:
    """Hand on what has come; return whether more may come."""
    try:
        data = source.recv(65536)
        target.sendall(data)
    except OSError:  # one end has closed the connection
        return False
    return data != b""
