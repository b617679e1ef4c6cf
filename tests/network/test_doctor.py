"""The doctor behind a real NAT: it tells whether the public address and port lead to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gpuview.doctor import Check, Report
from gpuview.doctor.config_files import Site, coturn_config
from gpuview.settings import Settings
from tests.network.frp import FrpProxy
from tests.network.topology import Internet, Lan, Node
from tests.turnserver import TurnServer
from tests.waiting import wait_until

pytestmark = pytest.mark.network

PUBLIC_IP, PORT, PUBLIC_PORT = "203.0.113.10", 10111, 20111
KERNEL_IP = "192.168.77.2"
TURN_IP, PROBE_IP, FRP_IP = "198.18.0.10", "198.51.100.20", "203.0.113.20"
LOGIN = {"turn_username": "me", "turn_credential": "swordfish"}
INBOUND = f"inbound UDP {PUBLIC_IP} port {PUBLIC_PORT}"


@dataclass
class Ward:
    """The machine under test behind its router, and the machines outside."""

    internet: Internet
    lan: Lan
    probe: Node
    frp: Node


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    settings = Settings(turn_url=f"turn:{TURN_IP}", **LOGIN)  # type: ignore[arg-type]
    with Internet() as internet:
        lan = internet.lan("k", wan="203.0.113.10/28", host=f"{KERNEL_IP}/24")
        turn = internet.host("t", f"{TURN_IP}/24")
        probe = internet.host("p", f"{PROBE_IP}/28")
        frp = internet.host("f", f"{FRP_IP}/28")
        text = coturn_config(settings, Site())
        with TurnServer(tmp_path_factory.mktemp("coturn"), text, turn.prefix):
            yield Ward(internet, lan, probe, frp)


@pytest.fixture(autouse=True)
def router_without_forwards(ward: Ward) -> None:
    ward.lan.router.reset()


def examined(node: Node, *words: str, **settings: str) -> dict[str, Check]:
    """Run the doctor on a machine; return its checks by name."""
    variables = [f"GPUVIEW_{name.upper()}={value}" for name, value in settings.items()]
    command = ["env", *variables, sys.executable, "-m", "gpuview", "doctor", "--json", *words]
    done = subprocess.run([*node.prefix, *command], capture_output=True, text=True, check=False)
    report = Report.from_json(done.stdout)
    assert done.returncode == (0 if report.ok else 1)
    return {check.name: check for check in report.checks}


def patient(ward: Ward, *words: str, **settings: str) -> dict[str, Check]:
    """Examine the machine behind the NAT, whose router forwards another port to it."""
    ports = {"port_min": str(PORT), "public_port_min": str(PUBLIC_PORT)}
    return examined(ward.lan.host, *words, **{"public_ip": PUBLIC_IP, **ports, **settings})


def patient_until(ward: Ward, mark: str, *words: str, **settings: str) -> dict[str, Check]:
    """Examine it until the check has this mark: on a busy machine a datagram may seem lost."""

    def right() -> dict[str, Check]:
        checks = patient(ward, *words, **settings)
        return checks if checks[INBOUND].mark == mark else {}

    return wait_until(right, f"inbound UDP is judged {mark}")


def responding(node: Node, *words: str) -> None:
    """Start ``gpuview probe`` on a machine; it runs as long as the machine."""
    command = [sys.executable, "-m", "gpuview", "probe", *words]
    node.start(command, stdout=subprocess.DEVNULL)
    wait_until(lambda: node.listens(10200), "gpuview probe listens")


def forward(ward: Ward) -> None:
    ward.lan.router.forward("udp", PUBLIC_PORT, PUBLIC_PORT, to=PORT)


def test_turn_relay_tells_an_open_port_from_a_closed_one(ward: Ward) -> None:
    turn = {"turn_url": f"turn:{TURN_IP}", **LOGIN}
    closed = patient_until(ward, "fail", stun_url=f"stun:{TURN_IP}", **turn)
    forward(ward)
    opened = patient_until(ward, "ok", **turn)
    assert closed[f"TURN turn:{TURN_IP}"].mark == "ok"
    assert f"sees this machine at {PUBLIC_IP}" in closed[f"STUN stun:{TURN_IP}"].found
    assert f"forward UDP {PUBLIC_PORT} at {PUBLIC_IP}" in closed[INBOUND].fix
    assert f"sent by the TURN relay {TURN_IP}" in opened[INBOUND].found


def test_machine_outside_tells_an_open_port_from_a_closed_one(ward: Ward) -> None:
    responding(ward.probe)
    closed = patient_until(ward, "fail", "--via", PROBE_IP)
    forward(ward)
    patient_until(ward, "ok", "--via", PROBE_IP)
    assert f"a datagram from gpuview probe at {PROBE_IP}" in closed[INBOUND].found


def test_nobody_outside_means_that_it_is_not_known(ward: Ward) -> None:
    forward(ward)  # this router does not loop back
    check = patient(ward)[INBOUND]
    assert (check.mark, "unknown" in check.found) == ("remark", True)


def test_address_of_an_frp_server_is_reached_from_inside_as_from_outside(
    ward: Ward,
) -> None:
    name = f"inbound UDP {FRP_IP} port {PUBLIC_PORT}"
    closed = patient(ward, public_ip=FRP_IP)[name]
    with FrpProxy(ward.frp, ward.lan.host, "127.0.0.1", PORT, PORT, public_port_min=PUBLIC_PORT):
        opened = patient(ward, public_ip=FRP_IP)[name]
    assert (closed.mark, opened.mark) == ("remark", "ok")


def test_learnt_address_is_checked_as_well(ward: Ward) -> None:
    turn = {"turn_url": f"turn:{TURN_IP}", **LOGIN}
    ward.lan.router.forward("udp", PORT, PORT)
    settings = {"public_ip": "auto", "stun_url": f"stun:{TURN_IP}", "port_min": str(PORT), **turn}
    checks = examined(ward.lan.host, **settings)
    assert checks["public IP"].found == f"{PUBLIC_IP} (auto)"
    assert checks[f"inbound UDP {PUBLIC_IP} port {PORT}"].mark == "ok"
