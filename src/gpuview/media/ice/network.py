"""The ways in to this kernel: its own addresses, how STUN servers see it, and a TURN relay.

Each is found once for the whole kernel and then kept, so that a server that is slow or dead delays
nobody: a viewer is answered with what is known, and told of the rest when it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from gpuview.errors import NetworkError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.retry import NEXT_AFTER_S, cancel, first_of, first_result, pauses
from gpuview.media.ice.server_errors import explain
from gpuview.media.ice.sockets import Address
from gpuview.media.ice.stun import ask_stun
from gpuview.media.ice.turn import Relay, open_relay
from gpuview.media.ice.udp_mux import SocketLeg, UdpMux
from gpuview.media.ice.upstream import Door
from gpuview.protocol.messages import Configure, IceServers, Problem
from gpuview.protocol.stats import NetworkStats
from gpuview.webrtc.ice_url import IceServerUrl, server_urls

__all__ = ["Network"]

logger = logging.getLogger("gpuview.media")

T = TypeVar("T")

_NO_SERVERS = "ice_servers"  # stands for a URL where the servers themselves cannot be had
_NAMED_AFTER_S = 1.5  # a server that has not answered by then is called silent, and still awaited
_GIVEN_UP_AFTER_S = 6.0
_REFRESH_S = 25.0  # many NATs forget a UDP mapping after 30 s


class Network:
    """What this kernel's socket is called outside, and its relay. Lives on one event loop.

    Args:
        mux: The shared socket.
        configuration: How the outside is to be told.
        want_servers: Asks the kernel for `IceServers`, which come by `take_servers`. Is told
            whether they have to be others than before.
        on_change: Called when `doors` or `problems` have become others.
    """

    def __init__(
        self,
        mux: UdpMux,
        configuration: Configure,
        *,
        want_servers: Callable[[bool], None],
        on_change: Callable[[], None],
    ) -> None:
        self.mux = mux
        self._configuration = configuration
        self._want_servers = want_servers
        self._on_change = on_change
        self._servers: asyncio.Future[list[IceServerUrl]] | None = None
        self._mapped: dict[int, Address] = {}  # by IP version
        self._relay: Relay | None = None
        self._opened: set[Relay] = set()  # and not given back yet
        self._problems: dict[str, NetworkError] = {}
        self._awaited: set[str] = set()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        if configuration.has_ice_servers:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._report_end)
        else:
            self._settled.set()

    # --- what is known now --------------------------------------------------------------------

    @property
    def public_ips(self) -> list[str]:
        """The addresses that take the place of private ones."""
        if not self._configuration.learns_public_ip:
            return self._configuration.public_ips
        return [address[0] for address in self._reflexive()]

    @property
    def port_map(self) -> dict[int, int]:
        """The port outside for each one inside; what is not in it is the same."""
        inside, outside = self._configuration.port_min, self._configuration.public_port_min
        if inside is None or outside is None:
            return {}
        return {self.mux.port: self.mux.port - inside + outside}

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the servers at present."""
        return [
            Problem(problem=each.problem, expected=each.expected, fix=each.fix)
            for each in self._problems.values()
        ]

    def doors(self, addresses: Sequence[str]) -> list[Door]:
        """Return all ways in, where this host has ``addresses``."""
        if self._configuration.ice_transport_policy == "relay":
            return self.doors_outside()
        hosts = [(address, leg) for address in addresses if (leg := self.mux.leg(address))]
        inside = [self._host_door(address, leg) for address, leg in hosts]
        own = {door.address for door in inside}
        return inside + [door for door in self.doors_outside() if door.address not in own]

    def doors_outside(self) -> list[Door]:
        """Return those ways in that servers have shown or given us."""
        doors = [self._relay_door(self._relay)] if self._relay is not None else []
        if self._configuration.ice_transport_policy == "relay":
            return doors
        return [Door("srflx", address, _nowhere(address)) for address in self._reflexive()] + doors

    async def settle(self, timeout_s: float) -> None:
        """Wait until every server has answered or been called silent, but no longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()

    def check_usable(self) -> None:
        """Refuse to answer where only relays may be used and there is none.

        Raises:
            NetworkError: With the reason.
        """
        if self._configuration.ice_transport_policy == "relay" and self._relay is None:
            raise self._why_no_relay()

    def stats(self) -> NetworkStats:
        return NetworkStats(
            port=self.mux.port,
            public_ips=list(self.public_ips),
            reflexive=[f"{host}:{port}" for host, port in self._reflexive()],
            relay="{}:{}".format(*self._relay.address) if self._relay else "",
            relay_url=self._relay.url if self._relay else "",
            problems=[problem.problem for problem in self.problems],
            dropped_datagrams=dict(self.mux.dropped),
        )

    # --- keeping it so ------------------------------------------------------------------------

    def take_servers(self, message: IceServers) -> None:
        """Use these servers from now on."""
        for problem in message.problems:
            error = NetworkError(problem.problem, expected=problem.expected, fix=problem.fix)
            self._note(_NO_SERVERS, error)
        if not message.problems:
            self._forget_problem(_NO_SERVERS)
        if self._servers is not None and not self._servers.done():
            self._servers.set_result(server_urls(message.ice_servers))

    async def close(self) -> None:
        """Give the relay back and stop asking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._give_back_all_but(None)

    async def _run(self) -> None:
        servers = await self._first_servers()
        # No `stuns`: over TCP a server sees another socket.
        is_relay_only = self._configuration.ice_transport_policy == "relay"
        stun = [] if is_relay_only else [each for each in servers if each.url.scheme == "stun"]
        turn = _turn_servers(servers)
        self._awaited = {each.text for each in stun + turn}
        self._stop_awaiting([])
        async with asyncio.TaskGroup() as group:
            if stun:
                group.create_task(self._keep_asking(stun))
            if turn:
                group.create_task(self._keep_relay(turn))

    async def _ask_for_servers(self, *, anew: bool = False) -> list[IceServerUrl]:
        self._servers = asyncio.get_running_loop().create_future()
        self._want_servers(anew)
        return await self._servers

    async def _first_servers(self) -> list[IceServerUrl]:
        """Ask until there are some: a user's function may fail now and not later."""
        pauses_s = pauses()
        while not (servers := await self._ask_for_servers()):
            self._stop_awaiting([])
            await asyncio.sleep(next(pauses_s))
        return servers

    async def _keep_asking(self, servers: list[IceServerUrl]) -> None:
        while True:
            for server in servers:
                if await self._try(server, self._learn_address):
                    # One server only: a symmetric NAT shows another address to each of them.
                    servers = [server, *(each for each in servers if each is not server)]
                    break
            self._stop_awaiting(servers)
            await asyncio.sleep(_REFRESH_S)

    async def _learn_address(self, server: IceServerUrl) -> bool:
        asked = await self._addresses(server)
        asking = [asyncio.create_task(self._learn_from(leg, address)) for leg, address in asked]
        try:
            if await first_result(asking, None) is None:
                asking[0].result()
            # Often nothing leaves a machine by the other family, whatever the name resolves to.
            await asyncio.wait(asking, timeout=NEXT_AFTER_S)
        finally:
            await cancel(asking)
        return True

    async def _learn_from(self, leg: SocketLeg, server: Address) -> bool:
        mapped = await ask_stun(self.mux, leg, server)
        version = 6 if ":" in mapped[0] else 4
        if self._mapped.get(version) != mapped:
            self._mapped[version] = mapped
            self._on_change()
        return True

    async def _keep_relay(self, servers: list[IceServerUrl]) -> None:
        pauses_s = pauses()
        while True:
            relay = await self._first_relay(servers)
            self._stop_awaiting(servers)
            if relay is None:
                await asyncio.sleep(next(pauses_s))
            else:
                pauses_s = pauses()
                await self._use(relay)
            earlier = servers
            servers = _turn_servers(await self._ask_for_servers(anew=relay is None))
            for text in {each.text for each in earlier} - {each.text for each in servers}:
                self._forget_problem(text)

    async def _use(self, relay: Relay) -> None:
        self._relay = relay
        self._stop_awaiting([])
        self._on_change()
        logger.info("relay %s:%d at %s", *relay.address, relay.url)
        try:
            await relay.lost.wait()
            logger.warning("the relay at %s is lost; another is being asked for", relay.url)
        finally:
            self._relay = None
            self._settled.clear()  # an answer waits for the next one, as it did for the first
            await self._give_back_all_but(None)
        self._on_change()

    async def _first_relay(self, servers: list[IceServerUrl]) -> Relay | None:
        winner = await first_of([partial(self._try, each, self._open_relay) for each in servers])
        await self._give_back_all_but(winner)
        return winner

    async def _open_relay(self, server: IceServerUrl) -> Relay | None:
        """Try the server's addresses; it may listen at one family only, or be reached over one."""
        addresses = [address for _, address in await self._addresses(server)]
        return await first_of([partial(self._open_relay_at, server, each) for each in addresses])

    async def _open_relay_at(self, server: IceServerUrl, address: Address) -> Relay:
        url = server.url
        relay = await open_relay(
            self.mux,
            server.text,
            address,
            host=url.host,
            transport="tls" if url.is_secure else url.transport,
            login=server.login,
        )
        self._opened.add(relay)
        return relay

    async def _give_back_all_but(self, kept: Relay | None) -> None:
        others = [relay for relay in self._opened if relay is not kept]
        await asyncio.gather(*(relay.close() for relay in others))
        self._opened.difference_update(others)

    async def _addresses(self, server: IceServerUrl) -> list[tuple[SocketLeg, Address]]:
        """Return the server's first address in each family that we have a socket for."""
        found: dict[SocketLeg, Address] = {}
        for address in await resolve(server.url.host, server.url.port):
            leg = self.mux.leg(address[0])
            if leg is not None:
                found.setdefault(leg, address)
        if not found:
            raise OSError("this machine has no socket of its address family")
        return list(found.items())

    async def _try(
        self, server: IceServerUrl, work: Callable[[IceServerUrl], Awaitable[T | None]]
    ) -> T | None:
        """Do ``work`` with a server; None when it failed, which is then among the problems."""
        task = asyncio.ensure_future(work(server))
        try:
            await asyncio.wait({task}, timeout=_NAMED_AFTER_S)
            if not task.done():
                self._note(server.text, explain(server.text, TimeoutError()))
            async with asyncio.timeout(_GIVEN_UP_AFTER_S):
                result = await task
        except Exception as exc:
            self._note(server.text, explain(server.text, exc))
            return None
        finally:
            task.cancel()
        self._forget_problem(server.text)
        return result

    # --- what is told -------------------------------------------------------------------------

    def _note(self, url: str, error: NetworkError) -> None:
        before = self._problems.get(url)
        self._problems[url] = error
        self._stop_awaiting_urls({url})
        if before is None or before.problem != error.problem:
            logger.warning("%s (expected: %s; try: %s)", error.problem, error.expected, error.fix)
            self._on_change()

    def _forget_problem(self, url: str) -> None:
        if self._problems.pop(url, None) is not None:
            self._on_change()

    def _stop_awaiting(self, servers: Sequence[IceServerUrl]) -> None:
        self._stop_awaiting_urls({server.text for server in servers})

    def _stop_awaiting_urls(self, urls: set[str]) -> None:
        self._awaited -= urls
        if not self._awaited:
            self._settled.set()

    def _why_no_relay(self) -> NetworkError:
        # Not the error itself: one that is raised again and again keeps the frames of every time.
        for each in self._problems.values():
            return NetworkError(each.problem, expected=each.expected, fix=each.fix)
        return NetworkError(
            "the kernel may use TURN relays only, and has none yet",
            expected="a TURN server that gives it one",
            fix="see what is wrong with it: gpuview doctor",
        )

    def _reflexive(self) -> list[Address]:
        """How our socket is seen from outside: by STUN servers, or else by the relay's."""
        mapped = dict(self._mapped)
        if self._relay is not None and self._relay.is_datagram:
            host, port = self._relay.mapped
            mapped.setdefault(6 if ":" in host else 4, (host, port))
        return [mapped[version] for version in sorted(mapped)]

    def _host_door(self, host: str, leg: SocketLeg) -> Door:
        address = (host, self.mux.port)
        return Door(
            "host", address, open=lambda protocol: self.mux.open_doorway(protocol, leg, address)
        )

    def _relay_door(self, relay: Relay) -> Door:
        address = relay.address
        return Door(
            "relay",
            address,
            _nowhere(address),
            lambda protocol: self.mux.open_doorway(protocol, relay, address),
        )

    def _report_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("gpuview failed inside, please report it", exc_info=exc)

    def __repr__(self) -> str:
        return f"<Network {self.stats()}>"


def _turn_servers(servers: Sequence[IceServerUrl]) -> list[IceServerUrl]:
    return [each for each in servers if each.url.is_turn]


def _nowhere(address: Address) -> Address:
    """Return what stands in a candidate in the place of the address behind it."""
    return ("::" if ":" in address[0] else "0.0.0.0", 9)
