"""Workers on a Ray cluster find the notebook, and come back when Ray makes them anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree

import pytest

from gpuview.testing.kernel import Kernel
from tests.cluster.worker import rank_of
from tests.processes import descendants, wait_until_gone

pytestmark = [pytest.mark.kernel, pytest.mark.ray]

ray = pytest.importorskip("ray", reason="here is no Ray: pip install 'gpuview[ray]'")

BEGIN = """
import logging, os, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
         _temp_dir={folder!r}, object_store_memory=100_000_000)
"""
ACTOR = """
@ray.remote(num_cpus=0, max_restarts=-1)
class Trainer:
    def __init__(self, rank):
        import threading
        import gpuview
        self.rank, self.view = rank, gpuview.publish("run1", rank=rank)
        threading.Thread(target=self.train, daemon=True).start()

    def train(self):
        import itertools, time
        from tests.cluster.worker import picture
        for step in itertools.count():
            self.view.push(picture(self.rank, step))
            time.sleep(0.03)

    def pid(self):
        import os
        return os.getpid()

    def die(self):
        import os
        os._exit(1)
"""
SHOW = "from gpuview import GPUStream\nstream = GPUStream.remote('run1', rank=1)\ndisplay(stream)"


@pytest.fixture
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Give a kernel that has begun a Ray cluster, which ends with it."""
    # Ray's sockets have paths of at most 107 bytes.
    folder = Path("/tmp") / f"gpuview-ray-{tmp_path_factory.getbasetemp().name}"
    with ExitStack() as stack, Kernel() as kernel:
        stack.callback(rmtree, folder, ignore_errors=True)
        kernel.run(BEGIN.format(folder=str(folder)), timeout_s=120.0)
        yield kernel
        children = descendants(kernel.pid)
        kernel.run("stream.close()", timeout_s=60.0)
        kernel.run("ray.shutdown()", timeout_s=60.0)
    wait_until_gone(children, timeout_s=60.0)


def test_an_actor_is_shown_without_an_environment_and_again_when_ray_makes_it_anew(
    kernel: Kernel,
) -> None:
    kernel.run(SHOW)
    kernel.run(ACTOR)
    kernel.run("trainers = [Trainer.remote(rank) for rank in range(2)]")
    stream = kernel.stream()
    stream.wait_for(lambda traits: traits["status"]["state"] == "live", what="live", timeout_s=90.0)
    with kernel.view(stream) as viewer:
        assert {rank_of(frame) for frame in viewer.frames(5)} == {1}
        before = kernel.evaluate("ray.get(trainers[1].pid.remote())")
        kernel.run("trainers[1].die.remote()")
        kernel.wait_until(f"[w.pid for w in stream.workers if w.rank == 1] != [{before}]")
        kernel.wait_until("all(w.silent_s is None for w in stream.workers)", timeout_s=60.0)
        assert {rank_of(frame) for frame in viewer.frames(5)} == {1}
    assert kernel.evaluate("sorted(w.rank for w in stream.workers)") == [0, 1]


def test_the_notice_goes_with_the_stream_and_comes_with_the_next_one(kernel: Kernel) -> None:
    find = "ray.util.list_named_actors(all_namespaces=True)"
    notice = {"name": "notebook-of-run1", "namespace": "gpuview"}
    kernel.run(SHOW)
    kernel.wait_until(f"{find} == [{notice}]")
    kernel.run("other = GPUStream.remote('run1', rank=2)")
    kernel.run("stream.close()")
    assert kernel.evaluate(f"{find} == [{notice}]")
    kernel.run("other.close()")
    kernel.wait_until(f"{find} == []")
    kernel.run(SHOW)
    kernel.wait_until(f"{find} == [{notice}]")
