"""A real coturn, on loopback or on a machine of the network laboratory."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

__all__ = ["LOOPBACK", "TurnServer", "certificate", "needs_coturn"]

TURNSERVER = shutil.which("turnserver")
_START_S = 60.0
_STOP_S = 30.0

needs_coturn = pytest.mark.skipif(
    TURNSERVER is None, reason="no coturn here; on Debian: apt-get install coturn"
)

LOOPBACK = """
listening-ip=127.0.0.1
relay-ip=127.0.0.1
allow-loopback-peers
cli-password=unused
no-cli
"""
"""The part of a configuration that keeps a server on loopback, to which coturn relays only so."""


class TurnServer:
    """A running ``turnserver``.

    Args:
        folder: An empty one, for its files.
        configuration: The text of its ``turnserver.conf``.
        prefix: Words before its command, such as ``ip netns exec NAME``.

    Raises:
        RuntimeError: It did not start. The message has its log.
    """

    def __init__(self, folder: Path, configuration: str, prefix: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "turnserver.log"
        self._config = folder / "turnserver.conf"
        self._prefix = list(prefix)
        files = {"pidfile": "pid", "userdb": "turndb"}
        own = "".join(f"{name}={folder / file}\n" for name, file in files.items())
        self._config.write_text(f"{configuration}\n{own}log-file=stdout\n")
        self._process = self._start()

    def stop(self) -> None:
        """Kill it, as a crash would: clients are not told."""
        self._process.kill()
        self._process.wait(_STOP_S)

    def restart(self) -> None:
        """Kill it and start it again, without anything that it knew."""
        self.stop()
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """Its output so far."""
        return self._log.read_text(errors="replace")

    def _start(self) -> subprocess.Popen[bytes]:
        command = [*self._prefix, "turnserver", "-c", str(self._config), "--verbose"]
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _START_S
        while "Total General servers" not in self.log:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RuntimeError(f"turnserver did not start:\n{self.log[-3000:]}")
            time.sleep(0.02)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Make a self-signed certificate for an address; return the files of it and of its key."""
    folder.mkdir(parents=True, exist_ok=True)
    chain, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
    named = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=IP:{host}"]
    files = ["-keyout", str(key), "-out", str(chain)]
    subprocess.run([*command.split(), *named, *files], check=True, capture_output=True)
    return chain, key
