"""Runs all checks, with the waiting ones in parallel; takes up to some 10 s.

It runs in a process of its own, because it needs av, aiortc and aioice.
"""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack

from gpuview.doctor.clients import open_stun_client
from gpuview.doctor.cuda import check_cuda
from gpuview.doctor.encoders import check_encoders
from gpuview.doctor.inbound_udp import InboundTest
from gpuview.doctor.packages import check_packages
from gpuview.doctor.public_ip import first_of_each_family, judge_public_ips
from gpuview.doctor.report import Check, Report
from gpuview.doctor.shared_memory import check_shared_memory
from gpuview.doctor.stun_turn import ServerResult, query_server, servers_of
from gpuview.doctor.udp_ports import bind_range, check_buffers
from gpuview.errors import SettingsError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.sockets import Address, own_ipv4
from gpuview.media.ice.stun_client import StunClient
from gpuview.settings import Settings
from gpuview.signalling.public_ips import public_ips_of

__all__ = ["examine"]

_RESOLVE_TIMEOUT_S = 2.5


def examine(via: tuple[str, int] | None = None) -> Report:
    """Examine this machine and the settings of its environment.

    Args:
        via: Host and port of a machine outside that runs ``gpuview probe``.
    """
    return asyncio.run(_examine(via))


async def _examine(via: tuple[str, int] | None) -> Report:
    checks, settings = _read_settings()
    network, cuda = await asyncio.gather(_check_network(settings, via), check_cuda())
    machine = [*check_encoders(), cuda, *check_packages(), check_shared_memory(), check_buffers()]
    return Report((*checks, *network, *machine))


def _read_settings() -> tuple[list[Check], Settings | None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            settings = Settings()
        except SettingsError as exc:
            return [Check.failed("settings", exc)], None
    fix = "correct its name, or remove it"
    unknown = [Check("settings", "remark", str(each.message), fix) for each in caught]
    return [Check("settings", "ok", "valid"), *unknown], settings


async def _check_network(settings: Settings | None, via: tuple[str, int] | None) -> list[Check]:
    if settings is None:
        return []
    try:
        # Waits for a user's function, and for the endpoint that makes TURN logins.
        found, logins = await asyncio.to_thread(servers_of, settings)
    except SettingsError as exc:
        return [Check.failed("ICE servers", exc)]
    # STUN servers first: the media process prefers their public address, too.
    servers = sorted(found, key=lambda each: each.url.is_turn)
    async with AsyncExitStack() as stack:
        ports, socks = bind_range(settings)
        clients = {
            sock.family == socket.AF_INET6: await stack.enter_async_context(
                open_stun_client(sock=sock)
            )
            for sock in socks
        }
        queries = asyncio.gather(*map(query_server, servers))
        public, public_ips = await _check_public_ip(settings, queries)
        results = await queries
        inbound = await _check_inbound(settings, public_ips, clients, via, results)
    return [public, ports, *logins, *(each.check(public_ips) for each in results), *inbound]


async def _check_public_ip(
    settings: Settings, queries: Awaitable[Sequence[ServerResult]]
) -> tuple[Check, tuple[str, ...]]:
    try:
        # Waits up to 2 s for each name.
        public_ips = await asyncio.to_thread(public_ips_of, settings)
    except SettingsError as exc:
        return Check.failed("public IP", exc), ()
    if settings.learns_public_ip:
        mapped = [each.mapped[0] for each in await queries if each.mapped is not None]
        public_ips = first_of_each_family(mapped)
    return judge_public_ips(settings, public_ips, own_ipv4()), public_ips


async def _check_inbound(
    settings: Settings,
    public_ips: Sequence[str],
    clients: Mapping[bool, StunClient],
    via: tuple[str, int] | None,
    results: Sequence[ServerResult],
) -> list[Check]:
    if settings.kernel_ice_transport_policy == "relay":
        return [Check("inbound UDP", "skipped", "this side uses TURN relays only")]
    if via is not None and not public_ips:
        return [Check("inbound UDP", "skipped", "no public address is set", "GPUVIEW_PUBLIC_IP")]
    relay = next((each.server for each in results if each.relayed is not None), None)
    responder = await _resolve_via(via)
    if isinstance(responder, Check):
        return [responder]
    checks: list[Check] = []
    for host in public_ips:
        client = clients.get(":" in host)
        if client is None:
            found = f"no free port to receive at for {host}"
            fix = "shut down the kernel that holds it"
            checks.append(Check("inbound UDP", "skipped", found, fix))
            continue
        target = (host, settings.public_port(client.port))
        checks += await InboundTest(client, target, relay, responder, results).run()
    return checks


async def _resolve_via(via: tuple[str, int] | None) -> Address | Check | None:
    if via is None:
        return None
    host, port = via
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
            return (await resolve(host, port))[0]
    except OSError as exc:  # TimeoutError is one
        found = f"{host} does not resolve: {exc}"
        return Check(f"probe {host} port {port}", "fail", found, "correct --via")
