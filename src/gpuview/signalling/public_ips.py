"""The public addresses in the settings, with host names resolved."""

from __future__ import annotations

import socket
from functools import partial

from gpuview.errors import SettingsError
from gpuview.settings import Settings
from gpuview.signalling.time_limit import call_within
from gpuview.webrtc.addresses import IPAddress, parse_address, public_addresses

__all__ = ["addresses_of", "public_ips_of"]

_RESOLVE_S = 2.0


def public_ips_of(settings: Settings) -> tuple[str, ...]:
    """Return the public addresses, at most one of each family. An address wins over a name.

    Waits for the resolver, at most 2 s for each name.

    Raises:
        SettingsError: A name does not resolve.
    """
    addresses = [text for text in settings.public_ips if parse_address(text)]
    by_version = public_addresses(addresses)
    for name in settings.public_ips:
        if name not in addresses:
            by_version = addresses_of(name) | by_version
    return tuple(str(by_version[version]) for version in sorted(by_version))


def addresses_of(host: str, *, timeout_s: float = _RESOLVE_S) -> dict[int, IPAddress]:
    """Resolve a host name.

    Returns:
        One address of each family, by IP version, 4 or 6; the same address every time.

    Raises:
        SettingsError: It does not resolve, or not in time.
    """
    try:
        found = call_within(timeout_s, partial(_look_up, host))
    except (OSError, UnicodeError) as exc:  # an Overdue is an OSError
        raise SettingsError(
            f"cannot find the address of {host!r}: {exc}",
            expected="a host name that resolves on this machine",
            fix="give the address itself, such as 203.0.113.9",
        ) from None
    return {address.version: address for address in sorted(found, key=lambda each: each.packed)}


def _look_up(host: str) -> list[IPAddress]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    addresses = [parse_address(str(sockaddr[0])) for *_, sockaddr in found]
    return [address for address in addresses if address is not None]
