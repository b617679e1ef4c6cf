"""Whether the media processes of this server's kernels answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from jupyter_server.base.handlers import APIHandler
from tornado import web

from gpuview import __version__
from gpuview.server.access import check_access
from gpuview.server.refusal import CloseCode, Refused

if TYPE_CHECKING:
    from gpuview.server.app import GPUViewServer

__all__ = ["HealthHandler"]

_ANSWER_S = 2.0


class HealthHandler(APIHandler):
    """``gpuview/health``, for whoever may list the kernels."""

    def initialize(self, app: GPUViewServer) -> None:
        self._app = app

    @web.authenticated
    async def get(self) -> None:
        """Answer with the extension's version, and the state of each kernel's media process."""
        await check_access(self, "read")
        kernel_ids: list[str] = self.kernel_manager.list_kernel_ids()
        states = await asyncio.gather(*(_state(self._app, each) for each in kernel_ids))
        self.set_header("Cache-Control", "no-store")
        kernels = dict(zip(kernel_ids, states, strict=True))
        self.finish({"version": __version__, "kernels": kernels})


async def _state(app: GPUViewServer, kernel_id: str) -> dict[str, Any]:
    """Ask one media process how it is."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await _ask(app, kernel_id)
    except Refused as refused:
        is_none = refused.code == CloseCode.NO_MEDIA_PROCESS
        return {"media_process": "none" if is_none else refused.reason}
    except (OSError, ValueError, TimeoutError):
        return {"media_process": "does not answer"}


async def _ask(app: GPUViewServer, kernel_id: str) -> dict[str, Any]:
    # To a connection that names no stream, the media process says how it is.
    media = await app.connect(kernel_id, stream="")
    try:
        async for _, content in media.messages():
            return {"media_process": "answers", "streams": _streams(json.loads(content))}
        raise ValueError("no answer")
    finally:
        media.close()


def _streams(health: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the ``Health`` message of `gpuview.protocol.media_messages`, which this package has not.

    Raises:
        ValueError: It is something else.
    """
    try:
        return [
            {"name": each["name"], "state": each["state"], "viewers": len(each["viewers"])}
            for each in health["streams"]
        ]
    except (KeyError, TypeError) as exc:
        raise ValueError("no health") from exc
