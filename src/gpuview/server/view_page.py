"""A page that shows one stream and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from tornado.template import Template

from gpuview.server.access import check_access

if TYPE_CHECKING:
    from gpuview.server.app import GPUViewServer

__all__ = ["ViewHandler"]

_TEMPLATE = Template(Path(__file__).with_name("view.html").read_bytes())

# Frames become pictures by blob URLs, and the page draws its own icons.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'"
)


class ViewHandler(JupyterHandler):
    """``gpuview/view/<kernel id>/<stream>``; whoever may open the socket may see it."""

    def initialize(self, app: GPUViewServer) -> None:
        self._app = app

    @property
    def content_security_policy(self) -> str:
        """jupyter-server's own policy, which says who may frame the page, and ours."""
        return f"{super().content_security_policy}; {_POLICY}"

    @web.authenticated
    async def get(self, kernel_id: str, stream: str) -> None:
        """Answer with the page. It finds out by itself whether there is such a stream."""
        await check_access(self, "execute", kernel_id)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        # The page's address may have jupyter-server's token in it.
        self.set_header("Referrer-Policy", "same-origin")
        # The template escapes each value.
        self.finish(
            _TEMPLATE.generate(
                base_url=self.base_url,
                static_url=self._app.static_url_prefix,
                kernel_id=kernel_id,
                stream=stream,
            )
        )
