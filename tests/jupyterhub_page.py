"""The blocks of docs/jupyterhub.md, and what the doctor says where they are in use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from traitlets.config import Config

from gpuview.doctor.inbound_udp import Attempt, judge_attempts
from gpuview.doctor.public_ip import judge_public_ips
from gpuview.doctor.report import Check, Report
from gpuview.doctor.stun_turn import ServerResult
from gpuview.doctor.udp_ports import judge_range
from gpuview.settings import Settings
from gpuview.webrtc.ice_url import IceServerUrl, parse_ice_url

__all__ = ["GUIDE", "Block", "blocks", "configured", "doctor_begins", "environment"]

GUIDE = Path(__file__).parents[1] / "docs" / "jupyterhub.md"
_TURN_URL = "turn:turn.example.org:3478?transport="
_RELAY = ("198.51.100.7", 50112)
_OWN_IP = "10.0.0.20"
_PROBE = Attempt("gpuview probe at 198.51.100.20", arrived=True)
_FROM_INSIDE = Attempt("this machine", arrived=True, is_from_outside=False)


class Block(NamedTuple):
    """One fenced block."""

    heading: str
    language: str
    text: str


def blocks(language: str | None = None) -> list[Block]:
    """Return the page's blocks in order, of one language or of all."""
    return [each for each in _blocks(GUIDE.read_text()) if language in (None, each.language)]


def _blocks(page: str) -> Iterator[Block]:
    heading = ""
    for found in re.finditer(r"^## ([^\n]+)$|^```(\w*)\n(.*?)^```$", page, re.M | re.S):
        if found[1]:
            heading = found[1]
        else:
            yield Block(heading, found[2], found[3])


def configured(block: Block) -> Config:
    """Return what a block of ``jupyterhub_config.py`` configures."""
    config = Config()
    # As in a file of The Littlest JupyterHub, where there is some already.
    config.JupyterHub.services, config.JupyterHub.load_roles = [], []
    config.JupyterHub.custom_scopes, config.Spawner.environment = {}, {}
    exec(compile(ast.parse(block.text), f"<{block.heading}>", "exec"), {"c": config})
    return config


def environment(*headings: str) -> dict[str, str]:
    """Return what the blocks below some headings put into the environment of users' servers."""
    made: dict[str, str] = {}
    for block in blocks("python"):
        if block.heading in headings:
            made |= configured(block).Spawner.environment
    return made


def doctor_begins(heading: str) -> str:
    """Return what the doctor says first where the set-up below a heading is right."""
    judge: dict[str, Any] = {
        "The Littlest JupyterHub": (("TURN", "The Littlest JupyterHub"), [_PROBE]),
        "Zero to JupyterHub on Kubernetes": (("TURN",), []),
        "A shared box behind FRP": (("A shared box behind FRP",), [_FROM_INSIDE]),
        "Docker with published ports": (("Forwarded ports",), [_PROBE]),
    }
    headings, attempts = judge[heading]
    text = Report(tuple(_checks(environment(*headings), attempts))).to_text()
    return text.rpartition("\n\n")[0] + "\n...\n"


def _checks(env: dict[str, str], attempts: list[Attempt]) -> Iterator[Check]:
    settings = Settings(
        **{  # type: ignore[arg-type]
            name.removeprefix("GPUVIEW_").lower(): value for name, value in env.items()
        }
    )
    yield Check("settings", "ok", "valid")
    yield judge_public_ips(settings, settings.public_ips, _OWN_IP)
    yield judge_range(settings, settings.port_min, (), ())
    if settings.turn_credentials_url is not None:
        yield Check("TURN logins", "ok", "1800000000:alice, for 3600 s")
        for transport in ("udp", "tcp"):
            url = _TURN_URL + transport
            server = IceServerUrl(url, parse_ice_url(url), ("", ""))
            yield ServerResult(server, relayed=_RELAY).check(settings.public_ips)
    for host in settings.public_ips:
        port = settings.port_min or 0
        yield judge_attempts((host, settings.public_port(port)), port, False, attempts)
