"""ICE servers in the W3C's form, and their URLs. Pure.

For a bad URL, a page's ``RTCPeerConnection`` throws without a reason. So the servers are parsed
here, when the settings are made.

Source:
    W3C WebRTC section 4.2.4 (RTCIceServer); RFC 7064 (stun), RFC 7065 (turn).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal, cast

from gpuview.errors import SettingsError, closest
from gpuview.protocol.page_messages import IceServer
from gpuview.webrtc.addresses import is_host_name, parse_address

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_TLS_PORT",
    "IceServerUrl",
    "IceUrl",
    "parse_ice_servers",
    "parse_ice_url",
    "server_urls",
]

Scheme = Literal["stun", "stuns", "turn", "turns"]

_SCHEMES = ("stun", "stuns", "turn", "turns")
DEFAULT_PORT = 3478
DEFAULT_TLS_PORT = 5349
_KEYS = IceServer.__struct_fields__
_EXAMPLE = "turn:turn.example.org:3478?transport=udp"

_URL = re.compile(
    r"(?P<scheme>[^:]*):(?P<host>\[[^\]]*\]|[^:?]*)(?::(?P<port>[^?]*))?"
    r"(?:\?(?P<query>transport=(?P<transport>udp|tcp)|.*))?"
)


@dataclass(frozen=True, slots=True)
class IceUrl:
    """The URL of a STUN or TURN server, with defaults for its missing parts."""

    scheme: Scheme
    host: str
    """A name or an address; IPv6 without brackets."""
    port: int
    transport: Literal["udp", "tcp"]
    """The transport to the server; ``stuns`` and ``turns`` add TLS on top."""

    @property
    def is_turn(self) -> bool:
        """Whether it is the URL of a TURN server."""
        return self.scheme in ("turn", "turns")

    @property
    def is_secure(self) -> bool:
        """Whether the connection to the server uses TLS."""
        return self.scheme in ("stuns", "turns")

    @property
    def is_for_browsers_only(self) -> bool:
        """Whether the kernel's side cannot use it: STUN over TLS, TURN over DTLS."""
        return self.is_secure and (not self.is_turn or self.transport == "udp")


@dataclass(frozen=True, slots=True)
class IceServerUrl:
    """One URL of an ICE server, with its login."""

    text: str
    """The URL as it was configured."""
    url: IceUrl
    login: tuple[str, str] = field(default=("", ""), repr=False)
    """User name and credential; empty for STUN."""


def server_urls(servers: Iterable[IceServer]) -> list[IceServerUrl]:
    """Return the URLs of all servers. The same server with the same login comes once.

    Raises:
        SettingsError: A URL is malformed.
    """
    found: dict[tuple[IceUrl, tuple[str, str]], IceServerUrl] = {}
    for server in servers:
        login = (server.username or "", server.credential or "")
        for text in server.urls:
            url = parse_ice_url(text)
            each = IceServerUrl(text, url, login if url.is_turn else ("", ""))
            found.setdefault((url, each.login), each)
    return list(found.values())


def parse_ice_url(url: str) -> IceUrl:
    """Parse the URL of a STUN or TURN server.

    Args:
        url: Such as ``turn:turn.example.org:3478?transport=udp``.

    Raises:
        SettingsError: It is malformed.
    """
    scheme, host, port, transport = _match_url(url).group("scheme", "host", "port", "transport")
    is_secure = scheme in ("stuns", "turns")
    return IceUrl(
        scheme=cast(Scheme, scheme),
        host=host.strip("[]"),
        port=int(port or (DEFAULT_TLS_PORT if is_secure else DEFAULT_PORT)),
        transport=cast(Literal["udp", "tcp"], transport or ("tcp" if is_secure else "udp")),
    )


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
    return [_match_url(url).string for url in urls]


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


def _match_url(url: object) -> re.Match[str]:
    """Match the parts of a valid ICE server URL."""
    if not isinstance(url, str):
        raise _bad_url(url, "it is not a string", f"write {_EXAMPLE!r}")
    if "@" in url:
        # The part before it may be a password, so it is not repeated.
        raise _bad_url("...@...", "these URLs have no @", "use username and credential")
    match = _URL.fullmatch(url)
    scheme = "" if match is None else match["scheme"]
    if match is None or scheme not in _SCHEMES:
        meant = closest(scheme.lower(), _SCHEMES)
        fix = f"write {meant + url[len(scheme) :]!r}" if meant else "put stun: or turn: before it"
        raise _bad_url(url, f"{scheme = }", fix)
    host, port, query = match.group("host", "port", "query")
    if host.startswith("//"):
        raise _bad_url(url, "these URLs have no //", f"write {url.replace('//', '', 1)!r}")
    if not _is_host(host):
        raise _bad_url(url, f"{host = }", "write a host name or address, IPv6 in [ ]")
    if port is not None and not _is_port(port):
        raise _bad_url(url, f"{port = }", "write a port from 1 to 65535, IPv6 addresses in [ ]")
    if query is not None and not _is_query(scheme, query):
        fix = "write ?transport=udp or ?transport=tcp" if scheme[0] == "t" else "leave out the ?"
        raise _bad_url(url, f"{query = }", fix)
    return match


def _is_host(host: str) -> bool:
    if host.startswith("["):
        return isinstance(parse_address(host[1:-1]), IPv6Address)
    return is_host_name(host) or isinstance(parse_address(host), IPv4Address)


def _is_port(port: str) -> bool:
    return port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535


def _is_query(scheme: str, query: str) -> bool:
    return scheme.startswith("turn") and query in ("transport=udp", "transport=tcp")


def _bad_url(url: object, why: str, fix: str) -> SettingsError:
    return SettingsError(
        f"cannot use the ICE server {url!r}: {why}",
        expected=f"a URL such as 'stun:stun.example.org' or {_EXAMPLE!r}",
        fix=fix,
    )
