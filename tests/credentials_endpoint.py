"""An endpoint of the TURN REST form, on loopback, that answers as it is told."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.http_handler import QuietHandler

__all__ = ["Answer", "Asked", "CredentialsEndpoint", "login"]

Answer = tuple[int, str]
"""The HTTP status and the body."""


def login(username: str = "1800000000:ann", **other: object) -> Answer:
    """Return a good answer, with other fields in place of its own."""
    fields = {"username": username, "password": "s3cret", "ttl": 600, "uris": ["turn:a"]} | other
    return 200, json.dumps(fields)


class Asked:
    """One request."""

    def __init__(self, path: str, headers: dict[str, str]) -> None:
        parts = urlsplit(path)
        self.path = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.headers = {name.lower(): value for name, value in headers.items()}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client has given up
            super().handle_error(request, client_address)


class CredentialsEndpoint:
    """Runs until it is closed.

    Args:
        answer: Called for each request, on a thread of its own.
    """

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        endpoint = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:  # noqa: N802
                asked = Asked(self.path, dict(self.headers))
                endpoint.asked.append(asked)
                status, body = endpoint.answer(asked)
                headers = {"Location": body} if 300 <= status < 400 else {}
                self.reply(status, headers, body)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
