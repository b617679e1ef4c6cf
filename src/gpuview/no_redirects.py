"""For urllib: a redirect is returned like any other answer. Followed, it takes a token along."""

from __future__ import annotations

from typing import Any
from urllib.request import HTTPRedirectHandler

__all__ = ["NoRedirects"]


class NoRedirects(HTTPRedirectHandler):
    """Follows none."""

    def redirect_request(self, *_: Any) -> None:
        return None
