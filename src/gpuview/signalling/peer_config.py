"""Sends each page the STUN and TURN servers to connect with."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gpuview.errors import SettingsError
from gpuview.protocol.page_messages import GetPeerConfig, PeerConfig, Refusal
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import servers_with_logins

__all__ = ["PeerConfigs"]

logger = logging.getLogger("gpuview")

_MAX_PENDING = 64


class PeerConfigs:
    """Answers `GetPeerConfig`; what may take a while has a thread of its own.

    Args:
        settings: The stream's settings.
        send: Sends the reply on the page's way; called from any thread.
    """

    def __init__(self, settings: Settings, send: Callable[[PeerConfig | Refusal], None]) -> None:
        self._settings = settings
        self._send = send
        self._lock = threading.Lock()
        self._pending: set[str] = set()  # the views that a thread is fetching servers for

    @property
    def are_needed(self) -> bool:
        """Whether pages must send `GetPeerConfig` before they connect."""
        settings = self._settings
        has_policy = settings.ice_transport_policy != "all"
        return settings.has_ice_servers or has_policy or settings.log == "debug"

    def answer(self, message: GetPeerConfig) -> None:
        """Send the view its `PeerConfig`, or a `Refusal` with the reason. Never waits.

        A page repeats its request until it has the reply; a user's function or an endpoint is asked
        once.
        """
        view = message.view
        settings = self._settings
        if not callable(settings.ice_servers) and settings.turn_credentials_url is None:
            self._answer_view(view)
            return
        with self._lock:
            if view in self._pending or len(self._pending) >= _MAX_PENDING:
                return  # the page will repeat its request
            self._pending.add(view)
        name = f"gpuview-peer-config-{view}"
        threading.Thread(target=self._fetch, args=(view,), name=name, daemon=True).start()

    def _fetch(self, view: str) -> None:
        try:
            self._answer_view(view)
        finally:
            with self._lock:
                self._pending.discard(view)

    def _answer_view(self, view: str) -> None:
        settings = self._settings
        try:
            servers, problems = servers_with_logins(settings, view)
        except SettingsError as exc:
            logger.warning("cannot send view %s its ICE servers: %s", view, exc)
            parts = {"problem": exc.problem, "expected": exc.expected, "fix": exc.fix}
            self._send(Refusal(view=view, seq=0, **parts))
            return
        for each in problems:
            logger.warning("view %s connects with fewer servers: %s", view, each.problem)
        self._send(
            PeerConfig(
                view=view,
                ice_servers=list(servers),
                ice_transport_policy=settings.ice_transport_policy,
                wants_log=settings.log == "debug",
                problems=problems,
            )
        )
