"""A run in a notebook's page, and workers of it that are processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import NotebookPage
from tests.browser.views import wait_for_states

__all__ = ["open_run", "worker"]


def open_run(open_notebook: OpenNotebook, join: Path, options: str = "") -> NotebookPage:
    """Open a notebook whose page shows ``GPUStream.remote("run1")`` and waits for workers.

    Args:
        open_notebook: The fixture.
        join: The join file that it writes.
        options: Further arguments of the stream, as code.
    """
    make = f"from gpuview import GPUStream\nstream = GPUStream.remote('run1', {options})"
    notebook = open_notebook(f"{make}\nstream.join({str(join)!r})", "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "waiting")
    return notebook


@contextmanager
def worker(code: str, *args: object, join: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker's program with these arguments, and kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, "GPUVIEW_JOIN": str(join), **env},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
