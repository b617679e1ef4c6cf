"""The service's routes. The Hub says who asks, and what that user may do."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.web import HTTPError, RequestHandler

from gpuview import __version__
from gpuview.hub.metrics import LOGINS, REFUSED
from gpuview.webrtc.ephemeral_credentials import ephemeral_credentials

if TYPE_CHECKING:
    from gpuview.hub.app import GPUViewHub

__all__ = ["CredentialsHandler", "HealthHandler", "MetricsHandler", "NotFoundHandler", "login_name"]

_METRICS_SCOPE = "read:metrics"  # as for the Hub's own
_MAX_NAME_CHARS = 256  # a STUN USERNAME has less than 509 bytes (RFC 8489)


class Handler(RequestHandler):
    """Answers in JSON, and for nobody's cache."""

    def initialize(self, app: GPUViewHub) -> None:
        self.app = app

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a sentence; never with a traceback."""
        _, exc, _ = kwargs.get("exc_info", (None, None, None))
        message = exc.log_message if isinstance(exc, HTTPError) else None
        self.finish({"status": status_code, "message": message or self._reason})

    async def user_with(self, scope: str) -> dict[str, Any]:
        """Return the Hub's model of whoever sent this request's token.

        Raises:
            tornado.web.HTTPError: 403 if the Hub does not know the token, or it lacks the scope;
                503 if the Hub does not answer.
        """
        hub = self.app.hub_auth
        token = hub.get_token(self, in_cookie=False)
        if not token:
            raise HTTPError(403, "send the token of a user's server: Authorization: Bearer ...")
        try:
            user: dict[str, Any] | None = await hub.user_for_token(token, sync=False)
        except HTTPError as exc:
            raise HTTPError(503, "the Hub does not answer") from exc
        if user is None:
            raise HTTPError(403, "the Hub does not know this token")
        if not hub.check_scopes({scope}, user):
            raise HTTPError(403, f"this token has not the scope {scope}")
        return user


class CredentialsHandler(Handler):
    """``?service=turn``, as the TURN REST form asks.

    The login has the Hub's name of the user, whatever ``username`` is in the query: coturn's
    ``user-quota`` counts by that name, and its log tells it.
    """

    async def get(self) -> None:
        """Answer with a login for the TURN server, and its URLs."""
        if self.get_query_argument("service", "turn") != "turn":
            raise HTTPError(400, "service must be turn")
        user = await self.user_with(self.app.scope)
        if user.get("kind") != "user":
            raise HTTPError(403, "logins are for users, and this is the token of a service")
        name = str(user["name"])
        if self.app.limits.stops(name, time.monotonic()):
            self.set_header("Retry-After", str(math.ceil(60 / self.app.requests_per_minute)))
            raise HTTPError(429, f"more than {self.app.requests_per_minute} requests a minute")
        self.finish(self._login(name))
        LOGINS.inc()

    def _login(self, name: str) -> dict[str, Any]:
        ttl_s = self.app.ttl_s
        username, password = ephemeral_credentials(
            self.app.secret, login_name(name), time.time(), ttl_s
        )
        uris = self.app.turn_urls
        return {"username": username, "password": password, "ttl": ttl_s, "uris": uris}

    def on_finish(self) -> None:
        """Count a request that was refused."""
        if self.get_status() >= 400:
            REFUSED.labels(self.get_status()).inc()


def login_name(name: str) -> str:
    """Return a Hub user's name in letters that a line of coturn's log can hold."""
    return quote(name, safe="@+ ")[:_MAX_NAME_CHARS]


class HealthHandler(Handler):
    """``health``, for anybody: whether the service runs, and its version."""

    def get(self) -> None:
        self.finish({"status": "ok", "version": __version__})


class MetricsHandler(Handler):
    """``metrics``, for whoever may read the Hub's own."""

    async def get(self) -> None:
        await self.user_with(_METRICS_SCOPE)
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest())


class NotFoundHandler(Handler):
    """Any other path."""

    def prepare(self) -> None:
        raise HTTPError(404)
