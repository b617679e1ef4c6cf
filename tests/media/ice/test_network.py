"""STUN from the shared socket, and the relay that all viewers share: against a real coturn."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from aioice.turn import TurnClientUdpProtocol

from gpuview.errors import NetworkError
from gpuview.media.ice import server_session
from gpuview.media.ice import shared_relay as relay_module
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.network import Network, hosts_to_bind
from gpuview.media.ice.server_session import _NAMED_AFTER_S, ServerSession
from gpuview.media.ice.sockets import ALL_HOSTS, Address, bind_sockets
from gpuview.media.ice.udp_mux import UdpMux
from gpuview.protocol.media_messages import Configure, IceServers
from gpuview.protocol.page_messages import IceServer, Problem
from gpuview.protocol.stats import NetworkStats
from gpuview.webrtc.ephemeral_credentials import ephemeral_credentials
from tests.clock import run_in_virtual_time
from tests.names import resolve_nothing
from tests.ports import free_port
from tests.turnserver import LOOPBACK, TurnServer, certificate, needs_coturn
from tests.waiting import wait_until, wait_until_async

PORT, TLS_PORT = free_port(), free_port()
LOGIN = {"username": "me", "credential": "a secret word"}
BROWSER = b"what a browser sends"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("certificate"), "127.0.0.1")


@pytest.fixture
def turn(tmp_path: Path, certificates: tuple[Path, Path]) -> Iterator[TurnServer]:
    """A TURN server on loopback: UDP, TCP and TLS."""
    chain, key = certificates
    configuration = f"""{LOOPBACK}
listening-port={PORT}
tls-listening-port={TLS_PORT}
cert={chain}
pkey={key}
lt-cred-mech
user={LOGIN["username"]}:{LOGIN["credential"]}
realm=example.org
min-port=40000
max-port=40099
"""
    with TurnServer(tmp_path / "turn", configuration) as server:
        yield server


class NetworkHarness:
    """A network, whose kernel gives it these servers as often as it asks."""

    def __init__(
        self, configuration: Configure, *servers: IceServer, port: int | None = None
    ) -> None:
        self.asked: list[bool] = []
        """Whether the servers had to be others, for each time that it asked."""
        self.changed = asyncio.Event()
        self._servers = IceServers(ice_servers=list(servers))
        sockets = bind_sockets(port, port, hosts_to_bind(configuration))
        self.mux = UdpMux(asyncio.get_running_loop(), sockets)
        servers = ServerSession(
            self.mux, configuration, request_servers=self._give, on_change=self.changed.set
        )
        self.network = Network(self.mux, configuration, servers)

    def _give(self, anew: bool) -> None:
        self.asked.append(anew)
        asyncio.get_running_loop().call_soon(self.network.servers.take, self._servers)

    async def wait_for(self, ask: Callable[[], Any]) -> Any:
        async with asyncio.timeout(90):  # a server that was slow is asked again after 25 s
            while not (answer := ask()):
                self.changed.clear()
                await self.changed.wait()
        return answer

    async def relay(self) -> NetworkStats:
        """Wait until there is a relay, and return what is then known."""
        await self.wait_for(lambda: self.network.servers.relay)
        return self.network.stats()

    async def problem_with(self, text: str) -> None:
        """Wait until a problem says ``text``; a server that is slow is called silent before."""
        await self.wait_for(lambda: text in self.problem())

    def problem(self) -> str:
        return " ".join(each.problem for each in self.network.servers.problems)

    async def close(self) -> None:
        await self.network.servers.close()
        self.mux.close()


def run(
    use: Callable[[NetworkHarness], Awaitable[None]],
    *servers: IceServer,
    configuration: Configure | None = None,
) -> None:
    async def live() -> None:
        harness = NetworkHarness(configuration or Configure(has_ice_servers=True), *servers)
        try:
            await use(harness)
        finally:
            await harness.close()

    asyncio.run(live())


def stun_at(*places: object) -> IceServer:
    return IceServer(urls=[f"stun:{place}" for place in places])


def turn_at(*urls: str, **login: str) -> IceServer:
    return IceServer(urls=list(urls), **(login or LOGIN))


UDP = f"turn:127.0.0.1:{PORT}?transport=udp"
TCP = f"turn:127.0.0.1:{PORT}?transport=tcp"
TLS = f"turns:127.0.0.1:{TLS_PORT}"


def types(harness: NetworkHarness) -> list[str]:
    return [each.type for each in harness.network.candidates(["127.0.0.1", "::1"])]


# --- without servers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        (Configure(public_ips=["127.0.0.1"]), ["127.0.0.1"]),
        (Configure(public_ips=["::1", "127.0.0.2"]), ["127.0.0.2", "::1"]),
        (Configure(), ALL_HOSTS),
        (Configure(public_ips=["127.0.0.1", "203.0.113.9"]), ALL_HOSTS),
        (Configure(public_ips=["127.0.0.1", "127.0.0.2"]), ALL_HOSTS),
        (Configure(public_ips=["127.0.0.1"], keep_private=True), ALL_HOSTS),
        (Configure(public_ips=["127.0.0.1"], has_ice_servers=True), ALL_HOSTS),
    ],
)
def test_only_loopback_is_bound_where_browsers_reach_no_other_address(
    configuration: Configure, expected: Sequence[str]
) -> None:
    assert hosts_to_bind(configuration) == expected


def test_loopback_is_the_only_candidate_where_nothing_else_is_bound() -> None:
    async def use(harness: NetworkHarness) -> None:
        assert harness.mux.transport_for("::1") is None
        (candidate,) = harness.network.candidates(["192.0.2.7", "2001:db8::7"])
        assert (candidate.type, candidate.address) == ("host", ("127.0.0.1", harness.mux.port))

    run(use, configuration=Configure(public_ips=["127.0.0.1"]))


# --- STUN ---------------------------------------------------------------------------------------


def test_without_servers_there_is_nothing_to_wait_for() -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.network.servers.settle(0)
        assert set(types(harness)) == {"host"}
        assert harness.asked == []

    run(use, configuration=Configure())


@needs_coturn
def test_stun_server_tells_the_shared_sockets_address(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.wait_for(lambda: harness.network.stats().reflexive)
        assert harness.network.stats().reflexive == [f"127.0.0.1:{harness.mux.port}"]
        # It says the same as a host candidate, and nothing new.
        assert "srflx" not in types(harness)
        (candidate,) = harness.network.server_candidates()
        assert candidate.address == ("127.0.0.1", harness.mux.port)
        assert "unexpected from a server" not in harness.mux.dropped

    run(use, stun_at(f"127.0.0.1:{PORT}"))


@needs_coturn
def test_learnt_address_takes_the_place_of_the_public_ip(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        assert harness.network.public_ips == []
        await harness.wait_for(lambda: harness.network.public_ips)
        assert harness.network.public_ips == ["127.0.0.1"]

    learns = Configure(has_ice_servers=True, learns_public_ip=True)
    run(use, stun_at(f"127.0.0.1:{PORT}"), configuration=learns)


@needs_coturn
def test_second_stun_server_is_asked_when_the_first_is_dead(
    turn: TurnServer, dead_server: str
) -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.wait_for(lambda: harness.network.stats().reflexive)
        assert f"stun:{dead_server} does not answer" in harness.problem()

    run(use, stun_at(dead_server, f"127.0.0.1:{PORT}"))


def test_dead_servers_hold_nobody_up_and_are_named(dead_server: str) -> None:
    async def live() -> None:
        loop = asyncio.get_running_loop()
        harness = NetworkHarness(
            Configure(has_ice_servers=True), stun_at(dead_server), turn_at(f"turn:{dead_server}")
        )
        await harness.network.servers.settle(0.1)
        assert loop.time() == pytest.approx(0.1)
        assert set(types(harness)) == {"host"}
        await harness.network.servers.settle(10)
        assert loop.time() == pytest.approx(_NAMED_AFTER_S)
        assert f"stun:{dead_server} does not answer" in harness.problem()
        assert f"turn:{dead_server} does not answer" in harness.problem()
        await harness.close()

    run_in_virtual_time(live())


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: Address) -> None:
    """Let every host name have these addresses."""

    async def resolve(host: str, port: int) -> list[Address]:
        return list(addresses)

    monkeypatch.setattr(server_session, "resolve", resolve)


@needs_coturn
@pytest.mark.parametrize("dead_first", [True, False])
def test_address_that_leads_nowhere_hides_no_other_of_the_same_server(
    turn: TurnServer, monkeypatch: pytest.MonkeyPatch, dead_first: bool
) -> None:
    # As on a machine with IPv4 alone, where most public STUN servers have an IPv6 address too.
    dead, alive = ("::1", 9), ("127.0.0.1", PORT)
    resolves_to(monkeypatch, *((dead, alive) if dead_first else (alive, dead)))

    async def use(harness: NetworkHarness) -> None:
        await harness.wait_for(lambda: harness.network.stats().reflexive)
        assert harness.network.stats().reflexive == [f"127.0.0.1:{harness.mux.port}"]
        await harness.network.servers.settle(60)
        await harness.wait_for(lambda: not harness.network.servers.problems)

    run(use, stun_at("both.example"))


def test_address_is_written_as_datagrams_name_it() -> None:
    assert asyncio.run(resolve("2001:DB8:0:0:0:0:0:1", 3478)) == [("2001:db8::1", 3478)]


def test_name_that_does_not_resolve_is_a_problem_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_nothing(monkeypatch)

    async def use(harness: NetworkHarness) -> None:
        await harness.problem_with("stun:nobody.invalid")
        assert set(types(harness)) == {"host"}

    run(use, stun_at("nobody.invalid"))


def test_kernel_that_has_no_servers_to_give_says_why() -> None:
    async def use(harness: NetworkHarness) -> None:
        problem = Problem(problem="the callable raised", expected="servers", fix="mend it")
        harness._servers = IceServers(problems=[problem])
        await harness.wait_for(lambda: harness.network.servers.problems)
        assert harness.network.servers.problems == [problem]
        # It is asked again, and the function may have come to its senses.
        harness._servers = IceServers(ice_servers=[stun_at("127.0.0.1:9")])
        await harness.wait_for(lambda: problem not in harness.network.servers.problems)

    run(use)


# --- TURN ---------------------------------------------------------------------------------------


@needs_coturn
def test_relay_comes_when_logins_are_to_be_had_again(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        problem = Problem(problem="there is no TURN login", expected="one", fix="start the service")
        stun = stun_at(f"127.0.0.1:{PORT}")
        harness._servers = IceServers(ice_servers=[stun], problems=[problem])
        await harness.wait_for(lambda: harness.network.servers.mapped)
        assert harness.network.servers.problems == [problem]
        harness._servers = IceServers(ice_servers=[stun, IceServer(urls=[UDP], **LOGIN)])
        assert (await harness.relay()).relay_url == UDP
        assert harness.network.servers.problems == []
        # No login was refused, so those of the views stay as they are.
        assert harness.asked == [False] * len(harness.asked)

    run(use)


@needs_coturn
@pytest.mark.parametrize("url", [UDP, TCP, TLS], ids=["udp", "tcp", "tls"])
def test_relay_comes_over_every_transport(
    turn: TurnServer, url: str, certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))

    async def use(harness: NetworkHarness) -> None:
        assert (await harness.relay()).relay_url == url
        (candidate,) = [each for each in harness.network.candidates([]) if each.type == "relay"]
        assert 40000 <= candidate.address[1] < 40100
        assert candidate.is_by_tcp == (url != UDP)
        await exchange(harness, candidate.address)
        # Over UDP it is made from the shared port: nothing else leaves this machine.
        assert harness.network.servers.relay is not None
        own = ("127.0.0.1", harness.mux.port) if url == UDP else None
        assert harness.network.servers.relay.mapped == own

    run(use, turn_at(url))


async def exchange(harness: NetworkHarness, relayed: tuple[str, int]) -> None:
    """Send a browser something through the relay, and have its answer back."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[tuple[bytes, Any]] = loop.create_future()
    harness.mux.receive = lambda transport, data, address, local_host: heard.set_result(
        (data, address)
    )  # type: ignore[method-assign]
    with socket.socket(type=socket.SOCK_DGRAM) as browser:
        browser.bind(("127.0.0.1", 0))
        browser.setblocking(False)
        relay = harness.network.servers.relay
        assert relay is not None
        async with asyncio.timeout(60):
            relay.send(b"from us", browser.getsockname())
            assert await loop.sock_recv(browser, 100) == b"from us"
            relay.send(b"by the channel", browser.getsockname())
            assert await loop.sock_recv(browser, 100) == b"by the channel"
            await loop.sock_sendto(browser, BROWSER, relayed)
            assert await heard == (BROWSER, browser.getsockname())


@needs_coturn
def test_wrong_password_is_named_and_its_text_is_not(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.problem_with(f"{UDP} refuses the username or the credential: 401")
        (problem,) = harness.network.servers.problems
        assert "not the word" not in repr(problem)
        assert not harness.network.server_candidates()

    run(use, turn_at(UDP, username="me", credential="not the word"))


@needs_coturn
def test_certificate_that_nobody_vouches_for_is_named(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.problem_with("no certificate that this machine trusts")

    run(use, turn_at(TLS))


def test_port_where_nothing_listens_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen

        async def use(harness: NetworkHarness) -> None:
            await harness.problem_with("connection refused")

        run(use, turn_at(f"turn:127.0.0.1:{taken.getsockname()[1]}?transport=tcp"))


@needs_coturn
def test_all_urls_are_tried_and_a_dead_one_costs_little(turn: TurnServer, dead_server: str) -> None:
    async def use(harness: NetworkHarness) -> None:
        assert (await harness.relay()).relay_url == UDP

    run(use, turn_at(f"turn:{dead_server}", f"turn:{dead_server}?transport=tcp", UDP))


@needs_coturn
def test_relay_is_asked_for_anew_after_the_server_was_restarted(
    turn: TurnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "_REFRESH_EVERY_S", 0.5)

    async def use(harness: NetworkHarness) -> None:
        await harness.relay()
        first = harness.network.servers.relay
        turn.restart()
        await harness.wait_for(lambda: harness.network.servers.relay not in (None, first))
        assert harness.asked[:2] == [False, False]
        assert first is not None
        assert first.lost.is_set()

    run(use, turn_at(UDP))


@needs_coturn
@pytest.mark.parametrize("query", ["udp", "tcp"])
def test_relay_comes_from_a_server_that_answers_at_one_of_its_addresses(
    turn: TurnServer, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    resolves_to(monkeypatch, ("::1", PORT - 1), ("127.0.0.1", PORT))

    async def use(harness: NetworkHarness) -> None:
        await harness.relay()
        assert harness.network.servers.problems == []

    run(use, turn_at(f"turn:both.example?transport={query}"))


class Link:
    """A path to the TURN server that can be cut."""

    def __init__(self) -> None:
        self.is_up = True
        self.n_lost = 0
        """How many requests came while it was cut."""
        self._sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self._sockets:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self.port = self._sockets[0].getsockname()[1]
        self._kernel: Any = None

    def __enter__(self) -> Self:
        for sock, forward in zip(self._sockets, (self._to_server, self._to_kernel), strict=True):
            asyncio.get_running_loop().add_reader(sock, forward)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _to_server(self) -> None:
        data, self._kernel = self._sockets[0].recvfrom(65535)
        if self.is_up:
            self._sockets[1].sendto(data, ("127.0.0.1", PORT))
        else:
            self.n_lost += 1

    def _to_kernel(self) -> None:
        data = self._sockets[1].recv(65535)
        if self.is_up:
            self._sockets[0].sendto(data, self._kernel)


@needs_coturn
def test_relay_outlives_a_link_that_is_down_for_some_time_and_no_longer(
    turn: TurnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "_REFRESH_EVERY_S", 0.1)
    monkeypatch.setattr(relay_module, "_REFRESH_TIMEOUT_S", 0.3)
    monkeypatch.setattr(relay_module, "_SILENT_AFTER_S", 60.0)

    async def live() -> None:
        with Link() as link:
            url = f"turn:127.0.0.1:{link.port}"
            harness = NetworkHarness(Configure(has_ice_servers=True), turn_at(url))
            try:
                await harness.relay()
                first = harness.network.servers.relay
                assert first is not None
                link.is_up = False
                # The second request shows that the first refresh has failed.
                await wait_until_async(lambda: link.n_lost >= 2, "refreshes fail")
                again_s, link.is_up = time.monotonic(), True
                await wait_until_async(lambda: first._last_received_s > again_s, "it is refreshed")
                assert not first.lost.is_set()
                link.is_up = False
                monkeypatch.setattr(relay_module, "_SILENT_AFTER_S", 0.5)
                await wait_until_async(first.lost.is_set, "it is given up")
            finally:
                await harness.close()

    asyncio.run(live())


@needs_coturn
def test_relay_whose_keep_alive_fails_inside_is_lost_and_logged(
    turn: TurnServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relay_module, "_REFRESH_EVERY_S", 0.1)

    async def fail(client: object, message: object) -> None:
        raise RuntimeError("a fault of ours")

    async def use(harness: NetworkHarness) -> None:
        await harness.relay()
        relay = harness.network.servers.relay
        assert relay is not None
        monkeypatch.setattr(TurnClientUdpProtocol, "request_with_retry", fail)
        async with asyncio.timeout(30):
            await relay.lost.wait()
        assert "gpuview failed inside" in caplog.text
        monkeypatch.undo()

    run(use, turn_at(UDP))


@needs_coturn
def test_closing_gives_the_relay_back(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.relay()

    run(use, turn_at(UDP))
    wait_until(
        lambda: "refreshed, realm=<example.org>, username=<me>, lifetime=0" in turn.log,
        "the relay is given back",
    )


@needs_coturn
def test_relay_that_a_crash_has_left_behind_is_given_up_first(turn: TurnServer) -> None:
    async def live() -> None:
        crashed = NetworkHarness(Configure(has_ice_servers=True), turn_at(UDP))
        await crashed.wait_for(lambda: crashed.network.stats().relay)
        crashed.mux.close()
        again = NetworkHarness(Configure(has_ice_servers=True), turn_at(UDP), port=crashed.mux.port)
        try:
            await again.wait_for(lambda: again.network.stats().relay)
        finally:
            await again.close()
        await crashed.network.servers.close()

    asyncio.run(live())


@needs_coturn
def test_credentials_of_a_shared_secret_are_taken(tmp_path: Path) -> None:
    configuration = (
        f"{LOOPBACK}\nlistening-port={PORT}\nuse-auth-secret\nstatic-auth-secret=shared\n"
        "realm=example.org\nmin-port=40000\nmax-port=40099\n"
    )
    now_s = time.time()
    good = ephemeral_credentials("shared", "a-view", now_s, 600)
    stale = ephemeral_credentials("shared", "a-view", now_s - 120, 60)

    async def works(harness: NetworkHarness) -> None:
        await harness.relay()

    async def fails(harness: NetworkHarness) -> None:
        await harness.problem_with("401")

    with TurnServer(tmp_path / "turn", configuration):
        run(works, turn_at(UDP, username=good[0], credential=good[1]))
        run(fails, turn_at(UDP, username=stale[0], credential=stale[1]))


# --- relay only ---------------------------------------------------------------------------------

RELAY_ONLY = Configure(has_ice_servers=True, ice_transport_policy="relay")


@needs_coturn
def test_relay_alone_is_offered_where_nothing_else_may_be(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.relay()
        harness.network.check_usable()
        assert types(harness) == ["relay"]

    run(use, turn_at(UDP), stun_at(f"127.0.0.1:{PORT}"), configuration=RELAY_ONLY)


@needs_coturn
def test_relay_alone_that_is_refused_is_an_error_with_the_reason(turn: TurnServer) -> None:
    async def use(harness: NetworkHarness) -> None:
        await harness.problem_with("401")
        with pytest.raises(NetworkError, match="401"):
            harness.network.check_usable()

    run(use, turn_at(UDP, username="me", credential="wrong"), configuration=RELAY_ONLY)


def test_outside_port_is_as_far_from_the_first_as_the_one_inside() -> None:
    async def use(harness: NetworkHarness) -> None:
        assert harness.network.public_host.port_map == {
            harness.mux.port: 20_111 + harness.mux.port - 1024
        }

    run(use, configuration=Configure(port_min=1024, port_max=65535, public_port_min=20_111))


def test_refusing_for_want_of_a_relay_keeps_no_trace_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_nothing(monkeypatch)

    async def use(harness: NetworkHarness) -> None:
        await harness.problem_with("does not resolve")
        depths = []
        for _ in range(3):
            with pytest.raises(NetworkError, match="does not resolve") as caught:
                harness.network.check_usable()
            depths.append(len(caught.traceback))
        assert len(set(depths)) == 1

    run(use, turn_at("turn:nobody.invalid"), configuration=RELAY_ONLY)


def test_dead_stun_server_delays_no_answer_that_needs_a_relay_only(
    dead_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_nothing(monkeypatch)

    async def use(harness: NetworkHarness) -> None:
        await harness.network.servers.settle(60)
        assert "turn:nobody.invalid" in harness.problem()
        assert dead_server not in harness.problem()  # it would have been named before an answer

    run(use, stun_at(dead_server), turn_at("turn:nobody.invalid"), configuration=RELAY_ONLY)


@needs_coturn
def test_relay_that_is_lost_is_waited_for_where_nothing_else_may_be(
    turn: TurnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "_REFRESH_EVERY_S", 0.5)

    async def use(harness: NetworkHarness) -> None:
        await harness.relay()
        lost = harness.network.servers.relay
        assert lost is not None
        turn.restart()
        await lost.lost.wait()
        await harness.network.servers.settle(60)
        # A server that is slow may have been called silent.
        assert harness.network.servers.relay is not None or "does not answer" in harness.problem()

    run(use, turn_at(UDP), configuration=RELAY_ONLY)
