"""The jupyter-server extension: what reaches a page whatever its network and its kernel do.

It is enabled by being installed, and passes messages on between pages and the media processes of
this server's kernels. Of gpuview it imports `gpuview.protocol.local_socket` only, so that it also
runs in a JupyterLab's environment that has neither torch nor PyAV nor aiortc.
"""

from __future__ import annotations

from typing import Any

from gpuview import __version__
from gpuview.server.app import GPUViewServer

__all__ = ["GPUViewServer", "__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "gpuview.server.app", "app": GPUViewServer}]
