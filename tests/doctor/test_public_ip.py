"""Which addresses browsers are told."""

from __future__ import annotations

import pytest

from gpuview.doctor.public_ip import first_of_each_family, judge_public_ips
from gpuview.settings import Settings

LAN = "192.168.1.5"
STUN = "stun:stun.example.org"


def test_first_address_of_each_family_is_taken() -> None:
    mapped = ["203.0.113.9", "2001:db8::9", "203.0.113.77", "2001:db8::77"]
    assert first_of_each_family(mapped) == ("203.0.113.9", "2001:db8::9")
    assert first_of_each_family([]) == ()


@pytest.mark.parametrize(
    ("settings", "public_ips", "own_ip", "mark", "found"),
    [
        ({"public_ip": "203.0.113.9"}, ["203.0.113.9"], LAN, "ok", "203.0.113.9"),
        ({"public_ip": "gpu.example"}, ["203.0.113.9"], LAN, "ok", "203.0.113.9 (gpu.example)"),
        ({"public_ip": "10.1.2.3"}, ["10.1.2.3"], LAN, "remark", "10.1.2.3 is private"),
        ({"public_ip": "auto", "stun_url": STUN}, ["203.0.113.9"], LAN, "ok", "(auto)"),
        ({"public_ip": "auto", "stun_url": STUN}, [], LAN, "fail", "no STUN or TURN server"),
        ({}, [], "203.0.113.9", "ok", "not needed: this machine is 203.0.113.9"),
        ({}, [], LAN, "remark", f"this machine's own address, {LAN}"),
        ({}, [], None, "remark", "no address: it has no network"),
        ({"stun_url": STUN}, [], LAN, "ok", "and the addresses from STUN and TURN servers"),
    ],
)
def test_public_ip_is_judged(
    settings: dict[str, str], public_ips: list[str], own_ip: str | None, mark: str, found: str
) -> None:
    check = judge_public_ips(Settings(**settings), public_ips, own_ip)  # type: ignore[arg-type]
    assert check.mark == mark
    assert found in check.found
    assert bool(check.fix) == (mark in ("fail", "remark"))
