"""IP addresses: which ones are private, and which ones can be given as public.

Private is what the internet does not route: RFC 1918, RFC 6598 (100.64/10), link-local,
unique-local, loopback and unspecified. `ipaddress.is_private` counts the documentation ranges as
well, on which tests live.
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
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)
_PRIVATE_NETWORKS = [ip_network(text) for text in PRIVATE_RANGES]

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9.])?")


def parse_address(text: str) -> IPAddress | None:
    """Return the address, or None where the text is none, such as a host name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_host_name(text: str) -> bool:
    """Tell whether the text may be a host's name. What has digits only is an address or nothing."""
    is_numeric = text.replace(".", "").isdigit()
    return _HOST_NAME.fullmatch(text) is not None and len(text) <= 253 and not is_numeric


def is_private(address: IPAddress) -> bool:
    """Tell whether the internet does not route to ``address``."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((mapped or address) in network for network in _PRIVATE_NETWORKS)


def public_addresses(public_ips: Iterable[str]) -> dict[int, IPAddress]:
    """Return the addresses by their IP version, 4 and 6.

    A private one is taken as well: all viewers may be on this machine, or in its network.

    Raises:
        SettingsError: One is no address of a host, or there are two of a family.
    """
    by_version: dict[int, IPAddress] = {}
    for text in public_ips:
        address = parse_address(text)
        if address is None or not _is_of_a_host(address):
            raise SettingsError(
                f"cannot use public_ip = {text!r}",
                expected="an IPv4 address, an IPv6 address, one of each, or a host's name",
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
        return False  # good on this machine only
    return not (address.is_unspecified or address.is_multicast)
