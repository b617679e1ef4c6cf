"""A page's WebSocket, and the connection to the media process that it leads to.

Messages are passed on unread, each way as fast as the other side takes them: one message at most
waits here for a page, and one for the media process.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from gpuview.protocol.local_socket import BINARY, MAX_FROM_PAGE_NBYTES, TEXT
from gpuview.server.access import check_access
from gpuview.server.media_connection import MediaConnection
from gpuview.server.metrics import MESSAGES_TO_PAGES, NBYTES_TO_PAGES, OPEN_SOCKETS, REFUSED
from gpuview.server.refusal import CloseCode, Refused

if TYPE_CHECKING:
    from gpuview.server.app import GPUViewServer

__all__ = ["SocketHandler"]


class SocketHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """``gpuview/socket/<kernel id>/<stream>``; guarded like the WebSocket of that kernel."""

    def initialize(self, app: GPUViewServer) -> None:
        self._app = app
        self._media: MediaConnection | None = None
        self._to_page: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        """Set none: a WebSocket has no use for JupyterHandler's."""

    def get_compression_options(self) -> dict[str, Any] | None:
        """Return None: video does not get smaller, and trying would hold the server's loop."""
        return None

    @property
    def max_message_size(self) -> int:
        """The longest message of a page in bytes."""
        return MAX_FROM_PAGE_NBYTES

    @property
    def ping_interval(self) -> int:
        """In milliseconds."""
        return round(self._app.ping_interval_s * 1000)

    async def get(self, kernel_id: str, stream: str) -> None:
        """Become a WebSocket, if the user may use the kernel."""
        await check_access(self, "execute", kernel_id)
        await super().get(kernel_id=kernel_id, stream=stream)

    async def open(self, kernel_id: str, stream: str) -> None:
        """Connect to the media process; nothing of the page's is read until then."""
        super().open()
        OPEN_SOCKETS.inc()
        self._app.sockets.add(self)
        try:
            self._media = await self._connect(kernel_id, stream)
        except Refused as refused:
            self._refuse(refused.code, refused.reason)
        else:
            self._to_page = asyncio.create_task(self._pass_to_page(self._media))

    async def _connect(self, kernel_id: str, stream: str) -> MediaConnection:
        if len(self._app.sockets) > self._app.max_sockets:
            raise Refused(CloseCode.TOO_MANY, "too many pages are connected: max_sockets")
        return await self._app.connect(kernel_id, stream)

    async def on_message(self, message: str | bytes) -> None:
        """Pass a message on. The next one is read when this returns."""
        if self._media is None:
            return
        try:
            if isinstance(message, str):
                await self._media.send(TEXT, message.encode())
            else:
                await self._media.send(BINARY, message)
        except OSError:
            self._end()

    async def _pass_to_page(self, media: MediaConnection) -> None:
        try:
            async for kind, content in media.messages():
                # Returns when the page's connection has taken all of it.
                await self.write_message(content, binary=kind == BINARY)
                MESSAGES_TO_PAGES.inc()
                NBYTES_TO_PAGES.inc(len(content))
        except WebSocketClosedError:
            return
        except (OSError, ValueError) as exc:
            self.log.warning("gpuview: the connection to the media process failed: %s", exc)
        self._end()

    def _end(self) -> None:
        self._refuse(CloseCode.GONE, "the media process ended the connection")

    def _refuse(self, code: CloseCode, reason: str) -> None:
        REFUSED.labels(int(code)).inc()
        self.close(code, reason)

    def on_close(self) -> None:
        """Let go of the media process, which then forgets the page's viewer."""
        self._app.sockets.discard(self)
        OPEN_SOCKETS.dec()
        if self._to_page is not None:
            self._to_page.cancel()
        if self._media is not None:
            self._media.close()

    def on_finish(self) -> None:
        """Count a request that did not become a WebSocket."""
        REFUSED.labels(self.get_status()).inc()
        super().on_finish()
