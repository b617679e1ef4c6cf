"""A kernel that may only use a relay: viewers play through it, or are told why they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpuview.errors import SignalError
from gpuview.testing.errors import CellError
from gpuview.testing.kernel import Kernel
from tests.kernel.conftest import PULL, KernelWith
from tests.ports import free_port
from tests.turnserver import LOOPBACK, TurnServer, needs_coturn
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel


PORT = free_port()
RELAY_ONLY = {
    "GPUVIEW_TURN_URL": f"turn:127.0.0.1:{PORT}",
    "GPUVIEW_TURN_SECRET": "shared by kernel and server",
    "GPUVIEW_KERNEL_ICE_TRANSPORT_POLICY": "relay",
}


@pytest.fixture
def turn(tmp_path: Path) -> Iterator[TurnServer]:
    """A TURN server on loopback, whose credentials end by themselves."""
    configuration = f"""{LOOPBACK}
listening-port={PORT}
use-auth-secret
static-auth-secret={RELAY_ONLY["GPUVIEW_TURN_SECRET"]}
realm=example.org
min-port=41000
max-port=41099
"""
    with TurnServer(tmp_path / "turn", configuration) as server:
        yield server


def wait_until_known(kernel: Kernel, condition: str) -> None:
    """Wait until what the kernel's side knows of its servers, ``network``, fulfils a condition."""

    def is_known() -> bool:
        ask = f"(lambda network: bool({condition}))(stream.stats().network)"
        try:
            return bool(kernel.evaluate(ask))
        except CellError:  # the media process still starts
            return False

    wait_until(is_known, condition)


@needs_coturn
def test_viewers_share_one_relay_and_play_through_it(
    turn: TurnServer, kernel_with: KernelWith
) -> None:
    kernel = kernel_with(**RELAY_ONLY)
    kernel.run(PULL)
    wait_until_known(kernel, "network.relay")
    viewers = [kernel.view(kernel.stream()) for _ in range(3)]

    for viewer in viewers:
        viewer.next_frame()

    locals_ = set(kernel.evaluate("[each.local for each in stream.stats().viewers]"))
    assert len(locals_) == 1
    assert locals_.pop().startswith("relay 127.0.0.1:410")
    assert kernel.evaluate("stream.stats().network.relay_url") == RELAY_ONLY["GPUVIEW_TURN_URL"]


@needs_coturn
def test_media_process_makes_no_other_port_than_the_shared_one(
    turn: TurnServer, kernel_with: KernelWith, media_pid: Callable[[Kernel], int]
) -> None:
    kernel = kernel_with(**RELAY_ONLY)
    kernel.run(PULL)
    wait_until_known(kernel, "network.relay")
    kernel.view(kernel.stream()).next_frame()

    from gpuview.media.ice.port_holders import holders

    held = {held.port for held in holders(1024, 65535) if held.pid == media_pid(kernel)}
    assert held == {kernel.evaluate("stream.stats().network.port")}


@needs_coturn
def test_refused_kernel_says_so_instead_of_answering(
    turn: TurnServer, kernel_with: KernelWith
) -> None:
    kernel = kernel_with(**{**RELAY_ONLY, "GPUVIEW_TURN_SECRET": "another one"})
    kernel.run(PULL)
    wait_until_known(kernel, "'401' in str(network.problems)")
    viewer = kernel.view(kernel.stream())

    with pytest.raises(SignalError, match=r"refuses the username or the credential: 401"):
        viewer.next_frame()


@needs_coturn
def test_relay_that_went_away_is_replaced_for_the_next_viewer(
    turn: TurnServer, kernel_with: KernelWith
) -> None:
    kernel = kernel_with(**RELAY_ONLY)
    kernel.run(PULL)
    wait_until_known(kernel, "network.relay")
    kernel.view(kernel.stream()).next_frame()
    before = kernel.evaluate("stream.stats().network.relay")

    turn.restart()
    wait_until_known(kernel, f"network.relay not in ('', {before!r})")

    kernel.view(kernel.stream()).next_frame()


def test_dead_servers_keep_no_viewer_from_playing(
    kernel_with: KernelWith, dead_server: str
) -> None:
    # Only the kernel has them: a headless viewer would wait for them itself.
    servers = [{"urls": [f"stun:{dead_server}"]}]
    servers += [{"urls": [f"turn:{dead_server}"], "username": "me", "credential": "secret"}]
    kernel = kernel_with(GPUVIEW_KERNEL_ICE_SERVERS=json.dumps(servers))
    kernel.run(PULL)

    kernel.view(kernel.stream()).next_frame()

    wait_until_known(kernel, "len(network.problems) == 2")
