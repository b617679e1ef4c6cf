"""A real JupyterLab on one machine of the small internet."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gpuview
from tests.browser.lab import Lab
from tests.network.topology import Node, enter

__all__ = ["RemoteLab"]


class RemoteLab(Lab):
    """A `Lab` on that machine's loopback device, port 8888.

    Args:
        node: The machine.
        home: An empty folder.
        settings: Environment variables of its kernels.
        has_extension: As for `Lab`.
    """

    def __init__(
        self, node: Node, home: Path, settings: Mapping[str, str], *, has_extension: bool
    ) -> None:
        self._node = node
        self.command = (*node.prefix, *Lab.command)
        # An empty variable counts as unset. Left out, a `Lab` sets this one.
        env = {"PYTHONPATH": str(Path(gpuview.__file__).parents[1]), "GPUVIEW_PUBLIC_IP": ""}
        super().__init__(home, {**env, **settings}, has_extension=has_extension)

    def request(self, method: str, path: str) -> Any:
        """Send a request to the REST API, from the machine itself."""

        def request() -> Any:
            enter(self._node.name)  # for the life of this thread
            return super(RemoteLab, self).request(method, path)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(request).result()
