"""What is set in the environment reaches the answer."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from gpuview.errors import SignalError
from gpuview.testing.errors import CellError
from gpuview.testing.stream import StreamProxy
from tests.kernel.conftest import PULL, KernelWith
from tests.ports import free_port
from tests.sdp import private_addresses

pytestmark = pytest.mark.kernel


ASK = """
import torch
from gpuview import GPUStream, Settings
is_working = False
async def ask():
    if not is_working:
        raise RuntimeError("no such token")
    return []
stream = GPUStream(lambda: torch.rand(96, 128, 3), settings=Settings(ice_servers=ask))
display(stream)
"""


def candidates(sdp: str) -> list[tuple[str, int]]:
    """Return the address and port of each candidate."""
    found = re.findall(r"^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) ", sdp, re.MULTILINE)
    return [(address, int(port)) for address, port in found]


def peer_configs(stream: StreamProxy) -> list[dict[str, Any]]:
    """Return what the stream has told its views of how to connect."""
    return [each for each in stream.messages if each["type"] == "PeerConfig"]


def test_the_answer_holds_the_public_addresses_in_place_of_private_ones(
    kernel_with: KernelWith,
) -> None:
    kernel = kernel_with(GPUVIEW_PUBLIC_IP="203.0.113.9,2001:db8::9")
    kernel.run(PULL)
    viewer = kernel.view(kernel.stream())

    viewer.wait_for_state("connecting", "playing")

    assert viewer.answer is not None
    assert not private_addresses(viewer.answer)
    # A host may have a public address of one family, which is kept.
    shown = {address for address, _ in candidates(viewer.answer)}
    assert shown & {"203.0.113.9", "2001:db8::9"}


def test_the_media_port_is_the_first_free_one_of_the_range(kernel_with: KernelWith) -> None:
    first = free_port()
    kernel = kernel_with(GPUVIEW_PORT_MIN=str(first), GPUVIEW_PORT_MAX=str(first + 4))
    kernel.run(PULL)
    viewer = kernel.view(kernel.stream())

    viewer.next_frame()

    assert viewer.answer is not None
    ports = {port for _, port in candidates(viewer.answer)}
    assert ports
    assert all(first <= port <= first + 4 for port in ports)


def test_an_exhausted_range_refuses_and_names_the_range(kernel_with: KernelWith) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        kernel = kernel_with(GPUVIEW_PORT_MIN=str(port), GPUVIEW_PORT_MAX=str(port))
        kernel.run(PULL)
        viewer = kernel.view(kernel.stream())

        with pytest.raises(SignalError, match=str(port)):
            viewer.next_frame()

        assert viewer.state == "refused"
        assert viewer.refusal is not None
        assert str(port) in viewer.refusal.problem
        assert viewer.refusal.fix


def test_ice_servers_reach_a_view_by_message_and_never_by_trait(kernel_with: KernelWith) -> None:
    servers = '[{"urls": "stun:127.0.0.1:9", "username": "u", "credential": "s3cret"}]'
    kernel = kernel_with(GPUVIEW_ICE_SERVERS=servers)
    kernel.run(PULL)
    stream = kernel.stream()
    viewer = kernel.view(stream)

    viewer.wait_for_state("connecting", "playing", timeout_s=60.0)

    told = peer_configs(stream)  # several where it was slow, as a view repeats its question
    assert told
    assert all(each["ice_servers"][0]["credential"] == "s3cret" for each in told)
    assert "s3cret" not in str(stream.traits)


def test_each_view_gets_a_login_of_its_own_made_from_the_secret(kernel_with: KernelWith) -> None:
    kernel = kernel_with(GPUVIEW_TURN_URL="turn:127.0.0.1:9", GPUVIEW_TURN_SECRET="t0p")
    kernel.run(PULL)
    stream = kernel.stream()
    viewers = [kernel.view(stream) for _ in range(2)]

    for viewer in viewers:
        viewer.wait_for_state("connecting", "playing", timeout_s=60.0)

    servers = {each["view"]: each["ice_servers"][0] for each in peer_configs(stream)}
    for viewer in viewers:
        assert servers[viewer.view]["username"].endswith(f":{viewer.view}")
    assert "t0p" not in f"{stream.messages} {stream.traits}"
    assert all(each["credential"] not in str(stream.traits) for each in servers.values())


def test_a_function_for_ice_servers_that_fails_refuses_its_view_and_ends_nothing(
    kernel_with: KernelWith,
) -> None:
    kernel = kernel_with()
    kernel.run(ASK)
    viewer = kernel.view(kernel.stream())

    with pytest.raises(SignalError, match="ice_servers raised RuntimeError"):
        viewer.next_frame()

    assert viewer.state == "refused"
    kernel.run("is_working = True")
    kernel.view(kernel.stream()).next_frame()


def test_a_host_name_without_an_address_is_an_error_in_the_cell(kernel_with: KernelWith) -> None:
    kernel = kernel_with(GPUVIEW_PUBLIC_IP="gpu.invalid")

    with pytest.raises(CellError, match=r"the address of 'gpu.invalid'") as caught:
        kernel.run(PULL)

    assert caught.value.name == "SettingsError"
