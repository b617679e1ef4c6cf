"""Which addresses browsers are told, and whether they are the right ones. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gpuview.doctor.report import Check
from gpuview.settings import Settings
from gpuview.webrtc.addresses import is_private, parse_address

__all__ = ["judge_public_ips", "learnt"]

_NAME = "public IP"


def learnt(mapped: Sequence[str]) -> tuple[str, ...]:
    """Return the first address of each family that a STUN server sees."""
    first = {":" in host: host for host in reversed(mapped)}
    return tuple(first[is_ipv6] for is_ipv6 in sorted(first))


def judge_public_ips(settings: Settings, public_ips: Sequence[str], own_ip: str | None) -> Check:
    """Say what the addresses are good for.

    Args:
        settings: Where they come from.
        public_ips: The addresses that take the place of private ones, now.
        own_ip: This machine's, towards the internet; None without a network.
    """
    if public_ips:
        return _judge_known(settings, public_ips)
    if settings.learns_public_ip:
        found = "auto, and no STUN or TURN server has told it"
        return Check(_NAME, "fail", found, "mend the servers below, or set GPUVIEW_PUBLIC_IP")
    if own_ip is not None and not is_private(parse_address(own_ip)):
        return Check(_NAME, "ok", f"not needed: this machine is {own_ip}")
    found = (
        f"not set; pages are told this machine's own address, {own_ip or 'of which it has none'}"
    )
    if settings.has_ice_servers:
        return Check(_NAME, "ok", f"{found}, and what STUN and TURN servers give")
    fix = "GPUVIEW_PUBLIC_IP or GPUVIEW_TURN_URL, if pages are opened outside this network"
    return Check(_NAME, "remark", found, fix)


def _judge_known(settings: Settings, public_ips: Sequence[str]) -> Check:
    text = ", ".join(public_ips)
    origin = "" if settings.public_ips == tuple(public_ips) else f" ({settings.public_ip})"
    private = [host for host in public_ips if is_private(parse_address(host))]
    if not private:
        return Check(_NAME, "ok", text + origin)
    found = f"{text}{origin}: {', '.join(private)} is private, which only its own network reaches"
    fix = "nothing, if pages are opened in that network; else the address of the router"
    return Check(_NAME, "remark", found, fix)
