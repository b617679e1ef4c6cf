"""Where workers may reach this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuview.cluster import addresses
from gpuview.cluster.addresses import endpoints_of, ipv6_addresses_in, own_addresses
from gpuview.settings import Settings

# As Linux prints it: an address of a link, loopback, two that stay, and four that do not.
TABLE = """\
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
20010db8000300000000000000000020 04 40 00 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0
20010db8000300000000000000000021 04 40 00 01     eth0
20010db8000300000000000000000022 04 40 00 60     eth0
20010db8000300000000000000000023 04 40 00 40     eth0
20010db8000300000000000000000024 04 40 00 c8     eth0
"""


def test_an_address_of_ipv6_is_offered_if_it_leads_here_for_long() -> None:
    assert ipv6_addresses_in(TABLE) == ["2001:db8:3::20", "fd00::2"]
    assert ipv6_addresses_in("") == []


def test_ipv4_is_dialled_first_and_loopback_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "if_inet6").write_text(TABLE)
    monkeypatch.setattr(addresses, "_IPV6_TABLE", tmp_path / "if_inet6")
    monkeypatch.setattr(addresses, "_own_ipv4_addresses", lambda: ["192.0.2.2"])
    assert endpoints_of(Settings(), 40123) == [
        "tcp://192.0.2.2:40123",
        "tcp://[2001:db8:3::20]:40123",
        "tcp://[fd00::2]:40123",
        "tcp://127.0.0.1:40123",
    ]


def test_a_machine_without_ipv6_offers_ipv4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "_IPV6_TABLE", tmp_path / "no such file")
    monkeypatch.setattr(addresses, "_own_ipv4_addresses", lambda: ["192.0.2.2"])
    assert own_addresses() == ["192.0.2.2"]


def test_a_machine_with_many_addresses_offers_some_of_both_families(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"20010db80003000000000000000000{n:02x} 04 40 00 80 eth0" for n in range(40)]
    (tmp_path / "if_inet6").write_text("\n".join(lines))
    monkeypatch.setattr(addresses, "_IPV6_TABLE", tmp_path / "if_inet6")
    monkeypatch.setattr(
        addresses, "_own_ipv4_addresses", lambda: [f"10.0.0.{n}" for n in range(40)]
    )
    offered = endpoints_of(Settings(), 40123)
    assert sum("[" in each for each in offered) == 12
    assert sum("//10." in each for each in offered) == 12
    assert offered[-1] == "tcp://127.0.0.1:40123"
