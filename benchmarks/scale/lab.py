"""A notebook's kernel, its workers, and what their processes have used so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.processes import cpu_s
from gpuview.testing.kernel import Kernel
from gpuview.testing.viewer import HeadlessViewer
from tests.cluster.jobs import Job, StartJob, starting_jobs
from tests.processes import command_line, descendants

__all__ = ["Lab", "Usage", "laboratory", "media_process"]

ROOT = Path(__file__).parents[2]
_IMPORTS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import torch
from gpuview import GPUStream
from benchmarks.link.scene import Texture, play
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used and what came or went, in some seconds."""

    cpu_percent: float
    """Of one core."""
    mbit_s: float


class Lab:
    """One kernel and its jobs; see `laboratory`."""

    def __init__(self, kernel: Kernel, start: StartJob) -> None:
        self.kernel = kernel
        self._start = start
        self._environments: dict[str, dict[str, str]] = {}

    def show(self, run: str) -> None:
        """Display rank 0 of a run in the kernel, in a variable of its name."""
        self.kernel.run(f"{run} = GPUStream.remote({run!r})\ndisplay({run})")
        self._environments[run] = self.kernel.evaluate(f"{run}.join()")

    def start_worker(self, what: str, run: str, *args: object) -> Job:
        """Start a worker of ``benchmarks.scale.worker`` in a run that is shown."""
        words = ("-m", "benchmarks.scale.worker", what, run, *map(str, args))
        return self._start(*words, env=self._environments[run])

    def view(self, name: str, *, is_decoding: bool = True) -> HeadlessViewer:
        """Watch a stream of the kernel."""
        stream = self.kernel.stream(name)
        return self.kernel.view(stream, is_decoding=is_decoding)

    def wait_for_workers(self, run: str, count: int) -> None:
        self.kernel.wait_until(f"len({run}.workers) == {count}", timeout_s=120)

    def media_pid(self, name: str) -> int:
        return int(self.kernel.evaluate(f"{name}.stats().media_pid"))

    def measure(
        self, pids: Mapping[str, int], streams: list[str], seconds: float
    ) -> dict[str, Usage]:
        """Return what the processes used in so many seconds, and the bytes that were sent on.

        Args:
            pids: The processes, by any name.
            streams: Variables of the kernel, whose packets count.
            seconds: How long.
        """
        before, kilobits, began_s = self._used(pids), self._kilobits(streams), time.monotonic()
        time.sleep(seconds)
        after, seconds = self._used(pids), time.monotonic() - began_s
        mbit_s = (self._kilobits(streams) - kilobits) / 1000 / seconds
        return {name: Usage(100 * (after[name] - before[name]) / seconds, mbit_s) for name in pids}

    def _used(self, pids: Mapping[str, int]) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in pids.items()}

    def _kilobits(self, streams: list[str]) -> float:
        counts: Any = self.kernel.evaluate(
            f"[[e.nbytes for e in each.stats().encoders] for each in [{', '.join(streams)}]]"
        )
        return sum(map(sum, counts)) * 8 / 1000


@contextmanager
def laboratory(**env: str) -> Iterator[Lab]:
    """Start a kernel with this in its environment; end it and all workers at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-scale-")))
        kernel = stack.enter_context(Kernel(env={"HOME": str(folder), **env}))
        kernel.run(_IMPORTS, timeout_s=120)
        yield Lab(kernel, stack.enter_context(starting_jobs(folder)))


def media_process(pid: int) -> int:
    """Return the media process of a worker."""
    (found,) = (each for each in descendants(pid) if "gpuview.media" in command_line(each))
    return found
