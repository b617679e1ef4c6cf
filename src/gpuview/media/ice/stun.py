"""Asks a STUN server, from the shared socket, how that socket looks from outside."""

from __future__ import annotations

from aioice import stun

from gpuview.media.ice.sockets import Address
from gpuview.media.ice.udp_mux import SocketLeg, UdpMux

__all__ = ["ask_stun"]

_RETRANSMISSIONS = 1  # at 0 and 0.5 s; heard until 1.5 s


async def ask_stun(mux: UdpMux, leg: SocketLeg, server: Address) -> Address:
    """Return the address from which ``server`` sees the socket of ``leg``.

    Raises:
        TimeoutError: It is silent.
        ConnectionError: It answers with an error, or with no address.
    """
    asker = _Asker(leg)
    mux.hear_server(server, asker.hear)
    try:
        return await asker.ask(server)
    except stun.TransactionTimeout as exc:
        raise TimeoutError from exc
    except stun.TransactionFailed as exc:
        raise ConnectionError(str(exc)) from exc
    finally:
        mux.forget_server(server, asker.hear)


class _Asker:
    """One request; aioice's `TransactionSender`."""

    def __init__(self, leg: SocketLeg) -> None:
        self._leg = leg
        self._request = stun.Message(
            message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST
        )
        self._transaction: stun.Transaction | None = None

    async def ask(self, server: Address) -> Address:
        self._transaction = stun.Transaction(
            self._request, server, self, retransmissions=_RETRANSMISSIONS
        )
        response, _ = await self._transaction.run()
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None:
            raise ConnectionError("the answer holds no XOR-MAPPED-ADDRESS")
        return str(mapped[0]), int(mapped[1])

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        self._leg.send(bytes(message), addr)

    def hear(self, data: bytes) -> bool:
        try:
            message = stun.parse_message(data)
        except Exception:  # as in `udp_mux`: the parser trusts lengths
            return False
        is_ours = message.transaction_id == self._request.transaction_id
        if is_ours and self._transaction is not None and _is_response(message):
            self._transaction.response_received(message, ("", 0))
        return is_ours


def _is_response(message: stun.Message) -> bool:
    return message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR)
