"""Public addresses, with host names looked up."""

from __future__ import annotations

import socket
import threading

import pytest

from gpuview.errors import SettingsError
from gpuview.settings import Settings
from gpuview.signalling.public_ips import addresses_of, public_ips_of

SOON_S = 0.05


@pytest.mark.parametrize("text", ["10.1.2.3", "2001:db8::9"])
def test_an_address_is_taken_as_it_is(text: str) -> None:
    assert public_ips_of(Settings(public_ip=text)) == (text,)


def test_a_host_name_is_looked_up() -> None:
    assert public_ips_of(Settings(public_ip="localhost"))[0] == "127.0.0.1"


def test_an_address_wins_over_a_name() -> None:
    assert public_ips_of(Settings(public_ip="localhost, 203.0.113.9"))[0] == "203.0.113.9"


def test_auto_is_no_address_yet() -> None:
    assert public_ips_of(Settings(public_ip="auto", stun_url="stun:a")) == ()


def test_a_name_that_does_not_resolve_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve_nothing(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve_nothing)
    with pytest.raises(SettingsError, match=r"address of 'gpu.example.org': .*not known"):
        public_ips_of(Settings(public_ip="gpu.example.org"))


def test_a_name_has_one_address_of_each_family_whatever_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = ["203.0.113.9", "2001:db8::9", "203.0.113.7"]
    for order in (addresses, addresses[::-1]):
        found = [(0, 0, 0, "", (address, 0)) for address in order]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
        by_version = {
            version: str(address) for version, address in addresses_of("a", timeout_s=30.0).items()
        }
        assert by_version == {4: "203.0.113.9", 6: "2001:db8::9"}


def test_a_resolver_that_does_not_answer_is_not_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait())
    with pytest.raises(SettingsError, match=r"address of 'a.example.org': no answer within 0.05 s"):
        addresses_of("a.example.org", timeout_s=SOON_S)
    released.set()


def test_a_name_that_cannot_be_one_does_not_resolve() -> None:
    with pytest.raises(SettingsError, match="cannot find the address of"):
        addresses_of(".".join(["a" * 64, "example"]))
