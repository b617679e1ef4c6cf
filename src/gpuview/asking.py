"""Asking whoever may be slow, fail or hang: a resolver, and a user's own function.

Nothing here waits for ever, and nothing of what they say is trusted.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from gpuview.errors import SettingsError
from gpuview.protocol.messages import IceServer
from gpuview.webrtc.addresses import IPAddress, parse_address
from gpuview.webrtc.ice_url import parse_ice_servers

__all__ = ["AskIceServers", "Overdue", "ask_ice_servers", "call_within", "resolve"]

T = TypeVar("T")

AskIceServers = Callable[[], object]
"""Returns ICE servers in the W3C form, or an awaitable of them."""

_RESOLVE_S = 2.0
_ASK_S = 10.0
_MAX_OVERDUE = 16
_overdue: set[threading.Thread] = set()


class Overdue(TimeoutError):  # noqa: N818 - reads as what it is
    """A call has not returned in time, or was not made as too many others have not."""


def call_within(timeout_s: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns, or raise what it raises; waits for it, but not for ever.

    It runs on a thread of its own, which is left behind when it takes too long: nothing can end it,
    and it does not keep the process from ending. While 16 such threads are left, no other is made.

    Raises:
        Overdue: It has not returned within ``timeout_s`` seconds, or was not called at all.
    """
    _overdue.difference_update([each for each in tuple(_overdue) if not each.is_alive()])
    if len(_overdue) >= _MAX_OVERDUE:
        raise Overdue(f"{len(_overdue)} earlier calls still hang")
    result: Future[T] = Future()
    thread = threading.Thread(target=_run, args=(call, result), name="gpuview-call", daemon=True)
    thread.start()
    try:
        return result.result(timeout_s)
    except TimeoutError:
        if result.done():
            raise  # it is the call's own
        _overdue.add(thread)
        raise Overdue(f"no answer within {timeout_s:g} s") from None


def resolve(name: str, *, timeout_s: float = _RESOLVE_S) -> dict[int, IPAddress]:
    """Look a host's name up.

    Returns:
        One address of each family, by IP version, 4 and 6: of several the same one each time.

    Raises:
        SettingsError: It does not resolve, or not in time.
    """
    try:
        found = call_within(timeout_s, partial(_look_up, name))
    except (OSError, UnicodeError) as exc:  # an Overdue is an OSError
        raise SettingsError(
            f"cannot find the address of {name!r}: {exc}",
            expected="a host name that resolves on this machine",
            fix="give the address itself, such as 203.0.113.9",
        ) from None
    return {address.version: address for address in sorted(found, key=lambda each: each.packed)}


def _look_up(name: str) -> list[IPAddress]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    addresses = [parse_address(str(sockaddr[0])) for *_, sockaddr in found]
    return [address for address in addresses if address is not None]


def ask_ice_servers(ask: AskIceServers, *, timeout_s: float = _ASK_S) -> tuple[IceServer, ...]:
    """Call a user's function for ICE servers, on another thread; ``async`` ones are awaited there.

    Raises:
        SettingsError: It raised, took too long, or returned something else.
    """
    try:
        answer = call_within(timeout_s, partial(_call, ask))
    except Overdue as exc:
        raise _bad_answer(ask, f"has not returned: {exc}") from exc
    except Exception as exc:
        # Its text may hold a credential and is not repeated; the chain is for whoever asks himself.
        raise _bad_answer(ask, f"raised {type(exc).__name__}") from exc
    return parse_ice_servers(answer)


def _call(ask: AskIceServers) -> object:
    answer = ask()
    return asyncio.run(_wait_for(answer)) if inspect.isawaitable(answer) else answer


async def _wait_for(answer: Awaitable[object]) -> object:
    return await answer


def _bad_answer(ask: AskIceServers, what: str) -> SettingsError:
    name = getattr(ask, "__qualname__", type(ask).__name__)
    return SettingsError(
        f"the function {name} that was given as ice_servers {what}",
        expected='a list such as [{"urls": "stun:stun.example.org"}]',
        fix="call it in a cell, and see why",
    )


def _run(call: Callable[[], T], result: Future[T]) -> None:
    try:
        result.set_result(call())
    except BaseException as exc:  # whatever it is, it is the caller's
        result.set_exception(exc)
