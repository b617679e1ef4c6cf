"""The UDP sockets, which reply from the address that a datagram was sent to.

A browser accepts replies only from the address that it sent to. But a socket bound to all addresses
sends from the address that the routing table prefers. If the two differ, each datagram has to name
its source (IP_PKTINFO).
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Sequence

from gpuview.errors import NetworkError
from gpuview.media.ice.port_holders import describe_holders, holders

__all__ = [
    "ALL_HOSTS",
    "ANCILLARY_NBYTES",
    "Address",
    "Ancillary",
    "bind_sockets",
    "destination_host",
    "family_of",
    "own_ipv4",
    "preferred_source",
    "source_of",
]

Address = tuple[str, int]
Ancillary = list[tuple[int, int, bytes]]

ALL_HOSTS = ("0.0.0.0", "::")

ANCILLARY_NBYTES = socket.CMSG_SPACE(20)
"""The space for a packet info in ``recvmsg``: struct in6_pktinfo, the larger of the two."""

_BUFFER_NBYTES = 4 * 1024 * 1024  # a keyframe for ten viewers leaves in one burst
_ANY_PORT_TRIES = 16  # a free IPv4 port may be taken over IPv6
_IP_PKTINFO = 8  # linux/in.h; Python has no name for it
_INTERNET = ("192.0.2.1", 9)  # any address out there; nothing is sent to it


def bind_sockets(
    port_min: int | None, port_max: int | None, hosts: Sequence[str] = ALL_HOSTS
) -> list[socket.socket]:
    """Bind the first free UDP port of a range.

    Args:
        port_min: Lowest port, 1 to 65535; None for any free port.
        port_max: Highest port, included.
        hosts: The addresses to bind, one for each family. IPv6 is left out on a machine without
            IPv6, unless there is no other address.

    Returns:
        One or two non-blocking sockets with the same port, in the order of ``hosts``.

    Raises:
        NetworkError: No port of the range is free.
    """
    bindable = [host for host in hosts if ":" not in host or _has_ipv6()] or list(hosts)
    if port_min is None or port_max is None:
        ports: Sequence[int] = [0] * _ANY_PORT_TRIES
    else:
        ports = range(port_min, port_max + 1)
    error: OSError | None = None
    for port in ports:
        try:
            return _bind_port(bindable, port)
        except OSError as exc:
            error = exc
    if port_min is None or port_max is None:
        raise NetworkError(
            f"no UDP port could be bound: {error}",
            expected="a port that is free over IPv4 and IPv6",
            fix="find the processes that hold them: ss -lunp",
        )
    held_by = describe_holders(holders(port_min, port_max))
    raise NetworkError(
        f"no UDP port from {port_min} to {port_max} is free; "
        f"they are held by {held_by or 'a process that cannot be seen from here'}",
        expected="one free port for each kernel that shows a stream",
        fix="shut down a kernel that is not needed, or widen GPUVIEW_PORT_MIN to GPUVIEW_PORT_MAX "
        "and forward the new ports too",
    )


def _bind_port(hosts: Sequence[str], port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as opened:
        sockets: list[socket.socket] = []
        for host in hosts:
            sock = opened.enter_context(socket.socket(family_of(host), socket.SOCK_DGRAM))
            _set_options(sock)
            sock.bind((host, port))
            port = sock.getsockname()[1]
            sockets.append(sock)
        opened.pop_all()
        return sockets


def _set_options(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_NBYTES)
    sock.setblocking(False)


def _has_ipv6() -> bool:
    """Tell whether a socket can be bound to the IPv6 loopback; IPv6 may be disabled."""
    try:
        (sock,) = _bind_port(["::1"], 0)
    except OSError:
        return False
    sock.close()
    return True


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def destination_host(ancillary: Ancillary) -> str:
    """Return the local address that a datagram was sent to."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return socket.inet_ntop(socket.AF_INET, data[8:12])
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return socket.inet_ntop(socket.AF_INET6, data[:16])
    raise ValueError("a datagram came without its packet info")


def source_of(local: str) -> Ancillary:
    """Return the ancillary data with which ``sendmsg`` sends from ``local``."""
    packed = ipaddress.ip_address(local).packed
    if len(packed) == 4:
        # struct in_pktinfo: the interface (any), the source, and a field used only for receiving.
        return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4x", 0, packed))]
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16si", packed, 0))]


def own_ipv4() -> str | None:
    """Return this machine's IPv4 address on the route to the internet; None without a route."""
    return preferred_source(socket.AF_INET, _INTERNET)


def preferred_source(family: int, address: Address) -> str | None:
    """Return the local address that the routing table would send from; None without a route."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(address)  # sends nothing
        except OSError:
            return None
        return str(probe.getsockname()[0])
