"""Waits until a Jupyter server answers."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.waiting import wait_until

__all__ = ["wait_until_up"]

_START_S = 120.0


def wait_until_up(
    process: subprocess.Popen[bytes],
    runtime_dir: Path,
    ask: Callable[[str], object],
    log: Callable[[], str],
) -> str:
    """Return the server's URL once it answers.

    Args:
        process: The server.
        runtime_dir: Where it writes its URL.
        ask: Asks something of the server at this URL. An OSError means that it does not answer yet.
        log: Returns what the server has logged.

    Raises:
        RuntimeError: It has ended.
        TimeoutError: It did not answer in time.
    """
    info = runtime_dir / f"jpserver-{process.pid}.json"

    def url() -> str:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{log()[-3000:]}")
        # The file is written before the server answers, and not atomically.
        with contextlib.suppress(OSError, ValueError):
            found = str(json.loads(info.read_text())["url"]).rstrip("/")
            ask(found)
            return found
        return ""

    return wait_until(url, "the server is up", _START_S)
