"""A port that can be shut for a while."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gpuview.media.cluster.port import Port
from tests.waiting import wait_until


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port(None)
    yield made
    made.close()


def dialled(port: Port) -> socket.socket:
    """Return a socket that dials, without waiting."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port.number))
    return sock


def is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def test_nobody_comes_in_while_it_is_shut_and_who_dialled_then_comes_in_later(port: Port) -> None:
    with dialled(port) as before:
        wait_until(lambda: is_connected(before), "it is open")
        port.shut()
        with dialled(port) as meanwhile:
            before.send(b"x")
            accepted, _ = port._sock.accept()
            with accepted:
                wait_until(lambda: accepted.recv(1) == b"x", "who is in stays in")
                assert not is_connected(meanwhile)
                port.open()
                wait_until(lambda: is_connected(meanwhile), "it is open again")


def test_port_is_as_asked_for_and_one_that_is_taken_is_refused(port: Port) -> None:
    with pytest.raises(OSError, match="in use"):
        Port(port.number)
    number = port.number
    port.close()
    again = Port(number)
    assert again.number == number
    again.close()


def test_both_families_lead_in(port: Port) -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as sock:
            if family == socket.AF_INET6 and not has_loopback_v6():
                pytest.skip("this machine has no IPv6")
            sock.connect((host, port.number))
            assert sock.getpeername()[:2] == (host, port.number)


def has_loopback_v6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
