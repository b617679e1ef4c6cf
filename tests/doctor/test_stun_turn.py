"""What the doctor says about STUN and TURN servers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gpuview.doctor.report import Check
from gpuview.doctor.stun_turn import ServerResult, query_server, servers_of
from gpuview.settings import Settings
from gpuview.signalling.turn_rest_client import forget_turn_logins
from gpuview.webrtc.ice_url import IceServerUrl, parse_ice_url
from tests.credentials_endpoint import CredentialsEndpoint, login
from tests.names import resolve_nothing

STUN = "stun:stun.example.org"
TURN = "turn:turn.example.org"


def server(text: str, login: tuple[str, str] = ("", "")) -> IceServerUrl:
    return IceServerUrl(text, parse_ice_url(text), login)


def checked(text: str, login: tuple[str, str] = ("", "")) -> Check:
    """Ask the server, and return the line of the table."""
    return asyncio.run(query_server(server(text, login))).check([])


def test_servers_are_those_of_pages_and_of_the_kernel_once_each() -> None:
    settings = Settings(
        stun_url=STUN,
        turn_url=f"{TURN},{TURN}?transport=tcp",
        turn_username="me",
        turn_credential="swordfish",
        kernel_ice_servers=[{"urls": STUN}, {"urls": "stun:10.0.0.1"}],  # type: ignore[arg-type]
    )
    found, checks = servers_of(settings)
    assert checks == []
    assert [each.text for each in found] == [STUN, TURN, f"{TURN}?transport=tcp", "stun:10.0.0.1"]
    assert found[1].login == ("me", "swordfish")
    assert "swordfish" not in repr(found)


def test_login_is_minted_for_the_doctor() -> None:
    settings = Settings(turn_url=TURN, turn_secret="north")
    assert servers_of(settings)[0][0].login[0].endswith(":doctor")


def test_endpoint_for_logins_is_asked_and_its_failure_is_shown() -> None:
    with CredentialsEndpoint(lambda _: login(uris=[TURN])) as endpoint:
        settings = Settings(stun_url=STUN, turn_credentials_url=f"http://{endpoint.host}/turn")
        found, checks = servers_of(settings)
        assert [each.text for each in found] == [STUN, TURN]
        assert checks == [Check("TURN logins", "ok", "1800000000:ann, for 600 s")]
    forget_turn_logins()
    found, (check,) = servers_of(settings)
    assert [each.text for each in found] == [STUN]
    assert check.mark == "fail"
    assert f"{settings.turn_credentials_url} cannot be reached" in check.found
    forget_turn_logins()


@pytest.mark.parametrize(
    ("mapped", "public_ips", "mark"),
    [
        ("203.0.113.9", ["203.0.113.9"], "ok"),
        ("203.0.113.9", [], "ok"),
        ("203.0.113.9", ["2001:db8::9"], "ok"),
        ("203.0.113.9", ["198.51.100.1", "2001:db8::9"], "remark"),
    ],
)
def test_stun_answer_is_compared_with_the_public_address(
    mapped: str, public_ips: list[str], mark: str
) -> None:
    check = ServerResult(server(STUN), mapped=(mapped, 40000)).check(public_ips)
    assert (check.name, check.mark) == (f"STUN {STUN}", mark)
    assert check.found.startswith(f"sees this machine at {mapped} port 40000")


def test_silent_stun_server_fails(monkeypatch: pytest.MonkeyPatch, dead_server: str) -> None:
    monkeypatch.setattr("gpuview.doctor.stun_turn.ANSWER_TIMEOUT_S", 0.3)
    check = checked(f"stun:{dead_server}")
    assert check.mark == "fail"
    assert "does not answer" in check.found
    assert check.fix


def test_name_that_does_not_resolve_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_nothing(monkeypatch)
    check = checked("stun:nowhere.invalid")
    assert (check.mark, "does not resolve" in check.found) == ("fail", True)


@pytest.mark.parametrize("text", ["stuns:stun.example.org", "turns:turn.example.org?transport=udp"])
def test_server_that_only_browsers_can_use_is_skipped(text: str) -> None:
    check = checked(text)
    assert (check.mark, check.name.endswith(text)) == ("skipped", True)


def test_turn_server_that_refuses_fails_without_naming_the_login() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as closed:
        closed.bind(("127.0.0.1", 0))
        text = f"turn:127.0.0.1:{closed.getsockname()[1]}?transport=tcp"
        check = checked(text, ("me", "swordfish"))
    assert check.mark == "fail"
    assert "connection refused" in check.found
    assert "swordfish" not in f"{check}"
