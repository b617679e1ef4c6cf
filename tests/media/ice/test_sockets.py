"""Which port is bound, and from which address is answered."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from gpuview.errors import NetworkError
from gpuview.media.ice import sockets
from gpuview.media.ice.sockets import (
    ANCILLARY_NBYTES,
    bind_sockets,
    destination_host,
    preferred_source,
    source_of,
)


def test_first_free_port_of_the_range_is_taken_and_the_next_after_it() -> None:
    first = bind_sockets(None, None)
    port = first[0].getsockname()[1]
    try:
        second = bind_sockets(port, port + 50)
        assert port < second[0].getsockname()[1] <= port + 50
        for sock in second:
            sock.close()
    finally:
        for sock in first:
            sock.close()


def test_used_up_range_is_an_error_that_names_it() -> None:
    taken = bind_sockets(None, None)
    port = taken[0].getsockname()[1]
    try:
        with pytest.raises(
            NetworkError, match=f"no UDP port from {port} to {port} is free; .* {port}: python"
        ):
            bind_sockets(port, port)
    finally:
        for sock in taken:
            sock.close()


def test_system_that_gives_no_port_is_an_error_that_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(hosts: Sequence[str], port: int) -> list[socket.socket]:
        raise OSError(f"nothing left, {port = }")

    monkeypatch.setattr(sockets, "_bind_port", refuse)
    with pytest.raises(NetworkError, match="could be bound: nothing left, port = 0"):
        bind_sockets(None, None)


def test_port_that_only_ipv6_has_taken_is_not_used() -> None:
    taken = bind_sockets(None, None)
    ipv6 = [sock for sock in taken if sock.family == socket.AF_INET6]
    port = taken[0].getsockname()[1]
    taken[0].close()
    if not ipv6:
        pytest.skip("this machine has no IPv6")
    with ipv6[0], pytest.raises(NetworkError):
        bind_sockets(port, port)


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.5"), (socket.AF_INET6, "::1")]
)
def test_socket_tells_the_destination_and_can_answer_from_it(
    family: socket.AddressFamily, host: str
) -> None:
    bound = {sock.family: sock for sock in bind_sockets(None, None)}
    if family not in bound:
        pytest.skip("this machine has no IPv6")
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(30)
        asker.connect((host, bound[family].getsockname()[1]))
        asker.send(b"where am I?")
        _, ancillary, _, source = bound[family].recvmsg(100, ANCILLARY_NBYTES)
        assert destination_host(ancillary) == host
        bound[family].sendmsg([b"here"], source_of(host), 0, source)
        assert asker.recv(100) == b"here"
    for sock in bound.values():
        sock.close()


def test_routing_table_is_asked_without_sending() -> None:
    assert preferred_source(socket.AF_INET, ("127.0.0.9", 9)) == "127.0.0.1"


def test_address_without_a_route_has_no_source() -> None:
    assert preferred_source(socket.AF_INET6, ("192.0.2.1", 9)) is None


def test_loopback_sockets_are_not_bound_to_other_addresses() -> None:
    bound = bind_sockets(None, None, ("127.0.0.1", "::1"))
    names = [sock.getsockname()[:2] for sock in bound]
    for sock in bound:
        sock.close()
    assert [host for host, _ in names] == ["127.0.0.1", "::1"][: len(names)]
    assert len({port for _, port in names}) == 1
