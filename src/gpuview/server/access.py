"""Who may do what: the Jupyter server's own users and its authorizer decide."""

from __future__ import annotations

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

__all__ = ["check_access"]


async def check_access(handler: JupyterHandler, action: str, kernel_id: str | None = None) -> None:
    """Check that the user of this request may do something with kernels.

    Args:
        action: As for jupyter-server's authorizer: ``read`` to list kernels, ``execute`` to be
            connected to one.
        kernel_id: A kernel that must be one of this server's.

    Raises:
        tornado.web.HTTPError: 403 if the user may not, 404 if there is no such kernel.
    """
    user = handler.current_user
    if user is None:
        raise web.HTTPError(403)
    asked = handler.authorizer.is_authorized(handler, user, action, "kernels")
    if not await ensure_async(asked):
        raise web.HTTPError(403)
    if kernel_id is not None and kernel_id not in handler.kernel_manager:
        raise web.HTTPError(404, "this server has no such kernel")
