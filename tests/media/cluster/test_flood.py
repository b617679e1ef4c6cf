"""Ten thousand a second at the workers' port: the notebook's streams do not notice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from gpuview.media.cluster.connection_limit import MAX_CONNECTIONS
from tests.media.cluster.machines import (
    NotebookMachine,
    WorkerMachine,
    assert_goes_on,
    wait_for_colour,
)
from tests.waiting import wait_until

FLOOD = Path(__file__).with_name("flood.py")
# Those who are let in before the port is shut, and what a media process has open otherwise.
SPARE = 200


@contextmanager
def flooded(how: str, notebook: NotebookMachine) -> Iterator[subprocess.Popen[str]]:
    """Have somebody come all the time; ended at the end."""
    joining = msgspec.json.encode(notebook.joining()).decode()
    command = [sys.executable, str(FLOOD), how, str(notebook.port), joining]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def n_open(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("how", ["silent", "joins"])
def test_flood_disturbs_neither_a_worker_that_is_in_nor_who_comes_afterwards(
    tmp_path: Path, how: str
) -> None:
    with (
        NotebookMachine(tmp_path) as notebook,
        WorkerMachine(notebook.joining()) as worker,
        notebook.page() as page,
    ):
        page.watch()
        page.frames_after(5)
        with flooded(how, notebook) as flood:
            assert flood.stdout is not None
            most = 0
            for n_come, colour in enumerate([(10, 200, 100), (200, 40, 90), (20, 20, 220)]):
                for _ in range(3):
                    assert flood.stdout.readline(), f"the flood has ended after {n_come} rounds"
                worker.colour = colour
                wait_for_colour(page, colour)
                most = max(most, n_open(notebook.process.pid))
            assert most < MAX_CONNECTIONS + SPARE
            assert worker.is_joined
        assert_goes_on(page)
        # Those who have the key do come in, as many as fit.
        assert (len(notebook.workers) > 1) == (how == "joins")
        with WorkerMachine(notebook.joining(rank=5000)):
            wait_until(lambda: 5000 in notebook.present, "another worker has joined")
        assert worker.is_joined
        wait_until(lambda: n_open(notebook.process.pid) < SPARE, "all have gone")
