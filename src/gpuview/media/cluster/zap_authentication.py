"""Which keys may come in: answers ZeroMQ's ZAP (RFC 27) before a CURVE connection's first message.

Source:
    https://rfc.zeromq.org/spec/27 (the request's and the reply's frames, the endpoint).
"""

from __future__ import annotations

from collections.abc import Callable

import zmq
from zmq.utils import z85

from gpuview.media.cluster.loop_socket import LoopSocket

__all__ = ["ZapAuthenticator"]

_ENDPOINT = "inproc://zeromq.zap.01"


class ZapAuthenticator:
    """Answers for all CURVE sockets of a context, from its construction to `close`.

    A message that is let in carries the key that its sender has shown as its ``User-Id``. Lives on
    the event loop.

    Args:
        context: Of those sockets, which are bound later.
        is_known: Tells whether who has this public key may come in.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], is_known: Callable[[str], bool]
    ) -> None:
        self._is_known = is_known
        self._socket = LoopSocket(context.socket(zmq.ROUTER), self._answer_for_key)
        self._socket.raw.bind(_ENDPOINT)

    def close(self) -> None:
        """Answer no more."""
        self._socket.close()

    def _answer_for_key(self, frames: list[zmq.Frame]) -> None:
        parts = [frame.bytes for frame in frames]
        *envelope, version, request, _domain, _address, _identity, _mechanism, key = parts
        name = z85.encode(key)
        is_known = self._is_known(name.decode())
        status, text = (b"200", b"OK") if is_known else (b"400", b"no run has this key")
        user = name if is_known else b""
        self._socket.send([*envelope, version, request, status, text, user, b""])

    def __repr__(self) -> str:
        return f"<ZapAuthenticator {self._is_known!r}>"
