"""One process of a kernel, from its launch to its end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from jupyter_client.launcher import launch_kernel

__all__ = ["KernelProcess"]

_SHUTDOWN_S = 10.0


class KernelProcess:
    """A running ipykernel, in a session of its own.

    Args:
        command: The command that starts it.
        env: All its environment variables.
        cwd: Its working folder; this process's own when None.
        log_path: The file to which it writes its output, after what is there.
        on_end: Called once when it has ended, in a thread of its own.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str],
        cwd: str | None,
        log_path: Path,
        on_end: Callable[[], None],
    ) -> None:
        self.is_dead = False
        self.is_ending = False
        """Whether it was told to end. From then on a front end sends it nothing more."""
        self._on_end = on_end
        with log_path.open("ab") as log:
            out = log.fileno()
            self._process = launch_kernel([*command], stdout=out, stderr=out, env=env, cwd=cwd)
        self._watcher = threading.Thread(target=self._watch, name="gpuview-kernel-watch")
        self._watcher.daemon = True
        self._watcher.start()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def interrupt(self) -> None:
        """Send SIGINT to the process group, as Jupyter does."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill the kernel with SIGKILL, and nothing but the kernel."""
        os.kill(self.pid, signal.SIGKILL)
        self._watcher.join()

    def shut_down(self, request: Callable[[], object]) -> None:
        """End it as Jupyter does.

        Args:
            request: Sends it the request to shut down.
        """
        if self.is_dead:
            return
        self.is_ending = True
        # A running cell would keep the kernel from ending.
        self.interrupt()
        request()
        self._watcher.join(_SHUTDOWN_S)
        if self._watcher.is_alive():
            os.killpg(self.pid, signal.SIGKILL)
            self._watcher.join()

    def _watch(self) -> None:
        self._process.wait()
        self.is_dead = True
        self._on_end()
