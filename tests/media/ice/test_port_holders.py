"""Who holds a UDP port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gpuview.media.ice.port_holders import Holder, describe_holders, holders
from gpuview.media.ice.sockets import bind_sockets
from tests.ports import free_port

HOLD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def process_that_holds_a_port(*arguments: str) -> Iterator[tuple[int, int]]:
    """Yield the pid of another process and the port that it has bound."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


def test_own_sockets_are_found_in_both_families() -> None:
    taken = bind_sockets(None, None)
    port = taken[0].getsockname()[1]
    try:
        found = holders(port, port)
    finally:
        for sock in taken:
            sock.close()
    assert [each.family for each in found] == [sock.family for sock in taken]
    assert {(each.port, each.pid, each.kernel_pid) for each in found} == {(port, os.getpid(), None)}


def test_free_port_has_no_holder() -> None:
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        assert holders(port, port)
    assert holders(port, port) == []
    assert describe_holders([]) == ""


def test_other_process_is_named_without_its_arguments() -> None:
    with process_that_holds_a_port("--password=swordfish") as (pid, port):
        (held,) = holders(port, port)
    name = os.path.basename(sys.executable)
    assert (held.pid, held.command, held.kernel_pid) == (pid, name, None)
    assert describe_holders([held]) == f"{port}: {name} (pid {pid})"


def test_media_process_is_named_with_its_kernel() -> None:
    with process_that_holds_a_port("-m", "gpuview.media", "7", "800") as (pid, port):
        (held,) = holders(port, port)
    assert held.kernel_pid == 800
    assert describe_holders([held]).endswith(f"(pid {pid}, gpuview.media of kernel 800)")


@pytest.mark.parametrize("arguments", [[], ["7"], ["7", "x"]])
def test_odd_command_line_is_no_media_process(arguments: list[str]) -> None:
    with process_that_holds_a_port("gpuview.media", *arguments) as (_, port):
        (held,) = holders(port, port)
    assert held.kernel_pid is None


def test_description_is_bounded_and_names_a_port_once() -> None:
    twice = [Holder(5, family, 8, "frpc") for family in (socket.AF_INET, socket.AF_INET6)]
    assert describe_holders(twice) == "5: frpc (pid 8)"
    many = [Holder(port, socket.AF_INET, None, "") for port in range(1, 101)]
    text = describe_holders(many)
    assert text.startswith("1: a process of another user, 2: ")
    assert text.endswith("6: a process of another user and 94 more")
