"""A kernel that may use a relay only: viewers play through one, or are told why there is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpuview.errors import SignalError
from gpuview.testing.kernel import Kernel
from tests.turnserver import LOOPBACK, TurnServer, needs_coturn

pytestmark = pytest.mark.kernel

StartKernel = Callable[..., Kernel]

PULL = """
import torch
from gpuview import GPUStream
stream = GPUStream(lambda: torch.rand(96, 128, 3))
display(stream)
"""
PORT = 34781
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


@pytest.fixture
def dead_server() -> Iterator[str]:
    """A port where nobody ever answers."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@needs_coturn
def test_viewers_share_one_relay_and_play_through_it(
    turn: TurnServer, start_kernel: StartKernel
) -> None:
    kernel = start_kernel(**RELAY_ONLY)
    kernel.run(PULL)
    viewers = [kernel.view(kernel.stream()) for _ in range(3)]

    for viewer in viewers:
        viewer.next_frame()

    locals_ = {each["local"] for each in kernel.evaluate("stream.stats().viewers")}
    assert len(locals_) == 1
    assert locals_.pop().startswith("relay 127.0.0.1:410")
    assert kernel.evaluate("stream.stats().network['relay_url']") == RELAY_ONLY["GPUVIEW_TURN_URL"]


@needs_coturn
def test_media_process_makes_no_other_port_than_the_shared_one(
    turn: TurnServer, start_kernel: StartKernel, media_pid: Callable[[Kernel], int]
) -> None:
    kernel = start_kernel(**RELAY_ONLY)
    kernel.run(PULL)
    kernel.view(kernel.stream()).next_frame()

    from gpuview.media.ports import holders

    held = {held.port for held in holders(1024, 65535) if held.pid == media_pid(kernel)}
    assert held == {kernel.evaluate("stream.stats().port")}


@needs_coturn
def test_refused_kernel_says_so_instead_of_answering(
    turn: TurnServer, start_kernel: StartKernel
) -> None:
    kernel = start_kernel(**{**RELAY_ONLY, "GPUVIEW_TURN_SECRET": "another one"})
    kernel.run(PULL)
    viewer = kernel.view(kernel.stream())

    with pytest.raises(SignalError, match=r"refuses the username or the credential: 401"):
        viewer.next_frame()


@needs_coturn
def test_relay_that_went_away_is_replaced_for_the_next_viewer(
    turn: TurnServer, start_kernel: StartKernel
) -> None:
    kernel = start_kernel(**RELAY_ONLY)
    kernel.run(PULL)
    kernel.view(kernel.stream()).next_frame()
    before = kernel.evaluate("stream.stats().network['relay']")

    turn.restart()
    kernel.wait_until(f"stream.stats().network['relay'] not in ('', {before!r})")

    kernel.view(kernel.stream()).next_frame()


def test_dead_servers_delay_no_answer(start_kernel: StartKernel, dead_server: str) -> None:
    def first_answer_s(**env: str) -> float:
        kernel = start_kernel(**env)
        kernel.run(PULL)
        viewer = kernel.view(kernel.stream())
        viewer.next_frame()
        return viewer.timings.offer_to_answer_s

    # The pages' side has none: a headless viewer would wait for them itself.
    servers = [{"urls": [f"stun:{dead_server}"]}]
    servers += [{"urls": [f"turn:{dead_server}"], "username": "me", "credential": "secret"}]
    usual_s = first_answer_s()
    dead = {"GPUVIEW_KERNEL_ICE_SERVERS": json.dumps(servers)}
    # 0.1 s is all that an answer waits for a server; the rest is this machine's own, which may be
    # busy with something else at one time, but hardly at three.
    assert any(first_answer_s(**dead) < 0.1 + 3 * usual_s for _ in range(3))
