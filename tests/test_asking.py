"""Asking a resolver or a user's function: whatever they do, an answer or an error comes in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gpuview.asking import Overdue, ask_ice_servers, call_within, resolve
from gpuview.errors import SettingsError

SOON_S = 0.05


@pytest.fixture
def hangs() -> Iterator[threading.Event]:
    """Give what hanging calls wait for, which ends them with the test."""
    released = threading.Event()
    yield released
    released.set()


def test_a_call_returns_or_raises_as_it_would_here() -> None:
    assert call_within(30.0, lambda: 7) == 7
    with pytest.raises(KeyError, match="a"):
        call_within(30.0, lambda: {}["a"])


def test_a_calls_own_time_out_is_not_taken_for_ours() -> None:
    def call() -> None:
        raise TimeoutError("of a socket")

    with pytest.raises(TimeoutError, match="of a socket"):
        call_within(30.0, call)


def test_calls_that_hang_are_left_behind_and_not_too_many(hangs: threading.Event) -> None:
    called: list[int] = []

    def call() -> None:
        called.append(1)
        hangs.wait()

    for _ in range(20):
        with pytest.raises(Overdue):
            call_within(SOON_S, call)
    hangs.set()
    for thread in threading.enumerate():
        if thread.name == "gpuview-call":
            thread.join()
    assert len(called) == 16
    assert call_within(30.0, lambda: 7) == 7


def test_a_name_has_one_address_of_each_family_whatever_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = ["203.0.113.9", "2001:db8::9", "203.0.113.7"]
    for order in (addresses, addresses[::-1]):
        found = [(0, 0, 0, "", (address, 0)) for address in order]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
        by_version = {
            version: str(address) for version, address in resolve("a", timeout_s=30.0).items()
        }
        assert by_version == {4: "203.0.113.9", 6: "2001:db8::9"}


def test_a_resolver_that_does_not_answer_is_not_awaited(
    monkeypatch: pytest.MonkeyPatch, hangs: threading.Event
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hangs.wait())
    with pytest.raises(SettingsError, match=r"address of 'a.example.org': no answer within 0.05 s"):
        resolve("a.example.org", timeout_s=SOON_S)


def test_a_name_that_cannot_be_one_does_not_resolve() -> None:
    with pytest.raises(SettingsError, match="cannot find the address of"):
        resolve(".".join(["a" * 64, "example"]))


def test_a_function_that_does_not_return_is_an_error(hangs: threading.Event) -> None:
    with pytest.raises(SettingsError, match=r"Event.wait .* not returned: no answer within"):
        ask_ice_servers(hangs.wait, timeout_s=SOON_S)
