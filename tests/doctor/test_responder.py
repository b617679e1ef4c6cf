"""A machine outside knocks at our port, and at nobody else's."""

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

from gpuview.doctor.clients import listening
from gpuview.doctor.responder import Message, Responder, ask_to_knock
from gpuview.errors import NetworkError
from gpuview.media.ice.sockets import Address
from tests.ports import free_port

ASKER = ("198.51.100.20", 40000)
VICTIM = "192.0.2.66"
ASK = Message("ASK", b"t" * 16, 10111)


def answered(responder: Responder, message: Message, source: Address, now_s: float = 0.0) -> object:
    """Return what is answered as a message, and where that goes."""
    answer = responder.answer(message.to_wire(), source, now_s)
    return None if answer is None else (Message.from_wire(answer[0]), answer[1])


def proven(responder: Responder, message: Message, source: Address) -> Message:
    """Return the message with the cookie that its sender is given."""
    answer = responder.answer(message.to_wire(), source, 0.0)
    assert answer is not None
    proof = Message.from_wire(answer[0])
    assert proof is not None
    assert (proof.kind, answer[1]) == ("PROVE", source)
    return replace(message, cookie=proof.cookie)


# --- whom it knocks at --------------------------------------------------------------------------


def test_asker_is_knocked_at_when_its_address_is_proven() -> None:
    responder = Responder([])
    asking = proven(responder, ASK, ASKER)
    knock = replace(asking, kind="KNOCK")
    assert answered(responder, asking, ASKER) == (knock, (ASKER[0], 10111))


def test_forged_source_gets_a_cookie_and_nothing_else() -> None:
    responder = Responder([VICTIM])
    stolen = proven(responder, ASK, ASKER)
    for forged in (ASK, replace(ASK, cookie=b"c" * 16), stolen):
        answer = responder.answer(forged.to_wire(), (VICTIM, 40000), 0.0)
        assert answer is not None
        assert answer[1] == (VICTIM, 40000)
        message = Message.from_wire(answer[0])
        assert message is not None
        assert message.kind == "PROVE"


def test_third_party_is_not_knocked_at_unless_allowed() -> None:
    asking = replace(ASK, host=VICTIM)
    strict, lenient = Responder([]), Responder([VICTIM])
    proven_strict = proven(strict, asking, ASKER)
    assert answered(strict, proven_strict, ASKER) == (replace(proven_strict, kind="DENY"), ASKER)
    knock = proven(lenient, asking, ASKER)
    assert answered(lenient, knock, ASKER) == (replace(knock, kind="KNOCK"), (VICTIM, 10111))


def test_cookie_is_good_for_some_seconds() -> None:
    responder = Responder([])
    asking = proven(responder, ASK, ASKER)
    answers = [answered(responder, asking, ASKER, now_s) for now_s in (0.0, 15.0, 25.0)]
    kinds = [answer[0].kind for answer in answers if isinstance(answer, tuple)]
    assert kinds == ["KNOCK", "KNOCK", "PROVE"]


@pytest.mark.parametrize("kind", ["PROVE", "KNOCK", "DENY"])
def test_answers_are_not_answered(kind: str) -> None:
    responder = Responder([])
    assert answered(responder, replace(ASK, kind=kind), ASKER) is None  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_garbage_is_not_answered(data: bytes) -> None:
    assert Responder([]).answer(data, ASKER, 0.0) is None


@given(st.binary(min_size=64 - 8, max_size=64 - 8))
def test_whatever_has_the_right_beginning_is_answered_with_no_more_bytes(rest: bytes) -> None:
    data = b"gpuview?" + rest
    answer = Responder([]).answer(data, ASKER, 0.0)
    assert answer is None or (len(answer[0]) <= len(data) and answer[1] == ASKER)


@given(
    st.builds(
        Message,
        st.sampled_from(["ASK", "PROVE", "KNOCK", "DENY"]),
        st.binary(min_size=16, max_size=16),
        st.integers(1, 65535),
        st.just("") | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str),
        st.binary(min_size=16, max_size=16),
    )
)
def test_message_comes_back_as_it_was(message: Message) -> None:
    again = Message.from_wire(message.to_wire())
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


def knocked(
    responder: Address, host: str = "127.0.0.1", *, port: int | None = None, timeout_s: float = 30.0
) -> bool:
    """Ask for a knock at our port, or at another one."""

    async def ask() -> bool:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 0))
        sock.setblocking(False)
        async with listening(sock) as ear:
            target = (host, port or ear.port)
            return await ask_to_knock(responder, ear, target, timeout_s=timeout_s)

    return asyncio.run(ask())


def test_knock_comes_in() -> None:
    with probe() as responder:
        assert knocked(responder)


def test_knock_at_another_port_does_not_come_in() -> None:
    with probe() as responder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        assert not knocked(responder, port=other.getsockname()[1], timeout_s=5.0)
        assert other.recv(100).startswith(b"gpuview?")


def test_address_that_does_not_ask_is_denied_until_it_is_allowed() -> None:
    with (
        probe() as responder,
        pytest.raises(NetworkError, match=r"may not knock at 127.0.0.2") as caught,
    ):
        knocked(responder, "127.0.0.2")
    assert f"gpuview probe --port {responder[1]} --allow 127.0.0.2" in caught.value.fix
    with probe("--allow", "127.0.0.2") as responder:
        assert knocked(responder, "127.0.0.2")


def test_asker_hears_from_the_address_that_it_asked() -> None:
    with probe("--allow", "127.0.0.1") as (_, port):
        assert knocked(("127.0.0.3", port))


@pytest.mark.parametrize("is_closed", [True, False])
def test_silent_responder_is_an_error_that_says_what_to_run(is_closed: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        responder = sock.getsockname()
        if is_closed:
            sock.close()
        with pytest.raises(NetworkError, match=r"127\.0\.0\.1 does not answer") as caught:
            knocked(responder, timeout_s=0.3)
    assert f"gpuview probe --port {responder[1]}" in caught.value.fix
