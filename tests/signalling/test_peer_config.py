"""Each page is told how to connect, wherever its servers come from."""

from __future__ import annotations

import logging
import queue
import threading

import pytest

from gpuview.protocol.page_messages import GetPeerConfig, IceServer, PeerConfig, Refusal
from gpuview.settings import Settings
from gpuview.signalling.peer_config import PeerConfigs
from gpuview.signalling.turn_rest_client import forget_turn_logins
from tests.credentials_endpoint import Answer, Asked, CredentialsEndpoint, login

TURN = {"turn_url": "turn:turn.example.org", "turn_username": "ann", "turn_credential": "s3cret"}
WAIT_S = 30


class Pages:
    """Writes down what they are told."""

    def __init__(self) -> None:
        self.heard: queue.Queue[PeerConfig | Refusal] = queue.Queue()

    def hear(self) -> PeerConfig | Refusal:
        return self.heard.get(timeout=WAIT_S)


def peer_configs(settings: Settings) -> tuple[PeerConfigs, Pages]:
    pages = Pages()
    return PeerConfigs(settings, pages.heard.put), pages


@pytest.mark.parametrize(
    ("settings", "are_needed"),
    [
        (Settings(), False),
        (Settings(log="info"), False),
        (Settings(log="debug"), True),
        (Settings(stun_url="stun:a"), True),
        (Settings(ice_servers=list), True),
        (Settings(turn_credentials_url="http://hub/services/gpuview/"), True),
        (Settings(**TURN, ice_transport_policy="relay"), True),  # type: ignore[arg-type]
        (Settings(kernel_ice_servers=(IceServer(urls=["stun:a"]),)), False),
    ],
)
def test_pages_ask_where_there_is_something_to_tell(settings: Settings, are_needed: bool) -> None:
    assert peer_configs(settings)[0].are_needed is are_needed


def test_what_is_written_in_the_settings_is_told_at_once() -> None:
    settings = Settings(**TURN, ice_transport_policy="relay", log="debug")  # type: ignore[arg-type]
    asked, pages = peer_configs(settings)
    asked.answer(GetPeerConfig(view="v1"))
    server = IceServer(urls=["turn:turn.example.org"], username="ann", credential="s3cret")
    assert pages.heard.get_nowait() == PeerConfig(
        view="v1", ice_servers=[server], ice_transport_policy="relay", wants_log=True
    )


def test_each_view_gets_a_login_of_its_own() -> None:
    asked, pages = peer_configs(Settings(turn_url="turn:a", turn_secret="t0p"))
    for view in ("v1", "v2"):
        asked.answer(GetPeerConfig(view=view))
        peer_config = pages.heard.get_nowait()
        assert isinstance(peer_config, PeerConfig)
        (server,) = peer_config.ice_servers
        assert server.username is not None
        assert server.username.endswith(f":{view}")


def test_a_function_is_asked_once_for_a_page_that_repeats_itself() -> None:
    may_return = threading.Event()
    asked_for: list[str] = []

    def servers() -> list[dict[str, str]]:
        asked_for.append(threading.current_thread().name)
        may_return.wait(WAIT_S)
        return [{"urls": "stun:a"}]

    asked, pages = peer_configs(Settings(ice_servers=servers))
    for _ in range(5):
        asked.answer(GetPeerConfig(view="v1"))
    asked.answer(GetPeerConfig(view="v2"))
    may_return.set()
    told = {peer_config.view: peer_config for peer_config in (pages.hear(), pages.hear())}
    assert set(told) == {"v1", "v2"}
    assert len(asked_for) == 2
    assert threading.current_thread().name not in asked_for


def test_a_page_that_asks_again_later_is_told_again() -> None:
    asked, pages = peer_configs(Settings(ice_servers=lambda: [{"urls": "stun:a"}]))
    for _ in range(2):
        asked.answer(GetPeerConfig(view="v1"))
        assert isinstance(pages.hear(), PeerConfig)
        _wait_for_threads()


def test_a_function_that_fails_is_a_refusal_and_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def servers() -> object:
        raise OSError("bad token s3cret")

    asked, pages = peer_configs(Settings(ice_servers=servers))
    with caplog.at_level(logging.WARNING, "gpuview"):
        asked.answer(GetPeerConfig(view="v1"))
        refusal = pages.hear()
    assert isinstance(refusal, Refusal)
    assert (refusal.view, refusal.seq) == ("v1", 0)
    assert "servers that was given as ice_servers raised OSError" in refusal.problem
    assert refusal.problem in caplog.text
    assert "s3cret" not in caplog.text + refusal.problem + refusal.fix


def _wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("gpuview-peer-config"):
            thread.join(WAIT_S)


def test_where_no_logins_are_to_be_had_the_page_is_told_why_and_connects_with_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with CredentialsEndpoint(lambda _: (403, "")) as endpoint:
        url = f"http://{endpoint.host}/turn"
        asked, pages = peer_configs(Settings(turn_credentials_url=url, stun_url="stun:a"))
        with caplog.at_level(logging.WARNING):
            asked.answer(GetPeerConfig(view="v1"))
            peer_config = pages.hear()
    forget_turn_logins()
    assert isinstance(peer_config, PeerConfig)
    assert peer_config.ice_servers == [IceServer(urls=["stun:a"])]
    (problem,) = peer_config.problems
    assert problem.problem == (
        f"there is no TURN login: {url} answers with the HTTP status 403; no token was sent"
    )
    assert "view v1 connects with fewer servers: there is no TURN login" in caplog.text


def test_an_endpoint_is_asked_on_another_thread() -> None:
    may_answer = threading.Event()

    def answer(_: Asked) -> Answer:
        may_answer.wait(WAIT_S)
        return login()

    with CredentialsEndpoint(answer) as endpoint:
        asked, pages = peer_configs(Settings(turn_credentials_url=f"http://{endpoint.host}/turn"))
        for _ in range(3):  # a page repeats itself
            asked.answer(GetPeerConfig(view="v1"))
        assert pages.heard.empty()
        may_answer.set()
        peer_config = pages.hear()
        assert len(endpoint.asked) == 1
    forget_turn_logins()
    assert isinstance(peer_config, PeerConfig)
    assert peer_config.ice_servers[0].username == "1800000000:ann"
