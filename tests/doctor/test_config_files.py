"""Configurations for other programs, read by those programs."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuview.doctor.clients import allocation, open_stun_client, send_through
from gpuview.doctor.config_files import Site, coturn_config, frp_config, nftables_config
from gpuview.errors import NetworkError, SettingsError
from gpuview.media.ice.sockets import Address, preferred_source
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import ice_servers_for
from gpuview.webrtc.ice_url import IceServerUrl, parse_ice_url
from tests.ports import free_port
from tests.turnserver import TurnServer, certificate, needs_coturn

FULL = Settings(
    public_ip="203.0.113.9",
    port_min=10111,
    port_max=10113,
    public_port_min=20111,
    turn_url="turn:203.0.113.9:10110?transport=udp,turn:203.0.113.9:10110?transport=tcp",
    turn_username="me",
    turn_credential="sword#fish=1",
)
SITE = Site(lan_ip="192.168.1.5")


def lines(text: str) -> list[str]:
    """Return the lines that are not comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def changed(settings: Settings, **changes: object) -> Settings:
    return Settings(**{**settings.model_dump(exclude_defaults=True), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [frp_config, lambda settings: coturn_config(settings, SITE)])
def test_text_is_the_same_every_time_and_begins_with_a_comment(
    make: Callable[[Settings], str],
) -> None:
    assert make(FULL) == make(FULL)
    assert make(FULL).startswith("# ")


# --- FRP ----------------------------------------------------------------------------------------


def test_frp_has_a_proxy_for_each_port_and_for_turn() -> None:
    parsed = tomllib.loads(frp_config(FULL))
    assert (parsed["serverAddr"], parsed["serverPort"]) == ("203.0.113.9", 7000)
    proxies = [(each["type"], each["localPort"], each["remotePort"]) for each in parsed["proxies"]]
    assert proxies == [
        ("udp", 10111, 20111),
        ("udp", 10112, 20112),
        ("udp", 10113, 20113),
        ("udp", 10110, 10110),
        ("tcp", 10110, 10110),
    ]
    assert {each["localIP"] for each in parsed["proxies"]} == {"127.0.0.1"}
    assert len({each["name"] for each in parsed["proxies"]}) == 5


def test_frp_has_no_proxy_for_a_turn_server_elsewhere() -> None:
    settings = changed(FULL, turn_url="turn:turn.example.org", public_port_min=None)
    proxies = tomllib.loads(frp_config(settings))["proxies"]
    assert [each["remotePort"] for each in proxies] == [10111, 10112, 10113]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(public_ip="203.0.113.9"), "port_min"),
        (Settings(port_min=10111), "public_ip"),
        (Settings(port_min=10111, public_ip="auto", stun_url="stun:a.example"), "public_ip"),
    ],
)
def test_frp_needs_a_range_and_an_address(settings: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match=f"configuration for frp without {name}") as caught:
        frp_config(settings)
    assert caught.value.fix.startswith(f"GPUVIEW_{name.upper()}=")


# --- coturn -------------------------------------------------------------------------------------


def test_coturn_knows_ports_login_and_address() -> None:
    found = lines(coturn_config(FULL, SITE))
    assert found[:5] == ["listening-port=10110", "fingerprint", "no-cli", "no-tls", "no-dtls"]
    assert "user=me:sword#fish=1" in found
    assert "lt-cred-mech" in found
    # The ports outside are others, so what goes to the outer address has to go there.
    assert "external-ip=203.0.113.9" in found
    same_ports = coturn_config(changed(FULL, public_port_min=None), SITE)
    assert "external-ip=203.0.113.9/192.168.1.5" in lines(same_ports)


def test_coturn_leads_to_the_kernel_and_into_no_other_private_network() -> None:
    here = lines(coturn_config(FULL, SITE))
    assert "denied-peer-ip=192.168.0.0-192.168.255.255" in here
    assert "allowed-peer-ip=192.168.1.5" in here
    assert "denied-peer-ip=::-::" not in here  # coturn would deny all addresses
    elsewhere = lines(coturn_config(changed(FULL, turn_url="turn:turn.example.org"), SITE))
    assert not any(line.startswith(("allowed-peer-ip", "external-ip")) for line in elsewhere)
    company = lines(coturn_config(changed(FULL, public_ip="10.1.2.3"), SITE))
    assert "denied-peer-ip=192.168.0.0-192.168.255.255" in company
    assert not any(line.startswith("denied-peer-ip=10.") for line in company)
    # A relay on either side leads to the other one: to the server itself.
    private_server = changed(FULL, turn_url="turn:172.16.0.3")
    assert not any("=172.16" in line for line in lines(coturn_config(private_server, SITE)))


def test_coturn_needs_turn_and_a_certificate_where_there_is_tls() -> None:
    with pytest.raises(SettingsError, match="configuration for coturn without turn_url"):
        coturn_config(Settings(), SITE)
    tls = changed(FULL, turn_url="turns:203.0.113.9:443")
    with pytest.raises(SettingsError, match="without its certificate") as caught:
        coturn_config(tls, SITE)
    assert caught.value.fix == "gpuview config coturn --cert FILE --pkey FILE"
    ports = changed(FULL, turn_url="turn:203.0.113.9:1,turn:203.0.113.9:2")
    with pytest.raises(SettingsError, match=r"turn: at several ports: \[1, 2\]"):
        coturn_config(ports, SITE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("turn_credential", "two words"),
        ("turn_credential", "line\nno-auth"),
        ("turn_credential", "pässword"),
        ("turn_credential", 'qu"ote'),
        ("turn_credential", "0xdeadbeef"),
        ("turn_username", "me:too"),
    ],
)
def test_login_that_coturn_would_misread_is_an_error_that_does_not_repeat_it(
    name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"cannot write {name} into") as caught:
        coturn_config(changed(FULL, **{name: value}), SITE)
    assert value not in str(caught.value)


def test_secret_that_coturn_would_misread_is_an_error() -> None:
    settings = Settings(turn_url="turn:a.example", turn_secret="line\nno-auth")
    with pytest.raises(SettingsError, match="cannot write turn_secret into"):
        coturn_config(settings, SITE)


def relayed(settings: Settings, text: str) -> Address:
    """Make an allocation with the login that the settings give to a page."""
    (entry,) = ice_servers_for(settings, "ada")

    async def allocate() -> Address:
        login = (entry.username or "", entry.credential or "")
        async with allocation(
            IceServerUrl(text, parse_ice_url(text), login), timeout_s=30
        ) as client:
            return client.relayed

    return asyncio.run(allocate())


@needs_coturn
@pytest.mark.parametrize(
    "login",
    [
        {"turn_username": "me", "turn_credential": "#sw$ord\\fish=1,%;"},
        {"turn_secret": "no/rth+po=le"},
    ],
    ids=["static", "secret"],
)
def test_coturn_takes_the_text_as_it_is_and_relays_over_udp_tcp_and_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: dict[str, str]
) -> None:
    chain, key = certificate(tmp_path / "tls", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    plain, tls = f"turn:127.0.0.1:{free_port()}", f"turns:127.0.0.1:{free_port()}"
    urls = [plain, f"{plain}?transport=tcp", tls]
    settings = Settings(public_ip="127.0.0.1", turn_url=",".join(urls), **login)  # type: ignore[arg-type]
    site = Site(cert=str(chain), pkey=str(key), min_port=50000, max_port=50200)
    with TurnServer(tmp_path / "coturn", coturn_config(settings, site)):
        for url in urls:
            host, port = relayed(settings, url)
            assert (host, 50000 <= port <= 50200) == ("127.0.0.1", True)
        stranger = changed(settings, **dict.fromkeys(login, "wrong"))
        with pytest.raises(NetworkError, match="401"):
            relayed(stranger, plain)


@needs_coturn
def test_login_that_has_run_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"turn:127.0.0.1:{free_port()}"
    settings = Settings(public_ip="127.0.0.1", turn_url=url, turn_secret="north", turn_ttl_s=600)
    with TurnServer(tmp_path, coturn_config(settings, Site())):
        relayed(settings, url)
        then_s = time.time() - 660
        monkeypatch.setattr("gpuview.signalling.ice_servers.time.time", lambda: then_s)
        with pytest.raises(NetworkError, match="401"):
            relayed(settings, url)


@needs_coturn
def test_coturn_beside_the_kernel_takes_the_outer_address_for_the_inner_one(
    tmp_path: Path,
) -> None:
    lan_ip = preferred_source(socket.AF_INET, ("192.0.2.1", 9))
    if lan_ip is None or lan_ip.startswith("127."):
        pytest.skip("this machine has no other address than its loopback")
    port = free_port()
    settings = Settings(
        public_ip="203.0.113.9",
        turn_url=f"turn:203.0.113.9:{port}",
        turn_username="me",
        turn_credential="x",
    )
    url = f"turn:127.0.0.1:{port}"  # as a client that comes by FRP

    async def relay_to(host: str) -> Address:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 0))
        sock.setblocking(False)
        async with (
            asyncio.timeout(60),
            open_stun_client(sock=sock) as local,
            allocation(IceServerUrl(url, parse_ice_url(url), ("me", "x")), timeout_s=30) as client,
        ):
            assert client.relayed[0] == "203.0.113.9"
            target = (host, local.port)
            return (await local.transact(lambda data: send_through(client, data, target)))[1]

    with TurnServer(tmp_path, coturn_config(settings, Site(lan_ip=lan_ip))):
        assert asyncio.run(relay_to("203.0.113.9"))
        with pytest.raises(NetworkError, match="403"):
            asyncio.run(relay_to("10.99.0.1"))


# --- nftables -----------------------------------------------------------------------------------


def test_firewall_lets_the_range_and_turn_in() -> None:
    machine, router = nftables_config(FULL, SITE).split("# Part 2")
    assert lines(machine)[2:] == [
        "insert rule inet filter input udp dport 10111-10113 accept",
        "insert rule inet filter input udp dport 10110 accept",
        "insert rule inet filter input tcp dport 10110 accept",
        "insert rule inet filter input udp dport 49152-65535 accept",
    ]
    to_router = "add rule ip nat prerouting fib daddr type local udp dport"
    assert lines(router)[-4:] == [
        f"{to_router} 20111 dnat to 192.168.1.5:10111",
        f"{to_router} 20112 dnat to 192.168.1.5:10112",
        f"{to_router} 20113 dnat to 192.168.1.5:10113",
        "insert rule inet filter forward ip daddr 192.168.1.5 udp dport 10111-10113 accept",
    ]


def test_ports_that_stay_the_same_are_one_rule_and_ipv6_needs_no_nat() -> None:
    settings = Settings(public_ip="203.0.113.9,2001:db8::9", port_min=10111, port_max=10115)
    assert lines(nftables_config(settings, SITE).split("# Part 2")[1])[-3:] == [
        "add rule ip nat prerouting fib daddr type local udp dport 10111-10115 dnat to 192.168.1.5",
        "insert rule inet filter forward ip daddr 192.168.1.5 udp dport 10111-10115 accept",
        "insert rule inet filter forward ip6 daddr 2001:db8::9 udp dport 10111-10115 accept",
    ]


def test_machine_without_a_router_has_no_second_part() -> None:
    assert "Part 2" not in nftables_config(Settings(port_min=10111), SITE)
    with pytest.raises(SettingsError, match="for nftables without port_min"):
        nftables_config(Settings(), SITE)


@pytest.mark.skipif(
    shutil.which("nft") is None or os.geteuid() != 0,
    reason="needs root and nft; on Debian: apt-get install nftables",
)
@pytest.mark.parametrize("settings", [FULL, changed(FULL, public_port_min=None, port_max=10111)])
def test_nft_takes_the_text(settings: Settings) -> None:
    text = nftables_config(changed(settings, public_ip="203.0.113.9,2001:db8::9"), SITE)
    command = ["unshare", "--net", "nft", "--check", "--file", "-"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
