"""The command line, as a person and as a script runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuview import cli
from gpuview.doctor import Check, Report, run_in_subprocess
from gpuview.doctor.child_process import environment_of
from gpuview.settings import Settings
from tests.ports import free_port
from tests.turnserver import TurnServer, needs_coturn
from tests.waiting import wait_until


def gpuview(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings and no others."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GPUVIEW_")
    }
    # Do not wait long if there is no name server.
    environment["RES_OPTIONS"] = "timeout:1 attempts:1"
    environment |= {f"GPUVIEW_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "gpuview", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def doctor_until(
    is_right: Callable[[subprocess.CompletedProcess[str]], bool], *words: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the doctor until it is right: on a busy machine a good server may seem to be silent."""

    def right() -> subprocess.CompletedProcess[str] | None:
        done = gpuview("doctor", "--json", *words, **settings)
        return done if is_right(done) else None

    found = wait_until(right, "the doctor is right")
    assert found is not None
    return found


def checks_of(done: subprocess.CompletedProcess[str]) -> dict[str, Check]:
    return {check.name: check for check in Report.from_json(done.stdout).checks}


# --- doctor -------------------------------------------------------------------------------------


@pytest.mark.command
def test_machine_without_settings_passes_all_checks() -> None:
    done = gpuview("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ok", "settings", "valid"]
    assert lines[-1].startswith("None of ")
    assert any(line.split()[:3] == ["ok", "encoder", "VP8"] for line in lines)


@pytest.mark.command
def test_bad_setting_is_one_failed_check_and_the_rest_is_still_examined() -> None:
    done = gpuview("doctor", "--json", port_min="10115", port_max="10111")
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False
    checks = checks_of(done)
    assert checks["settings"].found == "cannot use port_min = 10115 with port_max = 10111"
    assert checks["settings"].fix == "exchange the two"
    assert checks["encoder H264 Main"].mark == "ok"


@pytest.mark.command
def test_unknown_variable_is_a_remark() -> None:
    done = gpuview("doctor", "--json", publicip="203.0.113.9")
    assert done.returncode == 0
    check = checks_of(done)["settings"]
    assert (check.mark, "did you mean GPUVIEW_PUBLIC_IP?" in check.found) == ("remark", True)


@pytest.mark.command
def test_dead_servers_are_named_in_time_and_without_secrets() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        port = dead.getsockname()[1]
        done = gpuview(
            "doctor",
            "--json",
            "--via",
            f"127.0.0.1:{port}",
            public_ip="10.255.255.1",
            port_min=str(free_port()),
            stun_url=f"stun:127.0.0.1:{port},stun:nowhere.invalid",
            turn_url=f"turn:127.0.0.1:{port},turn:127.0.0.1:{port}?transport=tcp",
            turn_username="me",
            turn_credential="swordfish",
        )
    assert done.returncode == 1
    assert "swordfish" not in done.stdout + done.stderr
    checks = checks_of(done)
    assert checks["public IP"].mark == "remark"
    assert checks["UDP ports"].mark == "ok"
    failed = {name: check.found for name, check in checks.items() if check.mark == "fail"}
    assert "does not answer" in failed[f"STUN stun:127.0.0.1:{port}"]
    assert "does not resolve" in failed["STUN stun:nowhere.invalid"]
    assert "does not answer" in failed[f"TURN turn:127.0.0.1:{port}"]
    assert "connection refused" in failed[f"TURN turn:127.0.0.1:{port}?transport=tcp"]
    assert "does not answer" in failed[f"probe 127.0.0.1 port {port}"]
    assert not [name for name in failed if not checks[name].fix]


@pytest.mark.command
def test_used_up_range_fails_and_names_who_holds_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        port = sock.getsockname()[1]
        done = gpuview("doctor", "--json", public_ip="127.0.0.1", port_min=str(port))
    checks = checks_of(done)
    assert done.returncode == 1
    assert f"(pid {os.getpid()})" in checks["UDP ports"].found
    assert checks["inbound UDP"].mark == "skipped"


@pytest.mark.command
def test_probe_without_a_public_address_has_nothing_to_probe() -> None:
    check = checks_of(gpuview("doctor", "--json", "--via", "127.0.0.1"))["inbound UDP"]
    assert (check.mark, check.found) == ("skipped", "no public address is set")


@pytest.mark.command
@needs_coturn
def test_doctor_approves_of_the_printed_configuration(
    tmp_path: Path,
) -> None:
    port = free_port()
    settings = {
        "public_ip": "127.0.0.1",
        "port_min": str(free_port()),
        "turn_url": f"turn:127.0.0.1:{port},turn:127.0.0.1:{port}?transport=tcp",
        "turn_secret": "north",
        "stun_url": f"stun:127.0.0.1:{port}",
    }
    printed = gpuview("config", "coturn", **settings)
    assert printed.returncode == 0
    assert "keep it private" in printed.stderr
    names = [f"TURN turn:127.0.0.1:{port}", f"TURN turn:127.0.0.1:{port}?transport=tcp"]

    def is_refused(done: subprocess.CompletedProcess[str]) -> bool:
        checks = checks_of(done)
        return ["401" in checks[name].found for name in names] == [True, True]

    with TurnServer(tmp_path, printed.stdout):
        done = doctor_until(lambda done: done.returncode == 0, **settings)
        wrong = doctor_until(is_refused, **{**settings, "turn_secret": "south"})
    assert [checks_of(done)[name].mark for name in names] == ["ok", "ok"]
    assert "sees this machine at 127.0.0.1" in checks_of(done)[f"STUN stun:127.0.0.1:{port}"].found
    assert wrong.returncode == 1


# --- probe --------------------------------------------------------------------------------------


@pytest.mark.command
def test_probe_answers_the_doctor_and_ends_at_ctrl_c() -> None:
    port = free_port()
    command = [sys.executable, "-m", "gpuview", "probe", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        assert probe.stdout.readline() == f"answering at UDP port {port}; Ctrl-C ends it\n"
        inside = str(free_port())
        inbound = f"inbound UDP 127.0.0.1 port {inside}"
        done = doctor_until(
            lambda done: checks_of(done)[inbound].mark == "ok",
            "--via",
            f"localhost:{port}",
            public_ip="127.0.0.1",
            port_min=inside,
        )
        assert (
            probe.stdout.readline() == f"127.0.0.1 sent a request; probed 127.0.0.1 port {inside}\n"
        )
        probe.send_signal(signal.SIGINT)
        assert probe.wait() == 130
    assert "sent by gpuview probe at 127.0.0.1" in checks_of(done)[inbound].found


@pytest.mark.command
def test_probe_at_a_port_that_is_taken_says_so() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        done = gpuview("probe", "--port", str(sock.getsockname()[1]))
    assert done.returncode == 1
    assert "is free; they are held by" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu.example", ("gpu.example", 10200)),
        ("203.0.113.9:99", ("203.0.113.9", 99)),
        ("2001:db8::9", ("2001:db8::9", 10200)),
        ("[2001:db8::9]:99", ("2001:db8::9", 99)),
        ("[2001:db8::9]", ("2001:db8::9", 10200)),
    ],
)
def test_address_of_the_probe_is_parsed(text: str, expected: tuple[str, int]) -> None:
    assert cli._host_and_port(text) == expected


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("doctor", "--via", "host:0"),
        ("probe", "--port", "65536"),
        ("probe", "--allow", "example.org"),
        ("config",),
        ("config", "apache"),
    ],
)
def test_wrong_arguments_are_a_usage_error(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert "usage: gpuview" in capsys.readouterr().err


# --- from a cell --------------------------------------------------------------------------------


@pytest.mark.command
def test_cell_gets_the_same_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUVIEW_PORT_MIN", "1")  # what is given in code wins
    report = run_in_subprocess(Settings(port_min=free_port(), public_ip="127.0.0.1"))
    found = {check.name: check for check in report.checks}
    assert report.ok
    assert found["public IP"].found.startswith("127.0.0.1")
    assert "<table>" in report._repr_html_()


def test_settings_in_code_reach_the_doctor_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUVIEW_LOG", "debug")
    settings = Settings(
        public_ip="203.0.113.9,2001:db8::9",
        port_min=10111,
        port_max=10115,
        public_port_min=20111,
        keep_private=True,
        ice_servers=[{"urls": ["stun:a.example", "stun:b.example"]}],  # type: ignore[arg-type]
        kernel_ice_servers=[],  # type: ignore[arg-type]
        turn_url="turn:turn.example",
        turn_secret="north",
        turn_ttl_s=60,
        ice_transport_policy="relay",
        carriers=("webrtc", "comm"),
        log="info",
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_function_for_ice_servers_is_called_before() -> None:
    def ask() -> list[dict[str, str]]:
        return [{"urls": "stun:asked.example"}]

    settings = Settings(ice_servers=ask, turn_url="turn:turn.example", turn_secret="north")
    environment = environment_of(settings)
    urls = [entry["urls"] for entry in json.loads(environment["GPUVIEW_ICE_SERVERS"])]
    assert urls == [["stun:asked.example"], ["turn:turn.example"]]
    assert "GPUVIEW_TURN_URL" not in environment


def test_function_that_fails_is_a_failed_check() -> None:
    def ask() -> object:
        raise RuntimeError("the provider is down")

    report = run_in_subprocess(Settings(ice_servers=ask))  # type: ignore[arg-type]
    assert not report.ok
    assert "raised RuntimeError" in report.checks[0].found


def test_doctor_that_crashes_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    (check,) = run_in_subprocess().checks
    assert (check.mark, check.found) == ("fail", "exit status 3: no such module")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    assert "could not run" in run_in_subprocess().checks[0].found
