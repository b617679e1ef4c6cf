"""The service itself: its configuration, and its HTTP server."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from jupyterhub.services.auth import HubAuth
from tornado.httpserver import HTTPServer
from tornado.web import Application as WebApplication
from tornado.web import RequestHandler
from traitlets import Int, Unicode, default
from traitlets.config import Application

from gpuview.errors import GpuviewError
from gpuview.hub.configuration import cannot_listen, parse_turn_urls, place, read_secret
from gpuview.hub.handlers import (
    CredentialsHandler,
    HealthHandler,
    MetricsHandler,
    NotFoundHandler,
)
from gpuview.hub.user_limits import UserLimits

__all__ = ["GPUViewHub"]

_MAX_HEADER_NBYTES = 32 * 1024
_MAX_BODY_NBYTES = 1024
_IDLE_S = 60.0
# A token that the Hub has withdrawn is good for no longer.
_TOKEN_KEPT_S = 60


class GPUViewHub(Application):
    """Makes TURN logins for users of a JupyterHub."""

    name = "gpuview-hub"
    description = __doc__
    classes = [HubAuth]  # noqa: RUF012 - traitlets' own way
    aliases = {  # noqa: RUF012
        "config": "GPUViewHub.config_file",
        "turn-url": "GPUViewHub.turn_url",
        "secret-file": "GPUViewHub.secret_file",
        "ttl": "GPUViewHub.ttl_s",
        "ip": "GPUViewHub.ip",
    }

    config_file = Unicode("", help="A Python file with more configuration.").tag(config=True)

    turn_url = Unicode(
        help="The TURN server: turn:turn.example.org:3478?transport=udp. Several URLs of one "
        "server have commas between them. Default: the environment's TURN_URL."
    ).tag(config=True)

    secret_file = Unicode(
        help="The file with coturn's static-auth-secret, which only the Hub's user can read. "
        "Default: the environment's TURN_SECRET_FILE; or else TURN_SECRET is the secret itself."
    ).tag(config=True)

    ip = Unicode(
        help="The address to listen at. Default: that of the service's URL, which may be another "
        "machine's name for this one."
    ).tag(config=True)

    ttl_s = Int(
        3600,
        min=60,
        max=86400,
        help="How many seconds a login is valid. A connection that it has opened goes on after.",
    ).tag(config=True)

    requests_per_minute = Int(
        60, min=1, help="How many logins a user may get at once, and a minute after that."
    ).tag(config=True)

    scope = Unicode(
        "custom:gpuview:turn", help="The scope that a token must have to get a login."
    ).tag(config=True)

    @default("turn_url")
    def _turn_url_default(self) -> str:
        return os.environ.get("TURN_URL", "")

    @default("secret_file")
    def _secret_file_default(self) -> str:
        return os.environ.get("TURN_SECRET_FILE", "")

    @default("log_level")
    def _log_level_default(self) -> int:
        return logging.INFO

    def initialize(self, argv: list[str] | None = None) -> None:
        """Read the configuration, and end the process with a sentence if it cannot be used."""
        super().initialize(argv)
        if self.config_file:
            self.load_config_file(self.config_file)
            self.parse_command_line(argv)  # which wins
        try:
            self.secret = read_secret(self.secret_file, os.environ)
            self.turn_urls = parse_turn_urls(self.turn_url)
            self.prefix, self.host, self.port = place(os.environ)
        except GpuviewError as exc:
            sys.exit(f"gpuview.hub: {exc}")
        self.limits = UserLimits(self.requests_per_minute)
        self.hub_auth = HubAuth(parent=self, cache_max_age=_TOKEN_KEPT_S)

    def start(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = HTTPServer(
            self.web_application(),
            max_header_size=_MAX_HEADER_NBYTES,
            max_body_size=_MAX_BODY_NBYTES,
            idle_connection_timeout=_IDLE_S,
        )
        host = self.ip or self.host
        try:
            server.listen(self.port, host)
        except OSError as exc:
            sys.exit(f"gpuview.hub: {cannot_listen(host, self.port, exc)}")
        self.log.info("TURN logins for %s at %s", ", ".join(self.turn_urls), self.prefix)
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    def web_application(self) -> WebApplication:
        """Return the routes below the service's prefix."""
        given = {"app": self}
        return WebApplication(
            [
                (self.prefix, CredentialsHandler, given),
                (f"{self.prefix}health", HealthHandler, given),
                (f"{self.prefix}metrics", MetricsHandler, given),
            ],
            default_handler_class=NotFoundHandler,
            default_handler_args=given,
            log_function=self._log_request,
        )

    def _log_request(self, handler: RequestHandler) -> None:
        # Without the query, where some clients put a key.
        status, path = handler.get_status(), handler.request.path
        level = logging.DEBUG if status < 400 else logging.WARNING
        self.log.log(level, "%d %s %.60r", status, handler.request.method, path)
