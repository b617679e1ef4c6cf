"""Whether a datagram to the public address arrives here."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from gpuview.doctor.clients import open_stun_client
from gpuview.doctor.inbound_udp import Attempt, InboundTest, judge_attempts
from gpuview.doctor.report import Check
from gpuview.doctor.stun_turn import query_server
from gpuview.media.ice.sockets import Address
from gpuview.webrtc.ice_url import IceServerUrl, parse_ice_url
from tests.ports import free_port
from tests.turnserver import LOOPBACK, TurnServer, needs_coturn
from tests.waiting import wait_until

PUBLIC = ("203.0.113.9", 20111)
MISSED = Attempt("the TURN relay 198.18.0.10", False)
ARRIVED = Attempt("the TURN relay 198.18.0.10", True)
REFUSED = Attempt("the relay of turn:x", False, error="403 Forbidden")
LOOPED = Attempt("this machine", True, is_from_outside=False)
UNLOOPED = Attempt("this machine", False, is_from_outside=False)


@pytest.mark.parametrize(
    ("attempts", "is_own", "mark", "found"),
    [
        (
            [ARRIVED],
            False,
            "ok",
            "arrives at port 10111 here: sent by the TURN relay 198.18.0.10",
        ),
        ([ARRIVED], True, "ok", "arrives at port 10111 here"),
        ([MISSED, ARRIVED], False, "ok", "arrives at"),
        ([MISSED], False, "fail", "a datagram from the TURN relay 198.18.0.10 has not arrived"),
        ([REFUSED, UNLOOPED], False, "remark", "unknown: 403 Forbidden; nothing came back"),
        ([UNLOOPED], False, "remark", "unknown: nothing came back from inside"),
        ([LOOPED], False, "ok", "sent by this machine"),
        ([LOOPED], True, "remark", "the address belongs to this machine"),
    ],
)
def test_attempts_are_judged(attempts: list[Attempt], is_own: bool, mark: str, found: str) -> None:
    check = judge_attempts(PUBLIC, 10111, is_own, attempts)
    assert check.name == "inbound UDP 203.0.113.9 port 20111"
    assert check.mark == mark
    assert found in check.found
    assert bool(check.fix) == (mark != "ok")


def test_closed_port_names_both_ports_to_forward() -> None:
    fix = judge_attempts(PUBLIC, 10111, False, [MISSED]).fix
    assert fix.startswith("forward UDP 20111 at 203.0.113.9 to port 10111 of this machine")


def checked(
    host: str, *, relay: IceServerUrl | None = None, stun: IceServerUrl | None = None
) -> list[Check]:
    """Check whether ``host`` leads to a port of ours."""

    async def check() -> list[Check]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 0))
        sock.setblocking(False)
        results = [await query_server(stun)] if stun is not None else []
        async with open_stun_client(sock=sock) as client:
            target: Address = (host, client.port)
            return await InboundTest(client, target, relay, None, results).run()

    return asyncio.run(check())


def expect(mark: str, words: str, host: str, **by: IceServerUrl) -> None:
    """Check until this is found: on a busy machine a datagram may arrive too late."""

    def is_found() -> bool:
        (check,) = checked(host, **by)
        return check.mark == mark and words in check.found

    wait_until(is_found, f"{mark}: {words}", describe=lambda: checked(host, **by))


def test_own_address_is_looped_to_and_remarked_on() -> None:
    expect("remark", "belongs to this machine", "127.0.0.1")


def test_address_that_leads_elsewhere_is_not_known_without_help() -> None:
    (check,) = checked("192.0.2.66")
    assert check.mark == "remark"
    assert "gpuview doctor --via" in check.fix


@needs_coturn
def test_relay_and_second_stun_address_are_asked_for_help(tmp_path: Path) -> None:
    port = free_port()
    login = "lt-cred-mech\nuser=me:swordfish\nrealm=test"
    text = f"listening-port={port}\n{login}\n{LOOPBACK}\nlistening-ip=127.0.0.2"
    turn, stun = f"turn:127.0.0.1:{port}", f"stun:127.0.0.1:{port}"
    relay = IceServerUrl(turn, parse_ice_url(turn), ("me", "swordfish"))
    second = IceServerUrl(stun, parse_ice_url(stun))
    with TurnServer(tmp_path, text):
        # A relay in the same private network is no proof against a firewall, but it does reach us.
        expect("remark", "belongs to this machine", "127.0.0.2", relay=relay)
        # One that has the target's own address is not asked.
        expect("remark", "belongs to this machine", "127.0.0.1", relay=relay)
        expect("ok", "the second address of stun:", "127.0.0.1", stun=second)
