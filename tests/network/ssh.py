"""A real ``ssh -L``: OpenSSH's client on one machine of the small internet, a server on another."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.network.topology import Lan, Node
from tests.waiting import wait_until

__all__ = ["ssh_tunnel"]

_PORT = 22


@contextlib.contextmanager
def ssh_tunnel(near: Node, far: Lan, address: str, folder: Path, *ports: int) -> Iterator[None]:
    """Do what ``ssh -L PORT:localhost:PORT address`` does on ``near``, for each of these ports.

    Args:
        near: Where the ports open.
        far: The machine that the tunnel leads to; its router forwards the port of ssh, and keeps
            doing so.
        address: The router's.
        folder: An empty one, for keys.
        ports: TCP ports, the same at both ends.
    """
    folder.mkdir()
    far.router.forward("tcp", _PORT, _PORT)
    with _Server(far.host, folder):
        words = ["-4", "-N", "-F", "none", "-i", str(folder / "key"), f"root@{address}"]
        options = {
            "ExitOnForwardFailure": "yes",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(folder / "known_hosts"),
            "BatchMode": "yes",
        }
        words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        words += [word for port in ports for word in ("-L", f"{port}:localhost:{port}")]
        log = folder / "client.log"
        with log.open("wb") as errors:
            client = near.start(["ssh", *words], stdin=subprocess.DEVNULL, stderr=errors)

        def is_open() -> bool:
            assert client.poll() is None, log.read_text()
            return all(near.listens(port, protocol="tcp") for port in ports)

        try:
            wait_until(is_open, "the tunnel is open")
            yield
        finally:
            client.terminate()
            client.wait()


class _Server:
    """Dropbear: unlike Debian's package of OpenSSH's server, its package starts no service."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._passwd = Path("/etc/netns", node.name, "passwd")
        keys = folder / ".ssh"
        keys.mkdir(mode=0o700)
        _make("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(folder / "key"))
        _make("dropbearkey", "-t", "ed25519", "-f", str(folder / "host_key"))
        authorized = keys / "authorized_keys"
        authorized.write_text((folder / "key.pub").read_text())
        authorized.chmod(0o600)
        # `ip netns exec` shows each file of this folder to its command as one of /etc: so root's
        # home, where the server looks for keys, is the test's.
        self._passwd.write_text(f"root:x:0:0::{folder}:/bin/sh\n")
        words = ["-F", "-E", "-s", "-p", str(_PORT), "-P", str(folder / "pid")]
        with (folder / "server.log").open("wb") as log:
            self._process = node.start(
                ["dropbear", *words, "-r", str(folder / "host_key")], stderr=log
            )
        wait_until(lambda: node.listens(_PORT, protocol="tcp"), "the ssh server listens")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._passwd.unlink()


def _make(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
