"""Asks all questions, those that wait at the same time; some 10 s at most.

For a process of its own: it needs av, aiortc and aioice.
"""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from gpuview.doctor.clients import Ear, listening
from gpuview.doctor.machine import check_buffers, check_cuda, check_encoders, check_packages
from gpuview.doctor.port_forward import WayBack
from gpuview.doctor.port_range import bind_range
from gpuview.doctor.public_ip import judge_public_ips, learnt
from gpuview.doctor.report import Check, Report
from gpuview.doctor.servers import (
    StunFinding,
    TurnFinding,
    find_stun,
    find_turn,
    servers_of,
)
from gpuview.errors import SettingsError
from gpuview.media.ice.dns import resolve
from gpuview.media.ice.sockets import Address, preferred_source
from gpuview.settings import Settings
from gpuview.signalling.public_ips import public_ips_of

__all__ = ["examine"]

_SOMEWHERE = ("192.0.2.1", 9)  # a route to it is one to the internet
_RESOLVE_TIMEOUT_S = 2.5


def examine(via: tuple[str, int] | None = None) -> Report:
    """Examine this machine and the settings of its environment.

    Args:
        via: Host and port at which ``gpuview probe`` runs, outside.
    """
    return asyncio.run(_examine(via))


async def _examine(via: tuple[str, int] | None) -> Report:
    checks, settings = _read_settings()
    network = _examine_network(settings, via) if settings is not None else _nothing()
    around, cuda = await asyncio.gather(network, check_cuda())
    here = [*check_encoders(), cuda, *check_packages(), check_buffers()]
    return Report((*checks, *around, *here))


async def _nothing() -> list[Check]:
    return []


def _read_settings() -> tuple[list[Check], Settings | None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            settings = Settings()
        except SettingsError as exc:
            return [Check.failed("settings", exc)], None
    remarks = [_unknown_variable(str(each.message)) for each in caught]
    return [Check("settings", "ok", "they can be read"), *remarks], settings


def _unknown_variable(text: str) -> Check:
    return Check("settings", "remark", text, "correct its name, or take it out")


async def _examine_network(settings: Settings, via: tuple[str, int] | None) -> list[Check]:
    try:
        servers = servers_of(settings)
    except SettingsError as exc:
        return [Check.failed("ICE servers", exc)]
    async with AsyncExitStack() as stack:
        ports, ears = await _listen(settings, stack)
        stun, turn, told = await asyncio.gather(
            asyncio.gather(*(find_stun(each) for each in servers if not each.url.is_turn)),
            asyncio.gather(*(find_turn(each) for each in servers if each.url.is_turn)),
            _public_ips(settings),
        )
        public, public_ips = _judge_public(settings, told, _mapped(stun, turn))
        answers = [each.check(public_ips) for each in stun] + [each.check() for each in turn]
        back = await _check_ways_back(settings, public_ips, ears, via, stun, turn)
    return [public, ports, *answers, *back]


async def _listen(settings: Settings, stack: AsyncExitStack) -> tuple[Check, dict[bool, Ear]]:
    """Listen at a port of the range; the ears by whether they are IPv6's."""
    check, socks = bind_range(settings)
    ears = {
        sock.family == socket.AF_INET6: await stack.enter_async_context(listening(sock))
        for sock in socks
    }
    return check, ears


async def _public_ips(settings: Settings) -> tuple[str, ...] | SettingsError:
    try:
        # Waits for 2 s at most, for each name.
        return await asyncio.to_thread(public_ips_of, settings)
    except SettingsError as exc:
        return exc


def _judge_public(
    settings: Settings, told: tuple[str, ...] | SettingsError, mapped: Sequence[str]
) -> tuple[Check, tuple[str, ...]]:
    if isinstance(told, SettingsError):
        return Check.failed("public IP", told), ()
    public_ips = learnt(mapped) if settings.learns_public_ip else told
    own_ip = preferred_source(socket.AF_INET, _SOMEWHERE)
    return judge_public_ips(settings, public_ips, own_ip), public_ips


def _mapped(stun: Sequence[StunFinding], turn: Sequence[TurnFinding]) -> list[str]:
    """Return how we are seen, by STUN servers first, as the media process takes it."""
    answers = [each.answer.mapped for each in stun if each.answer is not None]
    return [host for host, _ in answers + [each.mapped for each in turn if each.mapped]]


async def _check_ways_back(
    settings: Settings,
    public_ips: Sequence[str],
    ears: Mapping[bool, Ear],
    via: tuple[str, int] | None,
    stun: Sequence[StunFinding],
    turn: Sequence[TurnFinding],
) -> list[Check]:
    if settings.kernel_ice_transport_policy == "relay":
        return [Check("way back", "skipped", "this side uses TURN relays only")]
    if via is not None and not public_ips:
        return [Check("way back", "skipped", "no public address is set", "GPUVIEW_PUBLIC_IP")]
    relay = next((each.server for each in turn if each.relayed is not None), None)
    responder = await _resolve_via(via)
    if isinstance(responder, Check):
        return [responder]
    checks: list[Check] = []
    for host in public_ips:
        ear = ears.get(":" in host)
        if ear is None:
            found = f"no port is free to listen at for {host}"
            checks.append(Check("way back", "skipped", found, "shut the kernel down that holds it"))
            continue
        target = (host, _outside(settings, ear.port))
        way = WayBack(ear, target, relay=relay, via=responder, stun=stun)
        checks += await way.check()
    return checks


async def _resolve_via(via: tuple[str, int] | None) -> Address | Check | None:
    if via is None:
        return None
    text = f"{via[0]} port {via[1]}"
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
            return (await resolve(*via))[0]
    except OSError as exc:  # TimeoutError is one
        return Check(f"probe {text}", "fail", f"{via[0]} does not resolve: {exc}", "correct --via")


def _outside(settings: Settings, port: int) -> int:
    """Return the public port that is to lead to ``port``."""
    if settings.public_port_min is None or settings.port_min is None:
        return port
    return port - settings.port_min + settings.public_port_min
