"""What the service counts, at ``metrics``. No user's name is in it."""

from __future__ import annotations

from prometheus_client import Counter

__all__ = ["LOGINS", "REFUSED"]

LOGINS = Counter("gpuview_turn_logins", "TURN logins that were made")
REFUSED = Counter("gpuview_turn_refused", "Requests for a TURN login, by HTTP status", ["status"])
