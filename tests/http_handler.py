"""What tests' HTTP servers share."""

from __future__ import annotations

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

__all__ = ["QuietHandler"]


class QuietHandler(BaseHTTPRequestHandler):
    """Reads and replies in one go, and prints nothing."""

    def content(self) -> str:
        """Return the request's content."""
        return self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()

    def reply(self, status: int, headers: Mapping[str, str], text: str = "") -> None:
        """Reply with these headers and this text."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""
