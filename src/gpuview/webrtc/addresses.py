"""IP addresses: which are private, and which can serve as a public address.

The internet does not route private addresses. `ipaddress.is_private` means something else: it also
covers the documentation ranges, which the tests use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

from gpuview.errors import SettingsError

__all__ = [
    "PRIVATE_RANGES",
    "IPAddress",
    "is_host_name",
    "is_private",
    "parse_address",
    "public_addresses",
]

IPAddress: TypeAlias = IPv4Address | IPv6Address

# js/src/private_ranges.ts is generated from this.
PRIVATE_RANGES = (
    "0.0.0.0/8",
    "10.0.0.0/8",  # RFC 1918
    "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local
    "172.16.0.0/12",  # RFC 1918
    "192.0.0.0/24",  # 464XLAT on phones, RFC 7335
    "192.168.0.0/16",  # RFC 1918
    "::/128",
    "::1/128",
    "fc00::/7",  # unique local
    "fe80::/10",  # link-local
)
"""The networks to which the internet does not route."""
_PRIVATE_NETWORKS = [ip_network(text) for text in PRIVATE_RANGES]

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9.])?")


def parse_address(text: str) -> IPAddress | None:
    """Return the address, or None if the text is something else, such as a host name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_host_name(text: str) -> bool:
    """Tell whether the text may be a host name. Text of digits and dots only is not."""
    is_numeric = text.replace(".", "").isdigit()
    return _HOST_NAME.fullmatch(text) is not None and len(text) <= 253 and not is_numeric


def is_private(address: IPAddress | None) -> bool:
    """Tell whether ``address`` is in one of `PRIVATE_RANGES`; a host name (None) is not."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address is not None and any((mapped or address) in each for each in _PRIVATE_NETWORKS)


def public_addresses(public_ips: Iterable[str]) -> dict[int, IPAddress]:
    """Return the addresses by their IP version, 4 and 6.

    Private addresses are allowed: all viewers may be on this machine or in its network.

    Raises:
        SettingsError: A text is not a host's address, or two addresses have the same version.
    """
    by_version: dict[int, IPAddress] = {}
    for text in public_ips:
        address = parse_address(text)
        if address is None or not _is_of_a_host(address):
            raise SettingsError(
                f"cannot use public_ip = {text!r}",
                expected="an IPv4 address, an IPv6 address, one of each, or a host name",
                fix="give the address under which browsers reach this host, such as 203.0.113.9",
            )
        if address.version in by_version:
            raise SettingsError(
                f"cannot use both {by_version[address.version]} and {address} as public_ip",
                expected="at most one IPv4 and one IPv6 address",
                fix=f"keep one of the two IPv{address.version} addresses",
            )
        by_version[address.version] = address
    return by_version


def _is_of_a_host(address: IPAddress) -> bool:
    """Tell whether another machine can send to ``address``."""
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        return False  # valid on this machine only
    return not (address.is_unspecified or address.is_multicast)
