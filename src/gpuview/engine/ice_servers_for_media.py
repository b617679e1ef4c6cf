"""The ICE servers that the media process is told, or why it can be told none."""

from __future__ import annotations

import time

from gpuview.engine.process import MAX_LINE_NBYTES
from gpuview.errors import SettingsError
from gpuview.protocol.media_messages import IceServers
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.wire import encode
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import has_expired, kernel_servers

__all__ = ["IceServersForMedia"]

_LOGIN_MARGIN_S = 60.0


class IceServersForMedia:
    """Makes the message with the kernel's own servers, and makes it again only when it must."""

    def __init__(self) -> None:
        self._last: IceServers | None = None

    def message(self, settings: Settings, *, anew: bool) -> IceServers:
        """Return the servers, and the problem for the media process to tell.

        Waits for the user's function and for endpoints.

        Args:
            settings: Where the servers come from.
            anew: The last ones do not work; without it they are told again, as long as their
                logins are valid.
        """
        servers = self._last
        if anew or servers is None or not _is_good(servers):
            servers = self._last = _ask(settings, anew)
        return servers


def _ask(settings: Settings, anew: bool) -> IceServers:
    try:
        servers, problems = kernel_servers(settings, anew=anew)
        message = IceServers(ice_servers=list(servers), problems=problems)
        _check_length(message)
    except SettingsError as exc:
        problem = Problem(problem=exc.problem, expected=exc.expected, fix=exc.fix)
        return IceServers(problems=[problem])
    return message


def _is_good(servers: IceServers) -> bool:
    now_s = time.time() + _LOGIN_MARGIN_S
    has_expired_login = any(has_expired(each, now_s) for each in servers.ice_servers)
    return not servers.problems and not has_expired_login


def _check_length(message: IceServers) -> None:
    nbytes = len(encode("", message))
    if nbytes > MAX_LINE_NBYTES:
        raise SettingsError(
            f"cannot send ICE servers of {nbytes} bytes as JSON",
            expected=f"at most {MAX_LINE_NBYTES}",
            fix="give fewer servers: one is enough, and three are many",
        )
