"""The STUN and TURN servers for one page or for the kernel's side.

They come from the list in the settings or from a user's function, followed by the short forms
``stun_url`` and ``turn_url``. With ``turn_secret``, each login is made from the secret. Last come
those of the endpoint at ``turn_credentials_url``, which makes logins itself.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import Awaitable
from functools import partial

from gpuview.errors import NetworkError, SettingsError
from gpuview.protocol.page_messages import IceServer, Problem
from gpuview.settings import IceServersFunction, Settings
from gpuview.settings_rules import split_list
from gpuview.signalling.time_limit import Overdue, call_within
from gpuview.signalling.turn_rest_client import fetch_turn_login
from gpuview.webrtc.ephemeral_credentials import ephemeral_credentials
from gpuview.webrtc.ice_server_list import parse_ice_servers

__all__ = [
    "call_for_ice_servers",
    "has_expired",
    "has_same_kernel_servers",
    "ice_servers_for",
    "kernel_servers",
    "servers_with_logins",
]

_CALL_S = 10.0
_END = re.compile(r"([0-9]{9,12})(?::|$)")


def servers_with_logins(
    settings: Settings, user: str, *, anew: bool = False
) -> tuple[tuple[IceServer, ...], list[Problem]]:
    """Return all servers for one page, and for people why some are missing.

    Waits for a user's function, at most 10 s, and for the endpoint that makes TURN logins, at most
    4 s. Without that endpoint's answer the other servers are used. From any thread.

    Args:
        settings: The stream's.
        user: The name in the TURN server's log.
        anew: A TURN server has refused the login that it was given.

    Raises:
        SettingsError: The function raised, took too long, or returned something else.
    """
    servers = ice_servers_for(settings, user)
    try:
        login = fetch_turn_login(settings, user, anew=anew)
    except NetworkError as exc:
        return servers, [Problem(problem=exc.problem, expected=exc.expected, fix=exc.fix)]
    return servers if login is None else (*servers, login.server), []


def ice_servers_for(settings: Settings, user: str) -> tuple[IceServer, ...]:
    """Return the servers for one page, but for those of the endpoint that makes TURN logins.

    Waits for a user's function, at most 10 s. From any thread.

    Args:
        settings: The stream's.
        user: The name in the TURN server's log, for logins made from a secret.

    Raises:
        SettingsError: The function raised, took too long, or returned something else.
    """
    listed = settings.ice_servers
    if callable(listed):
        listed = call_for_ice_servers(listed)
    return listed + _short_forms(settings, user, time.time())


def kernel_servers(
    settings: Settings, *, anew: bool = False
) -> tuple[tuple[IceServer, ...], list[Problem]]:
    """Return the servers for the kernel's side, as `servers_with_logins` does for pages."""
    if settings.kernel_ice_servers is None:
        return servers_with_logins(settings, "kernel", anew=anew)
    return settings.kernel_ice_servers, []


def has_same_kernel_servers(first: Settings, second: Settings) -> bool:
    """Tell whether both settings have the same servers for the kernel's side.

    Two functions count as the same: a cell that runs again makes a new function object.
    """
    return _kernel_values(first) == _kernel_values(second)


def _kernel_values(settings: Settings) -> tuple[object, ...]:
    if settings.kernel_ice_servers is not None:
        return settings.kernel_ice_servers
    listed = settings.ice_servers
    endpoint = (
        settings.turn_credentials_url,
        settings.turn_credentials_token,
        settings.turn_credentials_key,
    )
    shown = "a function" if callable(listed) else listed
    return shown, endpoint, _short_forms(settings, "", now_s=0.0)


def _short_forms(settings: Settings, user: str, now_s: float) -> tuple[IceServer, ...]:
    username, credential = settings.turn_username, settings.turn_credential
    if settings.turn_secret is not None:
        username, credential = ephemeral_credentials(
            settings.turn_secret, user, now_s, settings.turn_ttl_s
        )
    servers = []
    if settings.stun_url is not None:
        servers.append(IceServer(urls=list(split_list(settings.stun_url))))
    if settings.turn_url is not None:
        urls = list(split_list(settings.turn_url))
        servers.append(IceServer(urls=urls, username=username, credential=credential))
    return tuple(servers)


def has_expired(server: IceServer, now_s: float) -> bool:
    """Tell whether a server's login has expired.

    Args:
        server: Any server; only logins from `ephemeral_credentials` expire.
        now_s: The present, in seconds since 1970.
    """
    end = _END.match(server.username or "")
    return end is not None and int(end[1]) <= now_s


def call_for_ice_servers(
    function: IceServersFunction, *, timeout_s: float = _CALL_S
) -> tuple[IceServer, ...]:
    """Call a user's function on another thread; an ``async`` one is awaited there.

    Raises:
        SettingsError: It raised, took too long, or returned something else.
    """
    try:
        result = call_within(timeout_s, partial(_call, function))
    except Overdue as exc:
        raise _failed(function, f"has not returned: {exc}") from exc
    except (Exception, SystemExit) as exc:
        # Its text may hold a credential, so only the chained exception shows it.
        raise _failed(function, f"raised {type(exc).__name__}") from exc
    return parse_ice_servers(result)


def _call(function: IceServersFunction) -> object:
    result = function()
    return asyncio.run(_wait_for(result)) if inspect.isawaitable(result) else result


async def _wait_for(result: Awaitable[object]) -> object:
    return await result


def _failed(function: IceServersFunction, failure: str) -> SettingsError:
    name = getattr(function, "__qualname__", type(function).__name__)
    return SettingsError(
        f"the function {name} that was given as ice_servers {failure}",
        expected='a list such as [{"urls": "stun:stun.example.org"}]',
        fix="call it in a cell to see why",
    )
