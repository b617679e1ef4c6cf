"""A job and a notebook on machines of their own, behind NATs, and the network between them."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel
from tests.cluster.jobs import WORKER, Job, StartJob
from tests.cluster.watched import Watched
from tests.network.topology import Internet, Node
from tests.waiting import wait_until

pytestmark = [pytest.mark.kernel, pytest.mark.network]

PORT = 40123
OFFICE = "203.0.113.10"
RANK = 2
SHOW = """
from gpuview import GPUStream
stream = GPUStream.remote("run1", rank={})
display(stream)
environment = stream.join({!r})
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1")
TORCHRUN += ("--nproc-per-node=4", "--max-restarts=1", str(WORKER), "run1", "with-peers")
# Ranks that torchrun starts again need a store of their own: in the shared one are the old keys.
GLOO = {"GLOO_SOCKET_IFNAME": "lo", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
# Takes every question, and answers none.
SILENT_NAME_SERVER = """
import signal, socket
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.bind(("::", 53))
    signal.pause()
"""


def show(kernel: Kernel, rank: int, file: Path) -> dict[str, str]:
    """Display a rank; return what the environment of the workers needs."""
    kernel.run(SHOW.format(rank, str(file)))
    environment: dict[str, str] = kernel.evaluate("environment")
    return environment


def pids_of(job: Job, rank: int) -> list[int]:
    """Return the processes that a rank has had, the newest one last."""
    begun = zip(job.said("pid"), job.said("rank"), strict=True)
    return [pid for pid, each in begun if each == rank]


def assert_nothing_is_left_on(node: Node) -> None:
    wait_until(lambda: not node.pids(), "no process is left", describe=node.pids)
    sockets = "ss -Htan state established state listening state close-wait"
    assert node.run(sockets) == ""


def test_ranks_of_torchrun_come_back_after_an_outage_a_death_and_the_end_of_the_kernel(
    start_job: StartJob, tmp_path: Path
) -> None:
    file = tmp_path / "run1.json"
    with Internet() as internet:
        office = internet.lan("k", wan=f"{OFFICE}/28", host="192.168.77.2/24")
        office.router.forward("tcp", PORT, PORT)
        cluster = internet.lan("w", wan="198.51.100.36/28", host="10.0.0.20/24", nat="symmetric")
        settings = {"GPUVIEW_CLUSTER_HOST": OFFICE, "GPUVIEW_CLUSTER_PORT": str(PORT)}
        with Kernel(env=settings, prefix=office.host.prefix) as kernel:
            environment = show(kernel, RANK, file)
            with Watched(kernel, RANK) as page:
                job = start_job(*TORCHRUN, env={**environment, **GLOO}, prefix=cluster.host.prefix)
                page.wait_for_ranks(0, 1, 2, 3)
                page.wait_for_picture()

                with internet.unplugged("w"):
                    page.wait_for_ranks()
                    assert f"rank {RANK} on " in kernel.evaluate("stream.status['hint']")
                page.wait_for_ranks(0, 1, 2, 3)
                page.wait_for_picture()

                (pid,) = pids_of(job, RANK)
                os.kill(pid, signal.SIGKILL)
                page.wait_until("'has been silent since' in stream.status['hint']")
                page.wait_until(f"{pid} not in [w.pid for w in stream.workers]")
                page.wait_for_ranks(0, 1, 2, 3)
                page.wait_for_picture()
                assert len(pids_of(job, RANK)) == 2

            kernel.kill()
            assert file.exists()  # it leads nowhere any more
            kernel.restart()
            show(kernel, RANK, file)
            with Watched(kernel, RANK) as page:
                page.wait_for_ranks(0, 1, 2, 3)
                page.wait_for_picture()
            job.close()
            assert_nothing_is_left_on(cluster.host)
        assert_nothing_is_left_on(office.host)
        assert not file.exists()


def test_worker_reaches_a_machine_that_has_ipv6_only_by_its_address_and_beside_a_silent_name(
    start_job: StartJob, tmp_path: Path
) -> None:
    file = tmp_path / "run1.json"
    with ExitStack() as stack:
        internet = stack.enter_context(Internet(has_ipv6=True))
        office = internet.host("k", "2001:db8:1::10/64")
        node = internet.host("w", "2001:db8:2::10/64")
        office.start([sys.executable, "-c", SILENT_NAME_SERVER])
        (Path("/etc/netns") / node.name / "resolv.conf").write_text("nameserver 2001:db8:1::10\n")
        kernel = stack.enter_context(Kernel(prefix=office.prefix))
        environment = show(kernel, 0, file)
        page = stack.enter_context(Watched(kernel, 0))
        content = json.loads(file.read_text())
        port = content["endpoints"][-1].removeprefix("tcp://127.0.0.1:")
        assert content["endpoints"][:-1] == [f"tcp://[2001:db8:1::10]:{port}"]
        for name in ("", "login1.example.org"):
            if name:
                content["endpoints"].insert(0, f"tcp://{name}:{port}")
                file.write_text(json.dumps(content))
            job = start_job(env=environment, prefix=node.prefix)
            page.wait_for_ranks(0)
            page.wait_for_picture()
            job.close()
            page.wait_for_ranks()
