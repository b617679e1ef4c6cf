"""The URLs of STUN and TURN servers. Pure, and without the messages' library.

For a bad URL, a page's ``RTCPeerConnection`` throws without a reason. So they are parsed here, when
the settings are made.

Source:
    RFC 7064 (stun), RFC 7065 (turn).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal, cast

from gpuview.errors import SettingsError, closest
from gpuview.webrtc.addresses import is_host_name, parse_address

if TYPE_CHECKING:
    from gpuview.protocol.page_messages import IceServer

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_TLS_PORT",
    "IceServerUrl",
    "IceUrl",
    "parse_ice_url",
    "server_urls",
]

Scheme = Literal["stun", "stuns", "turn", "turns"]

_SCHEMES = ("stun", "stuns", "turn", "turns")
DEFAULT_PORT = 3478
DEFAULT_TLS_PORT = 5349
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
