"""The STUN client, for the media process and for the doctor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aioice import stun

from gpuview.media.ice.retry import retransmit
from gpuview.media.ice.sockets import Address

__all__ = [
    "StunClient",
    "StunResponse",
    "is_response",
    "is_stun",
    "parse_stun",
    "response_to",
]

Send = Callable[[bytes], Awaitable[None] | None]

_COOKIE = b"\x21\x12\xa4\x42"
_CHANGE_ADDRESS_AND_PORT = 0x06


def is_stun(data: bytes) -> bool:
    """Tell whether a datagram begins like a STUN message."""
    return data[4:8] == _COOKIE and data[0] < 4


def parse_stun(data: bytes) -> stun.Message | None:
    """Return the message; None where it is malformed."""
    try:
        return stun.parse_message(data)
    except Exception:  # struct.error, KeyError and others: the parser trusts attribute lengths
        return None


def response_to(request: stun.Message, attributes: dict[str, Any]) -> bytes:
    """Return the response to a request; an error response if it has an ERROR-CODE."""
    kind = stun.Class.ERROR if "ERROR-CODE" in attributes else stun.Class.RESPONSE
    return bytes(stun.Message(request.message_method, kind, request.transaction_id, attributes))


def is_response(message: stun.Message) -> bool:
    """Tell whether a message answers a request."""
    return message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR)


@dataclass(frozen=True, slots=True)
class StunResponse:
    """The answer of a STUN server."""

    mapped: Address
    """Our socket's address, as the server sees it."""
    other: Address | None
    """The server's second address, from which it answers on request."""
    source: Address
    """The source address of the answer."""


class StunClient(asyncio.DatagramProtocol):
    """Sends STUN requests from its transport's socket, and matches the responses to them."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self._responses: dict[bytes, asyncio.Future[tuple[bytes, Address]]] = {}

    @property
    def port(self) -> int:
        """The local port."""
        return int(self.transport.get_extra_info("sockname")[1])

    async def query(
        self, server: Address | None = None, *, from_other: bool = False
    ) -> StunResponse:
        """Query a server for our reflexive address; the caller limits the time.

        Args:
            server: Its address; None if the transport is connected to it.
            from_other: Request the answer from its second address and port.

        Raises:
            ConnectionError: The server answers with an error, or nothing listens there.

        Source:
            RFC 8489; RFC 5780 section 7.2 (CHANGE-REQUEST).
        """
        attributes = {"CHANGE-REQUEST": _CHANGE_ADDRESS_AND_PORT} if from_other else {}
        return _parse_response(
            *await self.transact(lambda data: self.transport.sendto(data, server), attributes)
        )

    async def transact(
        self, send: Send, attributes: dict[str, Any] | None = None
    ) -> tuple[stun.Message, Address]:
        """Send a binding request until a message with its transaction id arrives here.

        Args:
            send: Sends it, from this socket or from another.
            attributes: The request's.

        Returns:
            The message and its source.

        Raises:
            ConnectionError: The message is malformed, or nothing listens at the server.
        """
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
        data, transaction_id = bytes(request), request.transaction_id
        response = asyncio.get_running_loop().create_future()
        self._responses[transaction_id] = response
        try:
            answer, source = await retransmit(lambda: send(data), response)
        finally:
            del self._responses[transaction_id]
        message = parse_stun(answer)
        if message is None:
            raise ConnectionError("the answer is malformed")
        return message, source

    def expects(self, data: bytes) -> bool:
        """Tell whether a datagram answers a request of ours."""
        return is_stun(data) and data[8:20] in self._responses

    # --- called by the transport ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        response = self._responses.get(data[8:20])
        if response is not None and not response.done():
            response.set_result((data, (str(addr[0]), int(addr[1]))))

    def error_received(self, exc: Exception) -> None:
        # Only a connected socket is notified of an ICMP "port unreachable".
        for response in self._responses.values():
            if not response.done():
                response.set_exception(exc)


def _parse_response(message: stun.Message, source: Address) -> StunResponse:
    attributes = message.attributes
    mapped = attributes.get("XOR-MAPPED-ADDRESS") or attributes.get("MAPPED-ADDRESS")
    if mapped is None:
        code, reason = attributes.get("ERROR-CODE", (0, "no mapped address"))
        raise ConnectionError(f"it answers {code} {reason}")
    return StunResponse(mapped, attributes.get("OTHER-ADDRESS"), source)
