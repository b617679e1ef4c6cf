"""The small internet is what it says: without that, no other test here means anything."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.network.topology import DEAD, Internet, Node, namespaces
from tests.waiting import wait_until

pytestmark = pytest.mark.network

# Answers each datagram with the address that it came from.
ECHO = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
while True:
    _, address = server.recvfrom(100)
    server.sendto(f"{address[0]} {address[1]}".encode(), address)
"""

# Asks some servers from one socket; prints one line each, empty where no answer comes.
ASK = """
import socket, sys
family = socket.AF_INET6 if sys.argv[1].count(":") > 1 else socket.AF_INET
client = socket.socket(family, socket.SOCK_DGRAM)
client.bind(("", 5000))
client.settimeout(0.25)
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        client.sendto(b"?", (host, int(port)))
        print(client.recv(100).decode())
    except TimeoutError:
        print()
"""


@pytest.fixture
def internet() -> Iterator[Internet]:
    with Internet(has_ipv6=True) as internet:
        yield internet


@pytest.fixture
def server(internet: Internet) -> Node:
    node = internet.host("t", "198.18.0.10/24", "198.18.0.11/24", "2001:db8:9::10/64")
    for address in ("198.18.0.10", "198.18.0.11", "2001:db8:9::10"):
        _echo(node, address, 7)
    return node


def test_a_public_machine_is_seen_as_it_is(internet: Internet, server: Node) -> None:
    public = internet.host("p", "198.51.100.20/28", "2001:db8:3::20/64")
    _expect(["198.51.100.20 5000"], public, "198.18.0.10:7")
    _expect(["2001:db8:3::20 5000"], public, "2001:db8:9::10:7")
    _expect([""], public, f"{DEAD}:7")


def test_a_cone_keeps_the_port_and_a_symmetric_nat_has_one_for_each_server(
    internet: Internet, server: Node
) -> None:
    home = internet.lan("b", wan="198.51.100.36/28", host="10.0.0.20/24").host
    hotel = internet.lan("s", wan="198.51.100.52/28", host="10.0.0.20/24", nat="symmetric").host
    _expect(["198.51.100.36 5000"] * 2, home, "198.18.0.10:7", "198.18.0.11:7")
    seen = wait_until(lambda: _all_answers(hotel, "198.18.0.10:7", "198.18.0.11:7"), "both answer")
    assert {line.split()[0] for line in seen} == {"198.51.100.52"}
    assert len({"198.51.100.52 5000", *seen}) == 3


def test_a_router_lets_in_what_was_asked_for_or_is_forwarded_and_nothing_else(
    internet: Internet, server: Node
) -> None:
    office = internet.lan(
        "k",
        wan=("203.0.113.10/28", "2001:db8:1::10/64"),
        host=("192.168.77.2/24", "fd00:77::2/64"),
    )
    for address in ("192.168.77.2", "fd00:77::2"):
        _echo(office.host, address, 10111)
    doors = ["203.0.113.10:10111", "192.168.77.2:10111"]
    _expect(["", ""], server, *doors)
    _expect([""], server, "2001:db8:1::10:10111")

    office.router.forward("udp", 20111, 20112, to=10111)
    _expect(["198.18.0.10 5000", "", ""], server, "203.0.113.10:20111", *doors)
    _expect(["2001:db8:9::10 5000"], server, "2001:db8:1::10:20111")

    office.router.reset()
    _expect([""], server, "203.0.113.10:20111")
    _expect(["203.0.113.10 5000"], office.host, "198.18.0.10:7")
    office.router.reset()
    office.router.keep_in()
    _expect([""], office.host, "198.18.0.10:7")


def test_the_middle_blocks_and_loses_and_opens_up_again(internet: Internet, server: Node) -> None:
    node = internet.host("x", "198.51.100.68/28")
    internet.only_via("198.18.0.10")
    _expect(["198.51.100.68 5000", ""], node, "198.18.0.10:7", "198.18.0.11:7")
    internet.block("x")
    _expect([""], node, "198.18.0.10:7")
    internet.open_up()
    _expect(["198.51.100.68 5000"] * 2, node, "198.18.0.10:7", "198.18.0.11:7")
    with internet.losing("x", 1):
        _expect([""], node, "198.18.0.10:7")
    with internet.losing("x", 0.5):
        twenty = ["198.18.0.10:7"] * 20
        wait_until(lambda: len(set(_ask(node, *twenty))) == 2, "some are answered, and not all")
    with internet.unplugged("x"):
        assert "NO-CARRIER" in node.run("ip link show wan")
    wait_until(lambda: _all_answers(node, "198.18.0.10:7"), "the cable is back")


def test_nothing_is_left_of_it() -> None:
    before = namespaces()
    with Internet() as internet:
        node = internet.host("p", "198.51.100.20/28")
        process = node.start(["sleep", "1000"])
        assert node.name in namespaces()
        family = node.name.rpartition("-")[0]  # other tests beside this one have namespaces as well
    assert not {name for name in namespaces() - before if name.startswith(family)}
    assert process.returncode is not None


def _echo(node: Node, address: str, port: int) -> None:
    node.start(["python3", "-c", ECHO, address, str(port)])
    wait_until(lambda: node.listens(port), "the echo server listens")


def _expect(answers: list[str], node: Node, *targets: str) -> None:
    """Ask until the answers are these: a machine that is busy may answer too late for once."""
    wait_until(
        lambda: _ask(node, *targets) == answers,
        f"{targets} answer {answers}",
        describe=lambda: _ask(node, *targets),
    )


def _all_answers(node: Node, *targets: str) -> list[str]:
    """Ask, and return nothing unless all have answered."""
    answers = _ask(node, *targets)
    return [] if "" in answers else answers


def _ask(node: Node, *targets: str) -> list[str]:
    command = [*node.prefix, "python3", "-c", ASK, *targets]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
