"""Our STUN and TURN servers: the reflexive addresses, the relay, and the servers' problems.

Every server is queried again and again in the background, so a slow or dead server delays no
viewer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from gpuview.errors import NetworkError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.retry import NEXT_AFTER_S, cancel, first_of, first_success, pauses
from gpuview.media.ice.server_errors import server_error
from gpuview.media.ice.shared_relay import Relay
from gpuview.media.ice.sockets import Address, family_of
from gpuview.media.ice.stun_client import StunClient
from gpuview.media.ice.turn_client import allocate
from gpuview.media.ice.udp_mux import Transport, UdpMux
from gpuview.media.internal_error import problem_of
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.media_messages import Configure, IceServers
from gpuview.protocol.page_messages import Problem
from gpuview.webrtc.ice_url import IceServerUrl, server_urls

__all__ = ["ServerSession"]

logger = logging.getLogger("gpuview.media")

T = TypeVar("T")

_NO_SERVERS = "ice_servers"  # the key for a problem of the kernel's: it cannot send its servers
_NAMED_AFTER_S = 1.5  # after this time a silent server is reported, and still awaited
_STUN_TIMEOUT_S = 1.5
_GIVEN_UP_AFTER_S = 6.0
_REFRESH_S = 25.0  # many NATs forget a UDP mapping after 30 s


class ServerSession:
    """Keeps this kernel's reflexive addresses and its relay. Lives on one event loop.

    Args:
        mux: The shared socket.
        configuration: Whether there are servers, and whether only relays may be used.
        request_servers: Requests `IceServers` from the kernel, which arrive at `take`. The argument
            is True if the earlier servers do not work.
        on_change: Called when the addresses, the relay or the problems have changed.
    """

    def __init__(
        self,
        mux: UdpMux,
        configuration: Configure,
        *,
        request_servers: Callable[[bool], None],
        on_change: Callable[[], None],
    ) -> None:
        self.relay: Relay | None = None
        self._mux = mux
        self._is_relay_only = configuration.ice_transport_policy == "relay"
        self._request_servers = request_servers
        self._on_change = on_change
        self._servers: asyncio.Future[list[IceServerUrl]] | None = None
        self._mapped: dict[socket.AddressFamily, Address] = {}
        self._opened: set[Relay] = set()  # those not closed yet
        self._problems: dict[str, Problem] = {}
        self._awaited: set[str] = set()
        self._settled = asyncio.Event()
        self._tasks = BackgroundTasks()
        if configuration.has_ice_servers:
            self._tasks.spawn(self._run(), on_error=lambda exc: self._settled.set())
        else:
            self._settled.set()

    @property
    def mapped(self) -> list[Address]:
        """Our socket's addresses as seen by STUN servers, or else by the TURN server."""
        mapped = dict(self._mapped)
        if self.relay is not None and self.relay.mapped is not None:
            mapped.setdefault(family_of(self.relay.mapped[0]), self.relay.mapped)
        return [mapped[family] for family in sorted(mapped)]

    @property
    def problems(self) -> list[Problem]:
        """The present problems with the servers."""
        return list(self._problems.values())

    async def settle(self, timeout_s: float) -> None:
        """Wait at most ``timeout_s`` until each server has answered or been reported as silent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()

    def take(self, message: IceServers) -> None:
        """Use these servers from now on."""
        for problem in message.problems:
            self._note(_NO_SERVERS, problem)
        if not message.problems:
            self._forget_problem(_NO_SERVERS)
        if self._servers is not None and not self._servers.done():
            self._servers.set_result(server_urls(message.ice_servers))

    async def close(self) -> None:
        """Stop querying servers, and release the relay."""
        await self._tasks.cancel()
        await self._close_relays(None)

    # --- STUN and TURN --------------------------------------------------------------------------

    async def _run(self) -> None:
        servers = await self._first_servers()
        # Without `stuns`: a server sees another socket over TCP.
        stun = (
            [] if self._is_relay_only else [each for each in servers if each.url.scheme == "stun"]
        )
        turn = _turn_servers(servers)
        self._awaited = {each.text for each in stun + turn}
        self._stop_awaiting()
        async with asyncio.TaskGroup() as group:
            if stun:
                group.create_task(self._keep_mapped(stun))
            if turn or _NO_SERVERS in self._problems:
                group.create_task(self._keep_relay(turn))

    async def _fetch_servers(self, *, anew: bool = False) -> list[IceServerUrl]:
        self._servers = asyncio.get_running_loop().create_future()
        self._request_servers(anew)
        return await self._servers

    async def _first_servers(self) -> list[IceServerUrl]:
        """Repeat the request until there are servers: a user's function may work later."""
        pauses_s = pauses()
        while not (servers := await self._fetch_servers()):
            self._stop_awaiting()
            await asyncio.sleep(next(pauses_s))
        return servers

    async def _keep_mapped(self, servers: list[IceServerUrl]) -> None:
        while True:
            for server in servers:
                with contextlib.suppress(NetworkError):
                    await self._try(server, self._query_stun)
                    # Prefer this server: a symmetric NAT has another address for each server.
                    servers = [server, *(each for each in servers if each is not server)]
                    break
            self._stop_awaiting(*(each.text for each in servers))
            await asyncio.sleep(_REFRESH_S)

    async def _query_stun(self, server: IceServerUrl) -> None:
        queries = [
            asyncio.create_task(self._query_stun_at(each)) for each in await self._resolve(server)
        ]
        try:
            (await first_success(queries) or queries[0]).result()
            # The other family gets little time: often this machine cannot send to it at all.
            await asyncio.wait(queries, timeout=NEXT_AFTER_S)
        finally:
            await cancel(queries)

    async def _query_stun_at(self, address: Address) -> None:
        client = StunClient()
        with contextlib.closing(self._mux.open_client(client, address)) as transport:
            client.connection_made(transport)
            async with asyncio.timeout(_STUN_TIMEOUT_S):
                mapped = (await client.query()).mapped
        family = family_of(mapped[0])
        if self._mapped.get(family) != mapped:
            self._mapped[family] = mapped
            self._on_change()

    async def _keep_relay(self, servers: list[IceServerUrl]) -> None:
        pauses_s = pauses()
        while True:
            # There may be none yet, because what makes logins for them does not answer.
            relay = await self._first_relay(servers) if servers else None
            self._stop_awaiting(*(each.text for each in servers))
            if relay is None:
                await asyncio.sleep(next(pauses_s))
            else:
                pauses_s = pauses()
                await self._use(relay)
            earlier, is_refused = servers, bool(servers) and relay is None
            servers = _turn_servers(await self._fetch_servers(anew=is_refused))
            for text in {each.text for each in earlier} - {each.text for each in servers}:
                self._forget_problem(text)

    async def _use(self, relay: Relay) -> None:
        self.relay = relay
        self._stop_awaiting()
        self._on_change()
        logger.info("relay %s:%d at %s", *relay.address, relay.url)
        try:
            await relay.lost.wait()
            logger.warning("the relay at %s is lost; requesting another", relay.url)
        finally:
            self.relay = None
            self._settled.clear()  # an answer waits for the next relay, as for the first
            await self._close_relays(None)
        self._on_change()

    async def _first_relay(self, servers: list[IceServerUrl]) -> Relay | None:
        winner = None
        with contextlib.suppress(NetworkError):
            winner = await first_of(
                [partial(self._try, each, self._open_relay) for each in servers]
            )
        await self._close_relays(winner)
        return winner

    async def _open_relay(self, server: IceServerUrl) -> Relay:
        """Try the server's addresses: it may be reachable over one family only."""
        addresses = await self._resolve(server)
        return await first_of([partial(self._open_relay_at, server, each) for each in addresses])

    async def _open_relay_at(self, server: IceServerUrl, address: Address) -> Relay:
        relay = Relay(self._mux, await allocate(server, address, self._mux), server.text)
        self._opened.add(relay)
        return relay

    async def _close_relays(self, kept: Relay | None) -> None:
        """Close all relays but ``kept``."""
        others = [relay for relay in self._opened if relay is not kept]
        await asyncio.gather(*(relay.close() for relay in others))
        self._opened.difference_update(others)

    async def _resolve(self, server: IceServerUrl) -> list[Address]:
        """Return the server's first address in each family that we have a socket for."""
        found: dict[Transport, Address] = {}
        for address in await resolve(server.url.host, server.url.port):
            transport = self._mux.transport_for(address[0])
            if transport is not None:
                found.setdefault(transport, address)
        if not found:
            raise OSError("this machine has no socket of its address family")
        return list(found.values())

    async def _try(self, server: IceServerUrl, work: Callable[[IceServerUrl], Awaitable[T]]) -> T:
        """Do ``work`` with a server, and keep a record of its problem.

        Raises:
            NetworkError: It failed.
        """
        task = asyncio.ensure_future(work(server))
        try:
            await asyncio.wait({task}, timeout=_NAMED_AFTER_S)
            if not task.done():
                self._note(server.text, problem_of(server_error(server.text, TimeoutError())))
            async with asyncio.timeout(_GIVEN_UP_AFTER_S):
                result = await task
        except Exception as exc:
            error = server_error(server.text, exc)
            self._note(server.text, problem_of(error))
            raise error from exc
        finally:
            task.cancel()
        self._forget_problem(server.text)
        return result

    # --- problems -------------------------------------------------------------------------------

    def _note(self, url: str, new: Problem) -> None:
        before = self._problems.get(url)
        self._problems[url] = new
        self._stop_awaiting(url)
        if before is None or before.problem != new.problem:
            logger.warning("%s (expected: %s; try: %s)", new.problem, new.expected, new.fix)
            self._on_change()

    def _forget_problem(self, url: str) -> None:
        if self._problems.pop(url, None) is not None:
            self._on_change()

    def _stop_awaiting(self, *urls: str) -> None:
        self._awaited.difference_update(urls)
        if not self._awaited:
            self._settled.set()


def _turn_servers(servers: Sequence[IceServerUrl]) -> list[IceServerUrl]:
    return [each for each in servers if each.url.is_turn]
