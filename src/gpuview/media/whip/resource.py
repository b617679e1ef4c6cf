"""WHIP's HTTP requests. They block, so call them on a thread.

Source:
    RFC 9725: sections 4.2 (offer, answer and the session's end), 4.5 (redirects) and 4.7 (tokens).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, build_opener

from gpuview.errors import GpuviewError, NetworkError, PublishError, shorten
from gpuview.no_redirects import NoRedirects

__all__ = ["Session", "begin_session", "end_session"]

_TIMEOUT_S = 5.0
_MAX_ANSWER_NBYTES = 256 * 1024
_MAX_REDIRECTS = 4
_REDIRECTS = (307, 308)
# The ingest may take the same request later. 409: it has not yet noticed that we were gone.
_LATER = (408, 409, 425, 429)


@dataclass(frozen=True, slots=True)
class Session:
    """What an ingest has made for us."""

    url: str
    """Where it is ended."""
    answer: str
    """SDP."""


def begin_session(url: str, token: str, offer: str) -> Session:
    """Offer to send video.

    Args:
        url: Of the ingest.
        token: The bearer token; empty: none. It is not passed on to another server.
        offer: SDP.

    Raises:
        NetworkError: The ingest cannot be reached, or takes nothing now; try again later.
        PublishError: It refuses, or does not speak WHIP.
    """
    body = offer.encode()
    at = url
    for _ in range(_MAX_REDIRECTS):
        bearer = token if _origin(at) == _origin(url) else ""
        headers = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        status, given, content = _request("POST", at, headers, bearer, body)
        if status not in _REDIRECTS or "Location" not in given:
            return _session(at, status, given, content)
        at = urljoin(at, given["Location"])
        if urlsplit(at).scheme not in ("http", "https"):
            break
    raise PublishError(
        f"{_named(url)} leads elsewhere again and again, or to no web address",
        expected="the URL of a WHIP ingest",
        fix="see what the ingest's documentation gives as its WHIP URL",
    )


def end_session(url: str, token: str) -> None:
    """Tell the ingest that nothing more is sent. It notices by itself if it cannot be told."""
    with contextlib.suppress(GpuviewError):
        _request("DELETE", url, {}, token, None)


def _session(url: str, status: int, headers: Mapping[str, str], content: bytes) -> Session:
    if status != 201:
        raise _refusal(url, status, content)
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/sdp" or "Location" not in headers:
        raise PublishError(
            f"{_named(url)} answers, but not as WHIP does: "
            f"{kind or 'no type'}, {'a' if 'Location' in headers else 'no'} Location",
            expected="201 with an SDP answer and the session's Location",
            fix="see what the ingest's documentation gives as its WHIP URL",
        )
    return Session(urljoin(url, headers["Location"]), content.decode(errors="replace"))


def _refusal(url: str, status: int, content: bytes) -> GpuviewError:
    said = shorten(content.decode(errors="replace"), 200)
    problem = f"{_named(url)} answers {status}" + (f": {said}" if said else "")
    if status >= 500 or status in _LATER:
        return NetworkError(problem, expected="201", fix="nothing; it is tried again")
    if status in (401, 403):
        return PublishError(
            problem, expected="a token that may publish there", fix="check token=..."
        )
    return PublishError(
        problem,
        expected="201 from a WHIP ingest",
        fix="see what the ingest's documentation gives as its WHIP URL",
    )


def _request(
    method: str, url: str, headers: dict[str, str], token: str, body: bytes | None
) -> tuple[int, Mapping[str, str], bytes]:
    """Return the response's status, headers and content.

    Raises:
        NetworkError: There is none.
    """
    if token:
        headers = headers | {"Authorization": f"Bearer {token}"}
    request = Request(url, body, headers, method=method)
    try:
        with contextlib.closing(_opened(request)) as response:
            return response.status, response.headers, response.read(_MAX_ANSWER_NBYTES)
    except (OSError, HTTPException, ValueError) as exc:
        reason = getattr(exc, "reason", exc)
        raise NetworkError(
            f"{_named(url)} cannot be reached: {shorten(str(reason), 200) or type(exc).__name__}",
            expected="a WHIP ingest there, which this machine reaches",
            fix="nothing; it is tried again",
        ) from exc


def _opened(request: Request) -> Any:
    try:
        return _OPENER.open(request, timeout=_TIMEOUT_S)
    except HTTPError as exc:  # a response all the same
        return exc


_OPENER = build_opener(NoRedirects)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _named(url: str) -> str:
    """Return a URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
