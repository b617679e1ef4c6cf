"""Jobs on another machine, or as good as: processes that have nothing of the notebook's but its
join file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.processes import descendants, wait_until_gone
from tests.waiting import wait_until

__all__ = ["WORKER", "Job", "StartJob", "starting_jobs"]

WORKER = Path(__file__).with_name("worker.py")


class Job:
    """A job that runs, and what it prints."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "TMPDIR": str(log.parent),  # torchrun leaves a folder there
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    def said(self, name: str) -> list[Any]:
        """Return the values of this name in what it has said, the newest one last."""
        lines = [line for line in self.log.splitlines() if line.startswith("{")]
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [each[name] for each in found if name in each]

    def wait_for(self, name: str, count: int = 1) -> Any:
        """Wait until it has said so many values of this name, and return the newest."""

        def newest() -> Any:
            assert self._process.poll() is None, self.log
            values = self.said(name)
            return values[-1:] if len(values) >= count else None

        return wait_until(newest, f"{count} x {name}", describe=lambda: self.log)[0]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait for the end of all that it has started."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it if it runs, and wait for the end of all that it has started."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        children = descendants(self.pid) if self.is_running else ()
        if self.is_running:
            self._process.send_signal(how)
        self._process.wait(60)
        wait_until_gone(children, timeout_s=60.0)


class StartJob:
    """Starts jobs; see `starting_jobs`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._n_jobs = 0

    def __call__(self, *command: str, env: Mapping[str, str], prefix: Sequence[str] = ()) -> Job:
        """Start a worker, or another command of Python's, with this in its environment.

        Args:
            command: What follows Python's name.
            env: Variables besides this process's.
            prefix: A command that becomes this one, such as ``ip netns exec NAME``.
        """
        self._n_jobs += 1
        log = self._folder / f"job-{self._n_jobs}.log"
        words = [*prefix, sys.executable, *(command or (str(WORKER), "run1"))]
        job = Job(words, env, log)
        self._stack.callback(job.close)
        return job


@contextmanager
def starting_jobs(folder: Path) -> Iterator[StartJob]:
    """Give what starts jobs, whose logs are in ``folder``; they are ended at the end."""
    with ExitStack() as stack:
        yield StartJob(folder, stack)
