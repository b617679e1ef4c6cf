"""Logins for TURN servers that are made from a shared secret. Pure."""

from __future__ import annotations

import base64
import hmac

__all__ = ["ephemeral_credentials"]


def ephemeral_credentials(secret: str, user: str, now_s: float, ttl_s: int) -> tuple[str, str]:
    """Make a username and a credential that a TURN server accepts for a limited time.

    The server checks them with the shared secret: coturn's ``use-auth-secret``.

    Args:
        secret: coturn's ``static-auth-secret``.
        user: The name in the server's log.
        now_s: The present, in seconds since 1970.
        ttl_s: How long they are valid.

    Source:
        draft-uberti-behave-turn-rest-00.
    """
    username = f"{int(now_s) + ttl_s}:{user}"
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    return username, base64.b64encode(digest).decode()
