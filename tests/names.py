"""Host names without a name server, which may be slow where there is none."""

from __future__ import annotations

import socket

import pytest

__all__ = ["resolve_nothing"]


def resolve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no host name have an address, and addresses be themselves."""
    resolve = socket.getaddrinfo

    def numeric_only(host: object, port: object, *args: object, **options: object) -> object:
        options["flags"] = socket.AI_NUMERICHOST
        return resolve(host, port, *args[:3], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", numeric_only)
