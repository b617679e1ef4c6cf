"""TURN logins from an endpoint: what it is asked, what is kept, and what is said when it fails."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import NetworkError
from gpuview.protocol.page_messages import IceServer
from gpuview.settings import Settings
from gpuview.signalling import turn_rest_client
from gpuview.signalling.ice_servers import kernel_servers, servers_with_logins
from gpuview.signalling.turn_rest_client import (
    fetch_turn_login,
    forget_turn_logins,
    hub_token,
    read_login,
)
from tests.credentials_endpoint import Answer, Asked, CredentialsEndpoint, login

HUB = {"JUPYTERHUB_API_TOKEN": "t0ken", "JUPYTERHUB_API_URL": "http://hub:8081/hub/api"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name.upper().startswith(("GPUVIEW_", "JUPYTERHUB_")):
            monkeypatch.delenv(name)
    forget_turn_logins()
    yield
    forget_turn_logins()


@pytest.fixture
def endpoint() -> Iterator[CredentialsEndpoint]:
    with CredentialsEndpoint(lambda asked: login(f"1800000000:{asked.query['username']}")) as made:
        yield made


def settings_for(endpoint: CredentialsEndpoint, path: str = "/turn", **other: str) -> Settings:
    return Settings(turn_credentials_url=f"http://{endpoint.host}{path}", **other)  # type: ignore[arg-type]


def username(settings: Settings, user: str, *, anew: bool = False) -> str | None:
    found = fetch_turn_login(settings, user, anew=anew)
    return None if found is None else found.server.username


class TestAsking:
    def test_without_an_endpoint_nobody_is_asked(self) -> None:
        assert fetch_turn_login(Settings(), "me") is None

    def test_it_is_asked_as_the_draft_says(self, endpoint: CredentialsEndpoint) -> None:
        settings = settings_for(endpoint, "/turn?site=7", turn_credentials_key="k&y")
        found = fetch_turn_login(settings, "ann")
        assert found is not None
        assert found.server == IceServer(
            urls=["turn:a"], username="1800000000:ann", credential="s3cret"
        )
        (asked,) = endpoint.asked
        assert asked.path == "/turn"
        expected = {"site": "7", "service": "turn", "username": "ann", "key": "k&y"}
        assert asked.query == expected
        assert "authorization" not in asked.headers

    def test_a_token_is_sent_as_bearer(self, endpoint: CredentialsEndpoint) -> None:
        fetch_turn_login(settings_for(endpoint, turn_credentials_token="t0ken"), "ann")
        assert endpoint.asked[0].headers["authorization"] == "Bearer t0ken"

    def test_the_servers_own_token_is_sent_to_its_hub_only(
        self, endpoint: CredentialsEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in HUB.items():
            monkeypatch.setenv(name, value)
        # The proxy of a company knows no Hub.
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        fetch_turn_login(settings_for(endpoint, "/services/gpuview/"), "ann")
        monkeypatch.delenv("http_proxy")
        fetch_turn_login(settings_for(endpoint, "/turn"), "ann")
        sent = [asked.headers.get("authorization") for asked in endpoint.asked]
        assert sent == ["Bearer t0ken", None]

    def test_a_redirect_is_not_followed(self, endpoint: CredentialsEndpoint) -> None:
        endpoint.answer = lambda _: (302, "/elsewhere")
        settings = settings_for(endpoint, turn_credentials_token="t0ken")
        with pytest.raises(NetworkError, match="HTTP status 302") as caught:
            fetch_turn_login(settings, "ann")
        assert "to where it leads" in caught.value.fix
        assert [asked.path for asked in endpoint.asked] == ["/turn"]


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("http://hub:10105/services/gpuview/", True),
        ("http://proxy-public/services/gpuview/", True),
        ("http://127.0.0.1:8000/services/gpuview/", True),
        ("http://10.1.2.3:8000/services/gpuview/", True),
        ("http://proxy-public.jhub.svc.cluster.local/services/gpuview/", True),
        ("https://hub.example.org/services/gpuview/", True),
        ("https://turn.example.com/services/gpuview/", False),
        ("https://hub.example.org.evil.example/services/gpuview/", False),
        ("http://8.8.8.8/services/gpuview/", False),
        ("http://hub:8081/turn", False),
    ],
)
def test_where_the_hubs_token_goes(url: str, is_sent: bool) -> None:
    environ = {**HUB, "JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example.org/hub/"}
    assert hub_token(url, environ) == ("t0ken" if is_sent else None)
    assert hub_token(url, {}) is None


def test_a_hub_may_be_below_a_path() -> None:
    environ = {**HUB, "JUPYTERHUB_BASE_URL": "/jupyter/"}
    assert hub_token("http://hub/jupyter/services/gpuview/", environ) == "t0ken"
    assert hub_token("http://hub/services/gpuview/", environ) is None


class TestKeeping:
    def test_each_viewer_has_a_login_of_its_own_and_asks_once(
        self, endpoint: CredentialsEndpoint
    ) -> None:
        settings = settings_for(endpoint)
        got = [username(settings, user) for user in ("ann", "bob", "ann", "bob")]
        assert got == ["1800000000:ann", "1800000000:bob"] * 2
        assert len(endpoint.asked) == 2

    def test_another_is_asked_for_shortly_before_its_end(
        self, endpoint: CredentialsEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now_s = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: now_s)
        settings = settings_for(endpoint)
        for passed_s, n_asked in ((0, 1), (479, 1), (2, 2)):  # of 600
            now_s += passed_s
            fetch_turn_login(settings, "ann")
            assert len(endpoint.asked) == n_asked
        # What has ended does not hide that the endpoint has just failed.
        now_s += 1000
        endpoint.answer = lambda _: (503, "")
        for _ in range(2):
            with pytest.raises(NetworkError):
                fetch_turn_login(settings, "ann")
        assert len(endpoint.asked) == 3

    def test_what_a_turn_server_has_refused_is_not_used_again(
        self, endpoint: CredentialsEndpoint
    ) -> None:
        settings = settings_for(endpoint)
        fetch_turn_login(settings, "ann")
        fetch_turn_login(settings, "kernel", anew=True)
        fetch_turn_login(settings, "ann")
        assert len(endpoint.asked) == 3

    def test_no_more_are_kept_than_views_that_may_ask(
        self, endpoint: CredentialsEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(turn_rest_client, "_MAX_KEPT", 2)
        settings = settings_for(endpoint)
        for user in ("ann", "bob", "carol", "carol", "ann"):
            fetch_turn_login(settings, user)
        assert len(endpoint.asked) == 4

    def test_a_failure_is_kept_for_some_seconds(
        self, endpoint: CredentialsEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now_s = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: now_s)
        good, endpoint.answer = endpoint.answer, lambda _: (503, "")
        settings = settings_for(endpoint)
        for user in ("ann", "bob"):
            with pytest.raises(NetworkError, match="HTTP status 503"):
                fetch_turn_login(settings, user)
        assert len(endpoint.asked) == 1
        endpoint.answer = good
        now_s += 6
        assert username(settings, "ann") == "1800000000:ann"


class TestFailing:
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ((200, "not json"), "gave an answer that is no JSON"),
            ((200, "[" * 100_000), "more than 65536 bytes"),
            ((200, "[" * 10_000), "no JSON"),
            ((200, "[1]"), "without ttl"),
            (login(ttl=0), "without ttl"),
            (login(ttl=True), "without ttl"),
            (login(ttl=float("nan")), "without ttl"),
            (login(ttl="600"), "without ttl"),
            (login(uris=[]), "urls = "),
            (login(uris=["http://a"]), "cannot use the ICE server"),
            (login(password=None), "without a username and a credential"),
            (login(password=7), "credential is of type int"),
            ((403, "s3cret"), "HTTP status 403; no token was sent"),
            ((429, ""), "HTTP status 429"),
        ],
        ids=str,
    )
    def test_a_bad_answer_is_a_sentence_without_secrets(
        self, endpoint: CredentialsEndpoint, answer: Answer, words: str
    ) -> None:
        endpoint.answer = lambda _: answer
        settings = settings_for(endpoint, "/turn?key=s3cret", turn_credentials_key="s3cret")
        with pytest.raises(NetworkError) as caught:
            fetch_turn_login(settings, "ann")
        assert words in caught.value.problem
        assert caught.value.problem.startswith(
            f"there is no TURN login: http://{endpoint.host}/turn"
        )
        assert caught.value.fix
        assert "s3cret" not in str(caught.value)

    def test_a_service_that_is_gone_is_named(self) -> None:
        with CredentialsEndpoint(lambda _: login()) as endpoint:
            settings = settings_for(endpoint)
        with pytest.raises(NetworkError, match="cannot be reached: Connection refused"):
            fetch_turn_login(settings, "ann")

    def test_a_service_that_is_silent_keeps_nobody_waiting(
        self, endpoint: CredentialsEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released = threading.Event()

        def wait(_: Asked) -> Answer:
            released.wait(60)
            return login()

        endpoint.answer = wait
        monkeypatch.setattr(turn_rest_client, "_ANSWER_S", 0.1)
        settings, now_s = settings_for(endpoint), time.monotonic()
        try:
            with pytest.raises(NetworkError, match=r"no answer within 0.1 s|cannot be reached"):
                fetch_turn_login(settings, "ann")
            # The next views need not wait, either.
            monkeypatch.setattr(time, "monotonic", lambda: now_s + 25)
            with pytest.raises(NetworkError):
                fetch_turn_login(settings, "bob")
            assert len(endpoint.asked) == 1
        finally:
            released.set()

    def test_the_other_servers_are_used(self, endpoint: CredentialsEndpoint) -> None:
        endpoint.answer = lambda _: (500, "")
        url = f"http://{endpoint.host}/turn"
        settings = Settings(turn_credentials_url=url, stun_url="stun:a")
        for servers, problems in (servers_with_logins(settings, "v1"), kernel_servers(settings)):
            assert servers == (IceServer(urls=["stun:a"]),)
            (problem,) = problems
            assert "HTTP status 500" in problem.problem

    @given(content=st.binary() | st.from_type(type).map(repr).map(str.encode))
    def test_any_answer_is_read_or_refused(self, content: bytes) -> None:
        with pytest.raises(ValueError, match="an answer"):
            read_login(content, 0.0)


def test_nothing_secret_is_shown_or_logged(
    endpoint: CredentialsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = settings_for(endpoint, turn_credentials_token="t0ken", turn_credentials_key="k3y")
    found = fetch_turn_login(settings, "ann")
    shown = f"{settings!r} {settings} {found!r} {list(turn_rest_client._kept)!r} {caplog.text}"
    for secret in ("t0ken", "k3y", "s3cret"):
        assert secret not in shown


def test_a_login_is_good_for_less_than_its_time() -> None:
    fields = {"username": "u", "password": "p", "uris": ["turn:a"]}
    for ttl_s, good_s in ((8, 6.0), (3600, 3480.0)):
        found = read_login(json.dumps(fields | {"ttl": ttl_s}).encode(), 100.0)
        assert (found.ttl_s, found.good_until_s) == (ttl_s, 100.0 + good_s)
