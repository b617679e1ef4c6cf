"""Host names without a name server: asking for one may be slow without a network."""

from __future__ import annotations

import socket

import pytest

__all__ = ["resolve_nothing"]


def resolve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every host name unknown; addresses still resolve to themselves."""
    resolve = socket.getaddrinfo

    def numeric_only(host: object, port: object, *args: object, **options: object) -> object:
        options["flags"] = socket.AI_NUMERICHOST
        return resolve(host, port, *args[:3], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", numeric_only)
