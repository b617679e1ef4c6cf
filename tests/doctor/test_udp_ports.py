"""The port range: free, partly held, used up, or held by the kernel itself; and the buffers."""

from __future__ import annotations

import os
import socket

import pytest

from gpuview.doctor.udp_ports import (
    ancestors,
    bind_range,
    check_buffers,
    judge_buffers,
    judge_range,
)
from gpuview.errors import NetworkError
from gpuview.media.ice.port_holders import Holder
from gpuview.media.ice.sockets import bind_sockets
from gpuview.settings import Settings

RANGE = Settings(port_min=10111, port_max=10112)
ERROR = NetworkError("no UDP port could be bound", expected="a free port", fix="look")


def test_free_range_is_bound_at_its_first_free_port() -> None:
    taken = bind_sockets(None, None)
    port = taken[0].getsockname()[1]
    check, socks = bind_range(Settings(port_min=port, port_max=min(port + 50, 65535)))
    try:
        bound = socks[0].getsockname()[1]
        assert check.mark == "ok"
        assert check.found.startswith(f"{bound} of {port} to ")
        assert f"held are {port}: " in check.found
        assert f"(pid {os.getpid()})" in check.found
    finally:
        for sock in [*taken, *socks]:
            sock.close()


def test_used_up_range_fails_and_names_who_holds_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        port = sock.getsockname()[1]
        check, socks = bind_range(Settings(port_min=port))
    assert (check.mark, socks) == ("fail", [])
    assert check.found.startswith(f"none of {port} can be bound; held are {port}: ")
    assert f"(pid {os.getpid()})" in check.found


def test_port_that_this_kernels_media_process_holds_is_fine() -> None:
    held = [Holder(10111, socket.AF_INET, 900, "python", kernel_pid=800)]
    own = judge_range(RANGE, None, held, [1000, 800, 12], ERROR)
    assert own.mark == "ok"
    assert "by this kernel's own media process" in own.found
    assert judge_range(RANGE, None, held, [1000, 801], ERROR).mark == "fail"


def test_no_range_is_fine_unless_no_port_can_be_bound() -> None:
    assert judge_range(Settings(), 40000, [], ()).mark == "ok"
    assert judge_range(Settings(), None, [], (), ERROR).found == ERROR.problem


def test_ancestors_begin_with_the_process_and_end_before_init() -> None:
    found = ancestors(os.getpid())
    assert found[:2] == [os.getpid(), os.getppid()]
    assert 1 not in found
    assert ancestors(2**22 + 1) == [2**22 + 1]


@pytest.mark.parametrize("port_max", [10111, 10112])
def test_range_is_written_as_people_write_it(port_max: int) -> None:
    settings = Settings(port_min=10111, port_max=port_max)
    text = "10111 to 10112" if port_max == 10112 else "10111"
    assert judge_range(settings, 10111, [], ()).found == f"10111 of {text} can be bound"


def test_buffers_are_measured() -> None:
    assert check_buffers().mark in ("ok", "remark")


def test_small_buffers_are_remarked_on_with_the_command() -> None:
    granted = {"net.core.rmem_max": 212992, "net.core.wmem_max": 4194304}
    check = judge_buffers(granted)
    assert check.mark == "remark"
    assert check.fix == "sysctl -w net.core.rmem_max=4194304"
    assert judge_buffers({"net.core.rmem_max": 4194304}).mark == "ok"
