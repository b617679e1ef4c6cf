"""Tells each page with which STUN and TURN servers it is to connect."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gpuview.errors import SettingsError
from gpuview.protocol.messages import GetPeerConfig, PeerConfig, Refusal
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import ice_servers_for

__all__ = ["PeerConfigs"]

logger = logging.getLogger("gpuview")

_MAX_ASKING = 64


class PeerConfigs:
    """Answers `GetPeerConfig`: on the caller's thread, or on another if a user function is called.

    Args:
        settings: The stream's.
        send: Sends a custom message to the pages; called from any thread.
    """

    def __init__(self, settings: Settings, send: Callable[[PeerConfig | Refusal], None]) -> None:
        self._settings = settings
        self._send = send
        self._lock = threading.Lock()
        self._asking: set[str] = set()  # views whose servers are being asked for

    @property
    def are_needed(self) -> bool:
        """Whether pages must say `GetPeerConfig` before they connect."""
        settings = self._settings
        has_policy = settings.ice_transport_policy != "all"
        return settings.has_ice_servers or has_policy or settings.log == "debug"

    def hear(self, hello: GetPeerConfig) -> None:
        """Send the view its `PeerConfig`, or a `Refusal` that says why there is none; never waits.

        A page repeats its question until it is answered; meanwhile nobody is asked a second time.
        """
        if not callable(self._settings.ice_servers):
            self._answer(hello.view)
        elif self._begin(hello.view):
            name = f"gpuview-peer-config-{hello.view}"
            threading.Thread(target=self._ask, args=(hello.view,), name=name, daemon=True).start()

    def _begin(self, view: str) -> bool:
        """Tell whether nobody asks for this view yet. Those in excess will ask again."""
        with self._lock:
            if view in self._asking or len(self._asking) >= _MAX_ASKING:
                return False
            self._asking.add(view)
            return True

    def _ask(self, view: str) -> None:
        try:
            self._answer(view)
        finally:
            with self._lock:
                self._asking.discard(view)

    def _answer(self, view: str) -> None:
        try:
            self._send(self._peer_config(view))
        except SettingsError as exc:
            logger.warning("view %s cannot be told its ICE servers: %s", view, exc)
            self._send(_refusal(view, exc))

    def _peer_config(self, view: str) -> PeerConfig:
        return PeerConfig(
            view=view,
            ice_servers=list(ice_servers_for(self._settings, view)),
            ice_transport_policy=self._settings.ice_transport_policy,
            wants_log=self._settings.log == "debug",
        )


def _refusal(view: str, error: SettingsError) -> Refusal:
    return Refusal(view=view, seq=0, problem=error.problem, expected=error.expected, fix=error.fix)
