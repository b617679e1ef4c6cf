"""The servers for a page or the kernel: listed, from a function, or in the short forms."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SettingsError
from gpuview.protocol.page_messages import IceServer
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import (
    call_for_ice_servers,
    has_expired,
    has_same_kernel_servers,
    ice_servers_for,
    kernel_servers,
)
from gpuview.webrtc.ephemeral_credentials import ephemeral_credentials

TURN: dict[str, Any] = {
    "turn_url": "turn:turn.example.org",
    "turn_username": "ann",
    "turn_credential": "s3cret",
}
SOON_S = 0.05


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("GPUVIEW_"):
            monkeypatch.delenv(name)


class TestServers:
    def test_without_any_there_are_none(self) -> None:
        assert ice_servers_for(Settings(), "me") == kernel_servers(Settings())[0] == ()

    def test_the_short_forms_come_after_the_list(self) -> None:
        first = IceServer(urls=["stun:first.example.org"])
        settings = Settings(ice_servers=(first,), stun_url="stun:second.example.org", **TURN)
        assert ice_servers_for(settings, "me") == (
            first,
            IceServer(urls=["stun:second.example.org"]),
            IceServer(urls=["turn:turn.example.org"], username="ann", credential="s3cret"),
        )

    def test_a_short_form_may_hold_several_urls(self) -> None:
        login = {"turn_username": "ann", "turn_credential": "s3cret"}
        settings = Settings(
            stun_url="stun:a, stun:b", turn_url="turn:a,turns:[2001:db8::1]", **login
        )
        stun, turn = ice_servers_for(settings, "me")
        assert stun == IceServer(urls=["stun:a", "stun:b"])
        assert turn.urls == ["turn:a", "turns:[2001:db8::1]"]
        assert (turn.username, turn.credential) == ("ann", "s3cret")

    def test_logins_are_made_for_each_user_from_a_secret(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
        settings = Settings(turn_url="turn:a", turn_secret="t0p", turn_ttl_s=600)
        (ann,), (bob,) = ice_servers_for(settings, "ann"), ice_servers_for(settings, "bob")
        assert (ann.username, bob.username) == ("1800000600:ann", "1800000600:bob")
        assert ann.credential != bob.credential
        ((kernel,), _) = kernel_servers(settings)
        assert kernel.username == "1800000600:kernel"

    def test_never_show_a_secret(self) -> None:
        settings = Settings(turn_url="turn:a", turn_secret="t0p")
        assert "t0p" not in repr(settings) + str(settings) + repr(ice_servers_for(settings, "me"))


class TestFunction:
    def test_is_called_each_time(self) -> None:
        called: list[str] = []

        def servers() -> list[dict[str, str]]:
            called.append("again")
            return [{"urls": f"stun:s{len(called)}"}]

        settings = Settings(ice_servers=servers, stun_url="stun:last")
        assert settings.has_ice_servers
        assert not called
        for n in (1, 2):
            assert ice_servers_for(settings, "me")[0] == IceServer(urls=[f"stun:s{n}"])
        assert ice_servers_for(settings, "me")[1] == IceServer(urls=["stun:last"])

    def test_an_async_function_is_awaited_also_where_a_loop_runs(self) -> None:
        async def servers() -> list[dict[str, str]]:
            await asyncio.sleep(0)
            return [{"urls": "stun:a"}]

        settings = Settings(ice_servers=servers)

        async def cell() -> tuple[IceServer, ...]:
            return ice_servers_for(settings, "me")

        assert asyncio.run(cell()) == (IceServer(urls=["stun:a"]),)

    @pytest.mark.parametrize("kind", [ValueError, SystemExit])
    def test_a_function_that_raises_is_an_error_without_its_words(
        self, kind: type[BaseException]
    ) -> None:
        def servers() -> object:
            raise kind("bad token s3cret")

        with pytest.raises(SettingsError, match=rf"servers .* raised {kind.__name__}") as caught:
            ice_servers_for(Settings(ice_servers=servers), "me")
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("answer", [None, "stun:a", [{"url": "stun:a"}], [{"urls": "turn:a"}]])
    def test_a_function_that_returns_something_else_is_an_error(self, answer: object) -> None:
        with pytest.raises(SettingsError) as caught:
            ice_servers_for(Settings(ice_servers=lambda: answer), "me")
        assert caught.value.fix

    def test_that_does_not_return_is_an_error(self) -> None:
        released = threading.Event()
        with pytest.raises(SettingsError, match=r"Event.wait .* not returned: no answer within"):
            call_for_ice_servers(released.wait, timeout_s=SOON_S)
        released.set()


class TestKernelServers:
    def test_are_the_pages_unless_said(self) -> None:
        settings = Settings(stun_url="stun:a")
        assert settings.has_kernel_ice_servers
        assert kernel_servers(settings) == ((IceServer(urls=["stun:a"]),), [])

    @pytest.mark.parametrize("text", ['[{"urls": "stun:b"}]', "[]"])
    def test_can_be_others_or_none(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("GPUVIEW_KERNEL_ICE_SERVERS", text)
        settings = Settings(stun_url="stun:a")
        expected = tuple(IceServer(urls=[each["urls"]]) for each in json.loads(text))
        assert kernel_servers(settings) == (expected, [])
        assert settings.has_kernel_ice_servers == bool(expected)

    def test_are_the_same_in_settings_that_differ_elsewhere(self) -> None:
        settings = Settings(**TURN)
        assert has_same_kernel_servers(settings, Settings(**TURN, log="info"))
        other = TURN | {"turn_credential": "another"}
        assert not has_same_kernel_servers(settings, Settings(**other))
        asked = Settings(**TURN, turn_credentials_url="http://hub/services/gpuview/")
        assert not has_same_kernel_servers(settings, asked)

    def test_of_a_function_are_the_same_when_its_cell_has_run_again(self) -> None:
        one, again = Settings(ice_servers=_no_servers), Settings(ice_servers=lambda: ())
        assert has_same_kernel_servers(one, again)
        assert not has_same_kernel_servers(one, Settings())


def _no_servers() -> list[dict[str, str]]:
    return []


# --- logins that expire -------------------------------------------------------------------------


def test_ephemeral_credentials_are_as_coturn_makes_them() -> None:
    # printf '1800000600:ann' | openssl dgst -sha1 -hmac t0p -binary | base64
    expected = ("1800000600:ann", "JwsKAgCfMeiiJei68psSOtDr9Ks=")
    assert ephemeral_credentials("t0p", "ann", now_s=1_800_000_000.9, ttl_s=600) == expected


@given(now_s=st.integers(10**9, 2 * 10**9), ttl_s=st.integers(1, 10**6))
def test_login_expires_when_its_time_is_over_and_not_before(now_s: int, ttl_s: int) -> None:
    username, credential = ephemeral_credentials("secret", "a-view", now_s, ttl_s)
    server = IceServer(urls=["turn:example.org"], username=username, credential=credential)
    assert not has_expired(server, now_s + ttl_s - 1)
    assert has_expired(server, now_s + ttl_s)


@pytest.mark.parametrize("username", ["me", "", None, "12345:me", "me:1700000000"])
def test_login_without_a_time_never_expires(username: str | None) -> None:
    server = IceServer(urls=["turn:example.org"], username=username, credential="secret")
    assert not has_expired(server, 4 * 10**9)
