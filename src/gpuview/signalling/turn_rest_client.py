"""TURN logins from an endpoint of the TURN REST form: a service of the Hub, or anybody's.

Each answer is kept until shortly before it expires, so a page that asks again, or a connection that
is made anew, costs no request. A failure is kept for some seconds, so that many views do not wait
for the same silence.

Source:
    draft-uberti-behave-turn-rest-00, section 2.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from urllib.parse import urlencode, urlsplit

from gpuview.errors import NetworkError, SettingsError
from gpuview.no_redirects import NoRedirects
from gpuview.protocol.page_messages import IceServer
from gpuview.settings import Settings
from gpuview.signalling.time_limit import Overdue, call_within
from gpuview.webrtc.addresses import is_private, parse_address
from gpuview.webrtc.ice_server_list import parse_ice_servers

__all__ = ["TurnLogin", "fetch_turn_login", "forget_turn_logins", "hub_token", "read_login"]

_ANSWER_S = 4.0
_MAX_ANSWER_NBYTES = 64 * 1024
_MAX_KEPT = 256
_FAILURE_KEPT_S = 5.0
_SILENCE_KEPT_S = 30.0  # each time that it is asked again, a view waits
_MAX_TTL_S = 366 * 86400
_EXPECTED = 'an answer such as {"username": ..., "password": ..., "ttl": 3600, "uris": [...]}'
_STATUS_FIXES = {
    **dict.fromkeys(
        (301, 302, 303, 307, 308),
        "set GPUVIEW_TURN_CREDENTIALS_URL to where it leads; no token follows a redirect",
    ),
    401: "set GPUVIEW_TURN_CREDENTIALS_TOKEN to a token that the endpoint knows",
    403: "grant the user and the server's token the scope of the service; without the Hub, set "
    "GPUVIEW_TURN_CREDENTIALS_TOKEN",
    404: "correct the path of GPUVIEW_TURN_CREDENTIALS_URL",
    429: "open fewer views at a time, or raise GPUViewHub.requests_per_minute",
}


@dataclass(frozen=True, slots=True)
class TurnLogin:
    """What the endpoint answered: TURN servers with a login for them, and until when it is good."""

    server: IceServer
    ttl_s: float
    """For how long the endpoint promised it, in seconds."""
    good_until_s: float
    """When to ask for another, as `time.monotonic` counts."""


@dataclass(frozen=True, slots=True)
class _Failure:
    error: NetworkError
    good_until_s: float


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where to ask, and as whom."""

    url: str
    token: str | None = field(repr=False)
    key: str | None = field(repr=False)
    is_hub: bool

    @property
    def name(self) -> str:
        """The URL for a person: its query may hold a key."""
        return self.url.partition("?")[0]

    def request(self, user: str) -> urllib.request.Request:
        query = {"service": "turn", "username": user}
        if self.key is not None:
            query["key"] = self.key
        joint = "&" if "?" in self.url else "?"
        headers = {"Accept": "application/json", "User-Agent": "gpuview"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return urllib.request.Request(f"{self.url}{joint}{urlencode(query)}", headers=headers)


_lock = threading.Lock()
_kept: OrderedDict[tuple[_Endpoint, str], TurnLogin] = OrderedDict()
_failures: dict[_Endpoint, _Failure] = {}


def fetch_turn_login(settings: Settings, user: str, *, anew: bool = False) -> TurnLogin | None:
    """Return TURN servers with a login, from the endpoint in the settings; None if there is none.

    Waits for the endpoint, at most 4 s, so it belongs on a thread that nobody waits for.

    Args:
        settings: The stream's.
        user: Who asks. An endpoint without accounts puts this name into the login.
        anew: A TURN server has refused what was answered before, so none of it is used again.

    Raises:
        NetworkError: The endpoint did not answer, or with something else. Says nothing secret.
    """
    if settings.turn_credentials_url is None:
        return None
    endpoint = _endpoint(settings, os.environ)
    if anew:
        forget_turn_logins()
    known = _known(endpoint, user, time.monotonic()) or _ask(endpoint, user)
    if isinstance(known, _Failure):
        raise known.error.with_traceback(None)
    return known


def _known(endpoint: _Endpoint, user: str, now_s: float) -> TurnLogin | _Failure | None:
    with _lock:
        kept = (_kept.get((endpoint, user)), _failures.get(endpoint))
    return next((each for each in kept if each is not None and each.good_until_s > now_s), None)


def forget_turn_logins() -> None:
    """Forget all answers, so that the endpoint is asked again."""
    with _lock:
        _kept.clear()
        _failures.clear()


def hub_token(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the token of this single-user server if ``url`` is a service of its Hub.

    The token can do what the server's user can, so it goes nowhere else: the path must be that of a
    service, and the host the Hub's own, or one that is found only inside of its network.

    Args:
        url: Of the endpoint.
        environ: ``JUPYTERHUB_API_TOKEN``, ``JUPYTERHUB_API_URL`` and others are read.
    """
    token = environ.get("JUPYTERHUB_API_TOKEN")
    if not token:
        return None
    place = urlsplit(url)
    base = _base_of_hub(environ)
    host = place.hostname or ""
    if not place.path.startswith(f"{base}services/"):
        return None
    names = ("JUPYTERHUB_API_URL", "JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_HOST")
    hubs = [urlsplit(environ.get(name, "")).hostname for name in names]
    return token if host in hubs or _is_inside(host) else None


def _base_of_hub(environ: Mapping[str, str]) -> str:
    """Return the path that the Hub and its services are below; it ends with a slash.

    ``JUPYTERHUB_BASE_URL`` is that path, and ``JUPYTERHUB_SERVICE_PREFIX`` the server's own.
    """
    return environ.get("JUPYTERHUB_BASE_URL", "/").rstrip("/") + "/"


def _is_inside(host: str) -> bool:
    """Tell whether only an inner network has this host."""
    address = parse_address(host)
    if address is not None:
        return is_private(address)
    return "." not in host or host.endswith((".svc", ".svc.cluster.local"))


def _endpoint(settings: Settings, environ: Mapping[str, str]) -> _Endpoint:
    url, key = settings.turn_credentials_url or "", settings.turn_credentials_key
    token = settings.turn_credentials_token
    if token is not None:
        return _Endpoint(url, token, key, is_hub=False)
    of_hub = hub_token(url, environ)
    return _Endpoint(url, of_hub, key, is_hub=of_hub is not None)


def _ask(endpoint: _Endpoint, user: str) -> TurnLogin | _Failure:
    try:
        content = call_within(_ANSWER_S, partial(_get, endpoint, endpoint.request(user)))
        login = read_login(content, time.monotonic())
    except Exception as exc:  # an HTTP library fails in many ways, and the picture goes on
        is_silent = isinstance(exc, TimeoutError) or isinstance(_reason(exc), TimeoutError)
        kept_s = _SILENCE_KEPT_S if is_silent else _FAILURE_KEPT_S
        failure = _Failure(_error(endpoint, exc), time.monotonic() + kept_s)
        with _lock:
            _failures[endpoint] = failure
        return failure
    with _lock:
        _failures.pop(endpoint, None)
        _kept[endpoint, user] = login
        _kept.move_to_end((endpoint, user))
        while len(_kept) > _MAX_KEPT:
            _kept.popitem(last=False)
    return login


def _get(endpoint: _Endpoint, request: urllib.request.Request) -> bytes:
    handlers: list[urllib.request.BaseHandler] = [NoRedirects()]
    if endpoint.is_hub:
        # A proxy to the internet does not lead to the Hub, and is not to see its tokens.
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(request, timeout=_ANSWER_S) as answer:
        content: bytes = answer.read(_MAX_ANSWER_NBYTES + 1)
    if len(content) > _MAX_ANSWER_NBYTES:
        raise ValueError(f"an answer of more than {_MAX_ANSWER_NBYTES} bytes")
    return content


def read_login(content: bytes, now_s: float) -> TurnLogin:
    """Read the endpoint's answer.

    Args:
        content: JSON with ``username``, ``password``, ``ttl`` in seconds and ``uris``.
        now_s: When it was asked for, as `time.monotonic` counts.

    Raises:
        ValueError: It is something else; the message says nothing secret.
    """
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("an answer that is no JSON") from None
    fields = answer if isinstance(answer, dict) else {}
    ttl_s, uris = fields.get("ttl"), fields.get("uris")
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or not 0 < ttl_s <= _MAX_TTL_S:
        raise ValueError("an answer without ttl, a number of seconds")
    server = {
        "urls": uris,
        "username": fields.get("username"),
        "credential": fields.get("password"),
    }
    try:
        (parsed,) = parse_ice_servers([server])
    except SettingsError as exc:
        raise ValueError(f"an answer of which it {exc.problem}") from None
    return TurnLogin(parsed, ttl_s, now_s + ttl_s - min(ttl_s / 4, 120))


def _error(endpoint: _Endpoint, exc: Exception) -> NetworkError:
    expected, fix = _EXPECTED, f"look at the endpoint's log: {endpoint.name}"
    match exc:
        case urllib.error.HTTPError(code=status):
            exc.close()
            why = f"answers with the HTTP status {status}"
            fix = _STATUS_FIXES.get(status, fix)
            if status in (401, 403) and endpoint.token is None:
                why += "; no token was sent"
        case Overdue():
            why, fix = f"has not answered: {exc}", _unreachable_fix(endpoint)
        case OSError() | HTTPException():
            why, fix = f"cannot be reached: {_words(exc)}", _unreachable_fix(endpoint)
        case ValueError():
            why = f"gave {exc}"
        case _:
            why = f"failed with {type(exc).__name__}"
    return NetworkError(
        f"there is no TURN login: {endpoint.name} {why}", expected=expected, fix=fix
    )


def _reason(exc: Exception) -> Exception:
    """Return what an URLError is about, or the exception itself."""
    reason = getattr(exc, "reason", None)
    return reason if isinstance(reason, Exception) else exc


def _words(exc: Exception) -> str:
    cause = _reason(exc)
    return getattr(cause, "strerror", None) or type(cause).__name__


def _unreachable_fix(endpoint: _Endpoint) -> str:
    service = urlsplit(endpoint.url).netloc
    return f"see that {service} runs, and that firewalls and network policies let this machine in"
