"""A machine outside probes our port, and no other address."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.doctor.clients import open_endpoint
from gpuview.doctor.responder import ProbeMessage, Responder, request_probe
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import Address
from tests.ports import free_port

REQUESTER = ("198.51.100.20", 40000)
VICTIM = "192.0.2.66"
REQUEST = ProbeMessage("REQUEST", b"t" * 16, 10111)


def answered(
    responder: Responder, message: ProbeMessage, source: Address, now_s: float = 0.0
) -> object:
    """Return what is answered as a message, and where that goes."""
    answer = responder.answer(message.to_wire(), source, now_s)
    return None if answer is None else (ProbeMessage.from_wire(answer[0]), answer[1])


def proven(responder: Responder, message: ProbeMessage, source: Address) -> ProbeMessage:
    """Return the message with the cookie that its sender is given."""
    answer = responder.answer(message.to_wire(), source, 0.0)
    assert answer is not None
    proof = ProbeMessage.from_wire(answer[0])
    assert proof is not None
    assert (proof.kind, answer[1]) == ("COOKIE", source)
    return replace(message, cookie=proof.cookie)


# --- which addresses are probed ------------------------------------------------------------------


def test_requester_is_probed_when_its_address_is_proven() -> None:
    responder = Responder([])
    request = proven(responder, REQUEST, REQUESTER)
    probe_message = replace(request, kind="PROBE")
    assert answered(responder, request, REQUESTER) == (probe_message, (REQUESTER[0], 10111))


def test_forged_source_gets_a_cookie_and_nothing_else() -> None:
    responder = Responder([VICTIM])
    stolen = proven(responder, REQUEST, REQUESTER)
    for forged in (REQUEST, replace(REQUEST, cookie=b"c" * 16), stolen):
        answer = responder.answer(forged.to_wire(), (VICTIM, 40000), 0.0)
        assert answer is not None
        assert answer[1] == (VICTIM, 40000)
        message = ProbeMessage.from_wire(answer[0])
        assert message is not None
        assert message.kind == "COOKIE"


def test_third_party_is_not_probed_unless_allowed() -> None:
    request = replace(REQUEST, host=VICTIM)
    strict, lenient = Responder([]), Responder([VICTIM])
    proven_strict = proven(strict, request, REQUESTER)
    assert answered(strict, proven_strict, REQUESTER) == (
        replace(proven_strict, kind="DENY"),
        REQUESTER,
    )
    probe_message = proven(lenient, request, REQUESTER)
    assert answered(lenient, probe_message, REQUESTER) == (
        replace(probe_message, kind="PROBE"),
        (VICTIM, 10111),
    )


def test_cookie_is_good_for_some_seconds() -> None:
    responder = Responder([])
    request = proven(responder, REQUEST, REQUESTER)
    answers = [answered(responder, request, REQUESTER, now_s) for now_s in (0.0, 15.0, 25.0)]
    kinds = [answer[0].kind for answer in answers if isinstance(answer, tuple)]
    assert kinds == ["PROBE", "PROBE", "COOKIE"]


@pytest.mark.parametrize("kind", ["COOKIE", "PROBE", "DENY"])
def test_answers_are_not_answered(kind: str) -> None:
    responder = Responder([])
    assert answered(responder, replace(REQUEST, kind=kind), REQUESTER) is None  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_garbage_is_not_answered(data: bytes) -> None:
    assert Responder([]).answer(data, REQUESTER, 0.0) is None


@given(st.binary(min_size=64 - 8, max_size=64 - 8))
def test_whatever_has_the_right_beginning_is_answered_with_no_more_bytes(rest: bytes) -> None:
    data = b"gpuview?" + rest
    answer = Responder([]).answer(data, REQUESTER, 0.0)
    assert answer is None or (len(answer[0]) <= len(data) and answer[1] == REQUESTER)


@given(
    st.builds(
        ProbeMessage,
        st.sampled_from(["REQUEST", "COOKIE", "PROBE", "DENY"]),
        st.binary(min_size=16, max_size=16),
        st.integers(1, 65535),
        st.just("") | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str),
        st.binary(min_size=16, max_size=16),
    )
)
def test_message_comes_back_as_it_was(message: ProbeMessage) -> None:
    again = ProbeMessage.from_wire(message.to_wire())
    assert again is not None
    if message.host.startswith("::"):
        # The unspecified address means "here", and ::ffff:a.b.c.d is IPv4.
        again = replace(again, host=message.host)
    assert again == message


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
        async with open_endpoint(sock) as endpoint:
            target = (host, port or endpoint.port)
            return await request_probe(responder, endpoint, target, timeout_s=timeout_s)

    return asyncio.run(ask())


def test_probe_comes_in() -> None:
    with probe() as responder:
        assert is_probed(responder)


def test_probe_of_another_port_does_not_come_in() -> None:
    with probe() as responder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        assert not is_probed(responder, port=other.getsockname()[1], timeout_s=5.0)
        assert other.recv(100).startswith(b"gpuview?")


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
