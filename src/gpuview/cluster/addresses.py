"""Where a worker on another machine may reach this one."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

from gpuview.settings import Settings

__all__ = ["endpoints_of", "ipv6_addresses_in", "own_addresses"]

_SIOCGIFADDR = 0x8915
_IPV6_TABLE = Path("/proc/net/if_inet6")
_GLOBAL = 0x00  # of a link, a site and loopback have other scopes
_TEMPORARY, _DAD_FAILED, _DEPRECATED, _TENTATIVE = 0x01, 0x08, 0x20, 0x40  # see linux/if_addr.h
_MOST_OF_A_FAMILY = 12
_MOST_GIVEN = 16


def endpoints_of(settings: Settings, port: int) -> list[str]:
    """Return where workers dial, as ``tcp://HOST:PORT``, in the order in which they do.

    Loopback comes last: it is for workers on this machine, and for those that have an ``ssh -L``
    beside them. Whatever else listens there is of no harm, as it lacks the notebook's key.
    """
    hosts = list(settings.cluster_hosts[:_MOST_GIVEN]) or own_addresses()
    return [f"tcp://{_bracketed(host)}:{port}" for host in _unique([*hosts, "127.0.0.1"])]


def own_addresses() -> list[str]:
    """Return this machine's IPv4 addresses, one for each interface, and then its IPv6 addresses."""
    ipv6: list[str] = []
    with contextlib.suppress(OSError):  # a system that has no IPv6
        ipv6 = ipv6_addresses_in(_IPV6_TABLE.read_text())
    return [*_own_ipv4_addresses()[:_MOST_OF_A_FAMILY], *ipv6[:_MOST_OF_A_FAMILY]]


def ipv6_addresses_in(table: str) -> list[str]:
    """Return the IPv6 addresses that will still lead to this machine for as long as a job may run.

    Pure.

    Args:
        table: As in ``/proc/net/if_inet6``: address, interface, prefix, scope, flags and name.
    """
    found = []
    for line in table.splitlines():
        address, _, _, scope, flags, _ = line.split()
        unusable = _TEMPORARY | _DAD_FAILED | _DEPRECATED | _TENTATIVE
        if int(scope, 16) == _GLOBAL and not int(flags, 16) & unusable:
            found.append(str(IPv6Address(int(address, 16))))
    return found


def _own_ipv4_addresses() -> list[str]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):  # it has none
                reply = fcntl.ioctl(sock, _SIOCGIFADDR, request)
                found.append(socket.inet_ntoa(reply[20:24]))
    return [each for each in found if not each.startswith("127.")]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _unique(hosts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(hosts))
