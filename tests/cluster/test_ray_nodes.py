"""A Ray cluster of two machines, the notebook on one of them and the actors on the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree

import pytest

from gpuview.testing.kernel import Kernel
from tests.cluster.test_ray import ACTOR
from tests.cluster.watched import Watched
from tests.network.topology import Internet, Node
from tests.processes import command_line
from tests.waiting import wait_until

pytestmark = [pytest.mark.kernel, pytest.mark.network, pytest.mark.ray]

pytest.importorskip("ray", reason="here is no Ray: pip install 'gpuview[ray]'")

HEAD, SECOND = "203.0.113.10", "198.51.100.20"
GCS = f"{HEAD}:6379"
ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
BEGIN = f"""
import logging, ray
ray.init({GCS!r}, log_to_driver=False, logging_level=logging.ERROR)
{ACTOR}
def start_trainer():
    options = {{"name": "trainer", "resources": {{"second": 0.1}}}}
    return Trainer.options(**options).remote(1)
from gpuview import GPUStream
"""
SHOW = """
stream = GPUStream.remote("run1", rank=1)
display(stream)
trainer = start_trainer()
"""


class RayCluster:
    """Two machines without NAT between them, which Ray does not support.

    Args:
        internet: Where they are.
        folder: Ray's, with a short path.
    """

    def __init__(self, internet: Internet, folder: Path) -> None:
        self.internet = internet
        self.head = internet.host("k", f"{HEAD}/28")
        self.second = internet.host("w", f"{SECOND}/28")
        small = ("--object-store-memory=80000000", "--disable-usage-stats")
        head = ("--head", "--port=6379", f"--temp-dir={folder}", "--include-dashboard=false")
        _start(self.head, HEAD, *head, "--num-cpus=0", *small)
        only_here = '--resources={"second": 1}'
        _start(self.second, SECOND, f"--address={GCS}", "--num-cpus=1", only_here, *small)

    def media_processes(self) -> list[str]:
        """Return the command lines of gpuview's processes on both machines."""
        pids = self.head.pids() + self.second.pids()
        return [line for line in map(command_line, pids) if "gpuview.media" in line]


def _start(node: Node, address: str, *options: str) -> None:
    command = [str(Path(sys.executable).with_name("ray")), "start", f"--node-ip-address={address}"]
    env = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = _run([*node.prefix, *command, *options], env)
    assert done.returncode == 0, done.stdout + done.stderr


def _run(command: Sequence[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=env, check=False, capture_output=True, text=True, timeout=180
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    # Ray's sockets have paths of at most 107 bytes.
    folder = Path(f"/tmp/gpuview-ray-nodes-{os.getpid()}")
    try:
        with Internet() as internet:
            yield RayCluster(internet, folder)
    finally:
        rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def kernel(cluster: RayCluster) -> Iterator[Kernel]:
    """A kernel on the first machine, which knows the cluster."""
    with Kernel(prefix=cluster.head.prefix, env=ENVIRONMENT) as kernel:
        kernel.run(BEGIN, timeout_s=120.0)
        yield kernel


@pytest.fixture
def page(cluster: RayCluster, kernel: Kernel) -> Iterator[Watched]:
    """A page that shows an actor on the second machine; both are gone at the end."""
    kernel.run(SHOW)
    with Watched(kernel, 1) as page:
        page.wait_for_ranks(1)
        page.wait_for_picture()
        yield page
    kernel.run("ray.kill(trainer)\nstream.close()")
    # The kernel's own stays as long as the kernel.
    wait_until(
        lambda: len(cluster.media_processes()) == 1,
        "the actor's media process has ended",
        describe=cluster.media_processes,
    )


def test_actor_that_was_killed_is_made_again_under_its_name_and_plays_on(
    kernel: Kernel, page: Watched
) -> None:
    named = "ray.get(ray.get_actor('trainer').pid.remote())"
    before = kernel.evaluate(named)
    os.kill(before, signal.SIGKILL)
    page.wait_until("'rank 1 on ' in stream.status['hint']")
    page.wait_until(f"[w.pid for w in stream.workers] != [{before}]")
    page.wait_for_ranks(1)
    page.wait_for_picture()
    assert kernel.evaluate(f"[w.pid for w in stream.workers] == [{named}]")


def test_node_that_is_gone_is_said_and_plays_on_when_it_is_back(
    cluster: RayCluster, page: Watched
) -> None:
    with cluster.internet.unplugged("w"):
        page.wait_for_ranks()
        page.wait_until("'has been silent since' in stream.status['hint']")
    page.wait_for_ranks(1)
    page.wait_for_picture()
    page.wait_until("stream.status['hint'] == ''")
