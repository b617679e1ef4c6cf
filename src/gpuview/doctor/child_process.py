"""The doctor in a process of its own, for a kernel."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from gpuview.doctor.report import Check, Report
from gpuview.errors import SettingsError
from gpuview.protocol.messages import IceServer
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import ice_servers_for

__all__ = ["environment_of", "run_in_subprocess"]

_PREFIX = "GPUVIEW_"
_TIMEOUT_S = 60.0  # it takes 10 s; the rest is for imports on a machine that is busy
_LAST_WORDS_CHARS = 400
# What a user's function and these say is asked before, and handed over as one list.
_SHORT_FORMS = ("stun_url", "turn_url", "turn_username", "turn_credential", "turn_secret")


def run_in_subprocess(settings: Settings | None = None) -> Report:
    """Return what the doctor finds; takes some 10 s, which the caller waits.

    Args:
        settings: To be examined; None for those of the environment.
    """
    try:
        environment = dict(os.environ) if settings is None else environment_of(settings)
    except SettingsError as exc:
        return Report((Check.failed("ICE servers", exc),))
    command = [sys.executable, "-P", "-m", "gpuview", "doctor", "--json"]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Report.from_json(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return _failed(f"it could not be run: {exc}")
    except ValueError:
        return _failed(f"exit status {done.returncode}: {done.stderr[-_LAST_WORDS_CHARS:].strip()}")


def _failed(why: str) -> Report:
    return Report((Check("doctor", "fail", why, "run it in a terminal: gpuview doctor"),))


def environment_of(settings: Settings) -> dict[str, str]:
    """Return this process's environment with ``settings`` in the place of its own.

    Raises:
        SettingsError: The user's function that knows the ICE servers failed.
    """
    values = settings.model_dump()
    if callable(settings.ice_servers):
        values.update(dict.fromkeys(_SHORT_FORMS))
        values["ice_servers"] = ice_servers_for(settings, "doctor")
    else:
        values["ice_servers"] = settings.ice_servers or None
    values["kernel_ice_servers"] = settings.kernel_ice_servers
    return _without_settings(os.environ) | {
        _PREFIX + name.upper(): _as_text(value)
        for name, value in values.items()
        if value is not None
    }


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_PREFIX)}


def _as_text(value: object) -> str:
    return _json(value) if isinstance(value, tuple) else str(value)


def _json(servers: Sequence[IceServer]) -> str:
    return json.dumps([dataclasses.asdict(server) for server in servers])
