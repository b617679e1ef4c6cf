"""A machine outside probes our port, and no other address."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from gpuview.doctor.clients import open_stun_client
from gpuview.doctor.responder import Responder, request_probe
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import Address
from tests.ports import free_port

REQUESTER = ("198.51.100.20", 40000)
TARGET = (REQUESTER[0], 10111)
VICTIM = ("192.0.2.66", 10111)
FORBIDDEN, STALE_NONCE = 403, 438


def message(
    target: Address, nonce: bytes = bytes(16), kind: stun.Class = stun.Class.REQUEST
) -> bytes:
    attributes = {"XOR-PEER-ADDRESS": target, "NONCE": nonce}
    return bytes(stun.Message(stun.Method.BINDING, kind, b"t" * 12, attributes))


def answered(
    responder: Responder, request: bytes, source: Address, now_s: float = 0.0
) -> tuple[stun.Message, Address]:
    """Return the answer, which is never longer than the request, and where it goes."""
    answer = responder.answer(request, source, now_s)
    assert answer is not None
    assert len(answer[0]) <= len(request)
    parsed = stun.parse_message(answer[0])
    assert parsed.transaction_id == b"t" * 12
    return parsed, answer[1]


def nonce_for(responder: Responder, source: Address, target: Address) -> bytes:
    """Return the nonce that is given to ``source``."""
    answer, where = answered(responder, message(target), source)
    assert (answer.error_code, where) == (STALE_NONCE, source)
    nonce = answer.attributes["NONCE"]
    assert isinstance(nonce, bytes)
    return nonce


# --- which addresses are probed ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"), [(REQUESTER, TARGET), (("2001:db8::9", 4), ("2001:db8::9", 5))]
)
def test_requester_is_probed_when_its_address_is_proven(source: Address, target: Address) -> None:
    responder = Responder([])
    nonce = nonce_for(responder, source, target)
    answer, where = answered(responder, message(target, nonce), source)
    assert (answer.message_class, where) == (stun.Class.RESPONSE, target)


def test_forged_source_gets_a_nonce_and_nothing_else() -> None:
    responder = Responder([VICTIM[0]])
    stolen = nonce_for(responder, REQUESTER, TARGET)
    for nonce in (bytes(16), b"c" * 16, stolen):
        answer, where = answered(responder, message(VICTIM, nonce), (VICTIM[0], 40000))
        assert (answer.error_code, where) == (STALE_NONCE, (VICTIM[0], 40000))


def test_third_party_is_not_probed_unless_allowed() -> None:
    strict, lenient = Responder([]), Responder([VICTIM[0]])
    for nonce in (bytes(16), nonce_for(strict, REQUESTER, TARGET)):
        answer, where = answered(strict, message(VICTIM, nonce), REQUESTER)
        assert (answer.error_code, where) == (FORBIDDEN, REQUESTER)
    nonce = nonce_for(lenient, REQUESTER, VICTIM)
    answer, where = answered(lenient, message(VICTIM, nonce), REQUESTER)
    assert (answer.message_class, where) == (stun.Class.RESPONSE, VICTIM)


def test_nonce_is_good_for_some_seconds() -> None:
    responder = Responder([])
    request = message(TARGET, nonce_for(responder, REQUESTER, TARGET))
    answers = [answered(responder, request, REQUESTER, now_s)[0] for now_s in (0.0, 15.0, 25.0)]
    assert [each.error_code for each in answers] == [None, None, STALE_NONCE]


@pytest.mark.parametrize("kind", [stun.Class.RESPONSE, stun.Class.ERROR])
def test_answers_are_not_answered(kind: stun.Class) -> None:
    assert Responder([]).answer(message(TARGET, kind=kind), REQUESTER, 0.0) is None


@pytest.mark.parametrize("attributes", [{}, {"XOR-PEER-ADDRESS": TARGET}, {"NONCE": bytes(16)}])
def test_request_too_short_for_its_answer_is_not_answered(attributes: dict[str, object]) -> None:
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
    assert Responder([]).answer(bytes(request), REQUESTER, 0.0) is None


@given(st.binary(max_size=200))
def test_garbage_is_not_answered(data: bytes) -> None:
    assert Responder([]).answer(data, REQUESTER, 0.0) is None


@given(st.binary(max_size=40), st.integers(0, 52))
def test_whatever_has_the_right_beginning_is_answered_with_no_more_bytes(
    rest: bytes, n_right: int
) -> None:
    data = message(TARGET)[:n_right] + rest
    answer = Responder([]).answer(data, REQUESTER, 0.0)
    assert answer is None or (len(answer[0]) <= len(data) and answer[1] == REQUESTER)


# --- the real thing -----------------------------------------------------------------------------


@contextmanager
def probe(*options: str) -> Iterator[Address]:
    """Run ``gpuview probe``; yield where."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "gpuview", "probe", "--port", str(port), *options],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert f"answering at UDP port {port}" in process.stdout.readline()
            yield "127.0.0.1", port
        finally:
            process.terminate()


def is_probed(
    responder: Address, host: str = "127.0.0.1", *, port: int | None = None, timeout_s: float = 30.0
) -> bool:
    """Request a probe of our port, or of another one."""

    async def ask() -> bool:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 0))
        sock.setblocking(False)
        async with open_stun_client(sock=sock) as client:
            target = (host, port or client.port)
            return await request_probe(responder, client, target, timeout_s=timeout_s)

    return asyncio.run(ask())


def test_probe_comes_in() -> None:
    with probe() as responder:
        assert is_probed(responder)


def test_probe_of_another_port_does_not_come_in() -> None:
    with probe() as responder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        assert not is_probed(responder, port=other.getsockname()[1], timeout_s=2.0)
        assert stun.parse_message(other.recv(100)).message_class is stun.Class.RESPONSE


def test_address_of_somebody_else_is_denied_until_it_is_allowed() -> None:
    with (
        probe() as responder,
        pytest.raises(NetworkError, match=r"may not probe 127.0.0.2") as caught,
    ):
        is_probed(responder, "127.0.0.2")
    assert f"gpuview probe --port {responder[1]} --allow 127.0.0.2" in caught.value.fix
    with probe("--allow", "127.0.0.2") as responder:
        assert is_probed(responder, "127.0.0.2")


def test_answer_comes_from_the_address_that_the_request_went_to() -> None:
    with probe("--allow", "127.0.0.1") as (_, port):
        assert is_probed(("127.0.0.3", port))


@pytest.mark.parametrize("is_closed", [True, False])
def test_silent_responder_is_an_error_that_says_what_to_run(is_closed: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        responder = sock.getsockname()
        if is_closed:
            sock.close()
        with pytest.raises(NetworkError, match=r"127\.0\.0\.1 does not answer") as caught:
            is_probed(responder, timeout_s=0.3)
    assert f"gpuview probe --port {responder[1]}" in caught.value.fix
