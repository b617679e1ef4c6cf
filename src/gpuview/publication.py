"""Publications of a stream, as users see them: `Publication`, which `GPUStream.publish` returns.

The media process connects to the ingest, and again after an outage. The kernel keeps what it needs
for that: after the media process has died, the next one is told to go on.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from gpuview.errors import GpuviewError, PublishError
from gpuview.protocol.media_messages import (
    PublishingChanged,
    PublishingState,
    StartPublishing,
    StopPublishing,
)
from gpuview.protocol.page_messages import Message

__all__ = ["Publication", "Publications"]

logger = logging.getLogger("gpuview")

_MAX_CHARS = 2048
_FIX = 'stream.publish("https://host/whip", token="...")'


class Publication:
    """A stream on its way to a WHIP ingest; `GPUStream.publish` makes it. From any thread.

    As a context manager, it stops at the end of the ``with`` block.
    """

    def __init__(self, start: StartPublishing, stop: Callable[[Publication], None]) -> None:
        self.error: GpuviewError | None = None
        """Why it has ended without being stopped, or waits to try again; None otherwise."""
        self._start = start
        self._stop = stop
        self._state: PublishingState = "connecting"

    @property
    def state(self) -> PublishingState:
        """``"connecting"``, ``"live"``, ``"waiting"`` to try again, or ``"ended"``."""
        return self._state

    def stop(self) -> None:
        """End it; the ingest is told in the background. Safe to call twice."""
        if self._state != "ended":
            self._stop(self)

    def _follow(self, state: PublishingState, error: GpuviewError | None) -> None:
        self._state, self.error = state, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        # Neither the token nor a query, which may hold one.
        return f"<Publication {urlsplit(self._start.url).hostname} {self._state}>"


class Publications:
    """The publications of one stream. From any thread.

    Args:
        send: Sends a message about the stream to the media process.
        on_failed: Called with the error that has ended a publication, and with None when one
            begins.
        on_hint: Called with a sentence while one waits to try again, and then with "".
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        *,
        on_failed: Callable[[GpuviewError | None], None],
        on_hint: Callable[[str], None],
    ) -> None:
        self._send = send
        self._on_failed = on_failed
        self._on_hint = on_hint
        self._numbers = itertools.count(1)
        self._open: dict[int, Publication] = {}

    def start(self, url: str, token: str | None) -> Publication:
        """Begin to publish. Does not wait.

        Raises:
            PublishError: ``url`` is no web address, or the token no bearer token.
        """
        _check(url, token)
        start = StartPublishing(publication=next(self._numbers), url=url, token=token or "")
        publication = Publication(start, self._stop)
        self._on_failed(None)
        self._open[start.publication] = publication
        self._send(start)
        return publication

    def receive(self, message: PublishingChanged) -> None:
        """Take what the media process says about a publication."""
        publication = self._open.get(message.publication)
        if publication is None:
            return
        problem, error = message.problem, None
        if problem is not None:
            error = PublishError(problem.problem, expected=problem.expected, fix=problem.fix)
        publication._follow(message.state, error)
        if message.state == "ended":
            del self._open[message.publication]
            if error is not None:
                logger.warning("%s", error)
                self._on_failed(error)
        waiting = [each.error.problem for each in self._open.values() if each.error is not None]
        self._on_hint("; ".join(f"not published: {problem}" for problem in waiting))

    def resume(self) -> None:
        """Go on, because the media process has died and another one runs."""
        for publication in list(self._open.values()):
            self._send(publication._start)

    def end(self) -> None:
        """End all publications, which nobody sends any more."""
        publications, self._open = self._open, {}
        for publication in publications.values():
            publication._follow("ended", None)

    def _stop(self, publication: Publication) -> None:
        publication._follow("ended", None)
        if self._open.pop(publication._start.publication, None) is not None:
            self._send(StopPublishing(publication=publication._start.publication))
        if not self._open:
            self._on_hint("")

    def __repr__(self) -> str:
        return f"<Publications {list(self._open.values())}>"


def _check(url: object, token: object) -> None:
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise PublishError("the address is no URL", expected="the URL of a WHIP ingest", fix=_FIX)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > _MAX_CHARS:
        raise PublishError(
            f"cannot publish to a URL that begins with {parts.scheme or 'no scheme'!r}",
            expected=f"the http or https URL of a WHIP ingest, of up to {_MAX_CHARS} characters",
            fix=_FIX,
        )
    if parts.username or parts.password:
        raise PublishError(
            "the URL holds a user name or a password", expected="a bearer token", fix=_FIX
        )
    if token is None:
        return
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise PublishError(
            "the token has characters that no HTTP header can carry",
            expected="printable ASCII, as the ingest gives it",
            fix=_FIX,
        )
    if len(token) > _MAX_CHARS * 4:
        raise PublishError(
            f"the token has {len(token)} characters",
            expected=f"up to {_MAX_CHARS * 4}",
            fix=_FIX,
        )
