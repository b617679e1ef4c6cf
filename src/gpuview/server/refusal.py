"""Why a page's socket is closed: a code that the page tells apart, and words for a person."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CloseCode", "Refused"]


class CloseCode(IntEnum):
    """The codes that the extension closes a WebSocket with.

    ``js/src/carriers/close_codes.ts`` knows them, too.
    """

    NOT_ALLOWED = 4403
    """This connection will never be made: not a private socket, or a kernel on another machine."""
    NO_MEDIA_PROCESS = 4404
    """The kernel has no media process now. Try again later."""
    GONE = 4410
    """The media process ended the connection; a `Refusal` before it says why. Try again later."""
    TOO_MANY = 4429
    """There are ``c.GPUViewServer.max_sockets`` already. Try again later."""


class Refused(Exception):  # noqa: N818 - it is an answer
    """A connection to a media process is not made.

    Args:
        code: For the page.
        reason: One line for a person, without secrets or paths; at most 123 bytes, which is what a
            WebSocket's close carries.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
