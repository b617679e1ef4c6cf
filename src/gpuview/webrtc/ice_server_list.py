"""ICE servers in the W3C's form. Pure.

Source:
    W3C WebRTC section 4.2.4 (RTCIceServer).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuview.errors import SettingsError, closest
from gpuview.protocol.page_messages import IceServer
from gpuview.webrtc.ice_url import parse_ice_url

__all__ = ["parse_ice_servers"]

_KEYS = IceServer.__struct_fields__
_EXAMPLE = "turn:turn.example.org:3478?transport=udp"


def parse_ice_servers(value: object) -> tuple[IceServer, ...]:
    """Parse a list of ICE servers.

    Args:
        value: A list or tuple of `IceServer`, or of ``{"urls": str or list of str, "username": str,
            "credential": str}``, the last two for TURN only.

    Raises:
        SettingsError: It is not such a list, a key is unknown, a URL is malformed, or a TURN server
            has no username and credential.
    """
    if not isinstance(value, list | tuple):
        raise SettingsError(
            f"cannot read ICE servers from a value of type {type(value).__name__}",
            expected='a list such as [{"urls": "stun:stun.example.org"}]',
            fix="put [ ] around a single server",
        )
    return tuple(_parse_server(entry) for entry in value)


def _parse_server(entry: object) -> IceServer:
    known = isinstance(entry, IceServer)
    fields = {key: getattr(entry, key) for key in _KEYS} if known else entry
    if not isinstance(fields, Mapping):
        raise SettingsError(
            f"cannot read an ICE server from a value of type {type(entry).__name__}",
            expected='an object such as {"urls": "stun:stun.example.org"}',
            fix='put {"urls": ...} around the URL',
        )
    _refuse_unknown_keys(fields)
    urls = _parse_urls(fields.get("urls"))
    username, credential = _text(fields, "username"), _text(fields, "credential")
    if any(url.startswith("turn") for url in urls) and not (username and credential):
        raise SettingsError(
            f"cannot use {', '.join(urls)} without a username and a credential",
            expected="a TURN server with both",
            fix="add the TURN server's username and credential",
        )
    return IceServer(urls=urls, username=username, credential=credential)


def _refuse_unknown_keys(fields: Mapping[Any, object]) -> None:
    for key in fields:
        if key not in _KEYS:
            meant = closest(str(key), _KEYS)
            raise SettingsError(
                f"cannot read an ICE server with the key {key!r}",
                expected=f"only the keys {', '.join(_KEYS)}",
                fix=f"write {meant!r}" if meant else "leave it out",
            )


def _parse_urls(value: object) -> list[str]:
    urls = [value] if isinstance(value, str) else value
    if not isinstance(urls, list | tuple) or not urls:
        raise SettingsError(
            f"cannot read an ICE server with urls = {value!r}",
            expected="a URL, or a list of at least one",
            fix=f"write {_EXAMPLE!r}",
        )
    for url in urls:
        parse_ice_url(url)
    return list(urls)


def _text(fields: Mapping[Any, object], key: str) -> str | None:
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value
    # The value is not shown: it may be the credential.
    raise SettingsError(
        f"cannot read an ICE server whose {key} is of type {type(value).__name__}",
        expected="a string",
        fix=f"put quotes around the {key}",
    )
