"""Runs the doctor in a process of its own, for a kernel."""

from __future__ import annotations

import json
import subprocess

from gpuview import child_python
from gpuview.doctor.report import Check, Report
from gpuview.errors import SettingsError
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import ice_servers_for

__all__ = ["environment_of", "run_in_subprocess"]

_PREFIX = "GPUVIEW_"
_TIMEOUT_S = 60.0  # it takes 10 s; the rest is for imports on a busy machine
_STDERR_CHARS = 400
_SHORT_FORMS = ("stun_url", "turn_url", "turn_username", "turn_credential", "turn_secret")


def run_in_subprocess(settings: Settings | None = None) -> Report:
    """Run the doctor, and return its report; takes some 10 s.

    Args:
        settings: The settings to examine; None reads the environment.
    """
    try:
        environment = child_python.environment() if settings is None else environment_of(settings)
    except SettingsError as exc:
        return Report((Check.failed("ICE servers", exc),))
    command = child_python.command("gpuview", "doctor", "--json")
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
        return _failed(f"it could not run: {exc}")
    except ValueError:
        return _failed(f"exit status {done.returncode}: {done.stderr[-_STDERR_CHARS:].strip()}")


def _failed(reason: str) -> Report:
    return Report((Check("doctor", "fail", reason, "run it in a terminal: gpuview doctor"),))


def environment_of(settings: Settings) -> dict[str, str]:
    """Return this process's environment, with its settings replaced by ``settings``.

    Raises:
        SettingsError: The user's function for ICE servers failed.
    """
    if callable(settings.ice_servers):
        # Another process cannot call it. `ice_servers_for` already includes the short forms.
        servers = ice_servers_for(settings, "doctor")
        changes = dict.fromkeys(_SHORT_FORMS) | {"ice_servers": servers}
        settings = settings.model_copy(update=changes)
    values = settings.model_dump(mode="json", exclude_none=True)
    inherited = child_python.environment()
    others = {name: text for name, text in inherited.items() if not name.startswith(_PREFIX)}
    return others | {_PREFIX + name.upper(): _to_text(value) for name, value in values.items()}


def _to_text(value: object) -> str:
    """Return what the settings read as ``value``: names with commas between them, or JSON."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)
