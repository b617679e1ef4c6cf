"""Whether what is sent to the public address comes in here."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from gpuview.doctor.report import Check
from gpuview.doctor.servers import Server, find_stun
from gpuview.doctor.way_back import Attempt, WayBack, judge
from gpuview.media.probe import listening
from gpuview.media.sockets import Address
from gpuview.wire.ice import parse_ice_url
from tests.turnserver import LOOPBACK, TurnServer, needs_coturn

PUBLIC = ("203.0.113.9", 20111)
MISSED = Attempt("the TURN relay 198.18.0.10", False)
ARRIVED = Attempt("the TURN relay 198.18.0.10", True)
REFUSED = Attempt("the relay of turn:x", False, why="403 Forbidden")
LOOPED = Attempt("this machine", True, is_telling=False, is_from_outside=False)
UNLOOPED = Attempt("this machine", False, is_telling=False, is_from_outside=False)


@pytest.mark.parametrize(
    ("attempts", "is_own", "mark", "found"),
    [
        ([ARRIVED], False, "ok", "leads to port 10111 here: the TURN relay 198.18.0.10 has tried"),
        ([ARRIVED], True, "ok", "leads to port 10111 here"),
        ([MISSED, ARRIVED], False, "ok", "leads to"),
        ([MISSED], False, "fail", "what the TURN relay 198.18.0.10 sent there has not come in"),
        ([REFUSED, UNLOOPED], False, "remark", "not known: 403 Forbidden; nothing came back"),
        ([UNLOOPED], False, "remark", "not known: nothing came back from inside"),
        ([LOOPED], False, "ok", "this machine has tried it"),
        ([LOOPED], True, "remark", "the address is this machine's own"),
    ],
)
def test_attempts_are_judged(attempts: list[Attempt], is_own: bool, mark: str, found: str) -> None:
    check = judge(PUBLIC, 10111, is_own, attempts)
    assert check.name == "way back 203.0.113.9 port 20111"
    assert check.mark == mark
    assert found in check.found
    assert bool(check.fix) == (mark != "ok")


def test_closed_way_names_both_ports_to_forward() -> None:
    fix = judge(PUBLIC, 10111, False, [MISSED]).fix
    assert fix.startswith("forward UDP 20111 at 203.0.113.9 to port 10111 of this machine")


def checked(host: str, *, relay: Server | None = None, stun: Server | None = None) -> list[Check]:
    """Check the way back to our own port at ``host``."""

    async def check() -> list[Check]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 0))
        sock.setblocking(False)
        findings = [await find_stun(stun)] if stun is not None else []
        async with listening(sock) as ear:
            target: Address = (host, ear.port)
            return await WayBack(ear, target, relay=relay, via=None, stun=findings).check()

    return asyncio.run(check())


def test_own_address_is_looped_to_and_remarked_on() -> None:
    (check,) = checked("127.0.0.1")
    assert check.mark == "remark"
    assert "this machine's own" in check.found


def test_address_that_leads_elsewhere_is_not_known_without_help() -> None:
    (check,) = checked("192.0.2.66")
    assert check.mark == "remark"
    assert "gpuview doctor --via" in check.fix


@needs_coturn
def test_relay_and_second_stun_address_are_asked_for_help(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    login = "lt-cred-mech\nuser=me:swordfish\nrealm=test"
    text = f"listening-port={port}\n{login}\n{LOOPBACK}\nlistening-ip=127.0.0.2"
    turn, stun = f"turn:127.0.0.1:{port}", f"stun:127.0.0.1:{port}"
    relay = Server(turn, parse_ice_url(turn), ("me", "swordfish"))
    second = Server(stun, parse_ice_url(stun))
    with TurnServer(tmp_path, text):
        # A relay in the same private network is no proof against a firewall, but it does reach us.
        (by_relay,) = checked("127.0.0.2", relay=relay)
        # One that has the target's own address is not asked.
        (by_none,) = checked("127.0.0.1", relay=relay)
        (by_second,) = checked("127.0.0.1", stun=second)
    assert (by_relay.mark, "this machine's own" in by_relay.found) == ("remark", True)
    assert (by_none.mark, "this machine's own" in by_none.found) == ("remark", True)
    assert (by_second.mark, "the second address of stun:" in by_second.found) == ("ok", True)
