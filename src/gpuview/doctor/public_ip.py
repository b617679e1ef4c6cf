"""The check "public IP": which addresses browsers receive, and are they right? Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gpuview.doctor.report import Check
from gpuview.settings import Settings
from gpuview.webrtc.addresses import is_private, parse_address

__all__ = ["first_of_each_family", "judge_public_ips"]

_NAME = "public IP"


def first_of_each_family(hosts: Sequence[str]) -> tuple[str, ...]:
    """Return the first IPv4 and the first IPv6 address."""
    first = {":" in host: host for host in reversed(hosts)}
    return tuple(first[is_ipv6] for is_ipv6 in sorted(first))


def judge_public_ips(settings: Settings, public_ips: Sequence[str], own_ip: str | None) -> Check:
    """Judge the public addresses.

    Args:
        settings: Their source.
        public_ips: The addresses that replace private addresses now.
        own_ip: This machine's address on the route to the internet; None without a network.
    """
    if public_ips:
        return _judge_known(settings, public_ips)
    if settings.learns_public_ip:
        found = "auto, but no STUN or TURN server has answered"
        return Check(_NAME, "fail", found, "fix the servers below, or set GPUVIEW_PUBLIC_IP")
    if own_ip is not None and not is_private(parse_address(own_ip)):
        return Check(_NAME, "ok", f"not needed: this machine is {own_ip}")
    sent = f"this machine's own address, {own_ip}" if own_ip else "no address: it has no network"
    found = f"not set; pages receive {sent}"
    if settings.has_ice_servers:
        return Check(_NAME, "ok", f"{found}, and the addresses from STUN and TURN servers")
    fix = "GPUVIEW_PUBLIC_IP or GPUVIEW_TURN_URL, if pages are opened outside this network"
    return Check(_NAME, "remark", found, fix)


def _judge_known(settings: Settings, public_ips: Sequence[str]) -> Check:
    origin = "" if settings.public_ips == tuple(public_ips) else f" ({settings.public_ip})"
    found = ", ".join(public_ips) + origin
    private = [host for host in public_ips if is_private(parse_address(host))]
    if not private:
        return Check(_NAME, "ok", found)
    fix = "nothing, if pages are opened in that network; else the address of the router"
    found += f": {', '.join(private)} is private, and only its own network reaches it"
    return Check(_NAME, "remark", found, fix)
