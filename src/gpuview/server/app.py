"""The extension itself: its routes and its configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Int, List, Unicode

from gpuview.protocol.local_socket import announce_extension
from gpuview.server.health import HealthHandler
from gpuview.server.media_connection import MediaConnection
from gpuview.server.refusal import CloseCode, Refused
from gpuview.server.socket_handler import SocketHandler
from gpuview.server.view_page import ViewHandler

__all__ = ["GPUViewServer"]

_STATIC = Path(__file__).parents[1] / "static"
_GOING_AWAY = 1001
# A stream's name is a file's and a URL's, so it has no other characters.
_PLACE = r"(?P<kernel_id>[A-Za-z0-9_-]{1,64})/(?P<stream>[A-Za-z0-9_-]{1,64})"


class GPUViewServer(ExtensionApp):
    """Brings gpuview's streams to pages through the Jupyter server."""

    name = "gpuview"

    max_sockets = Int(
        256,
        min=0,
        help="The most WebSockets that pages may have open at a time; a view has up to three.",
    ).tag(config=True)

    ping_interval_s = Float(
        25.0,
        min=1.0,
        help="Every so many seconds a WebSocket is pinged, because proxies cut silent ones; nginx "
        "does after 60. A page that has not answered for three such intervals, and for 30 seconds, "
        "is closed.",
    ).tag(config=True)

    # At the extension's static_url_prefix: the view page's script and style.
    static_paths = List(Unicode(), [str(_STATIC)])

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sockets: set[SocketHandler] = set()

    def initialize_settings(self) -> None:
        """Tell that the extension is here: JupyterLab's and Notebook 7's pages, and the kernels.

        A page without that asks for nothing, because browsers write each 404 to the console.
        """
        announce_extension(os.environ)
        assert self.serverapp is not None
        self.serverapp.web_app.settings.setdefault("page_config_data", {})["gpuview"] = True

    def initialize_handlers(self) -> None:
        """Add the routes; jupyter-server puts its base URL before each."""
        routes = [
            (f"gpuview/socket/{_PLACE}", SocketHandler),
            (f"gpuview/view/{_PLACE}", ViewHandler),
            ("gpuview/health", HealthHandler),
        ]
        self.handlers.extend((path, handler, {"app": self}) for path, handler in routes)

    async def connect(self, kernel_id: str, stream: str) -> MediaConnection:
        """Connect to a kernel's media process.

        Raises:
            Refused: There is none, or this server may not.
        """
        assert self.serverapp is not None
        try:
            return await MediaConnection.open(self.serverapp.runtime_dir, kernel_id, stream)
        except Refused as refused:
            is_elsewhere = self.serverapp.gateway_config.gateway_enabled
            if refused.code == CloseCode.NO_MEDIA_PROCESS and is_elsewhere:
                raise Refused(
                    CloseCode.NOT_ALLOWED, "the kernel is behind a gateway, on another machine"
                ) from refused
            raise

    async def stop_extension(self) -> None:
        """Close all sockets, so that pages look for the server when it is back."""
        for socket in tuple(self.sockets):
            socket.close(_GOING_AWAY, "the server stops")
