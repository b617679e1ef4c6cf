"""Debian's Chromium as a person uses it, except that it does not phone home or throttle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["ARGS", "CHROMIUM", "chromium_behind"]

CHROMIUM = "/usr/bin/chromium"

ARGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    # A tab must not be slowed because another one is in front of it.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
]


def chromium_behind(prefix: Sequence[str], folder: Path) -> Path:
    """Return a script that starts Chromium after the words of ``prefix``, as in a namespace.

    Playwright speaks to it through inherited pipes, which work across network namespaces.
    """
    script = folder / f"chromium-{prefix[-1]}"
    script.write_text(f'#!/bin/sh\nexec {" ".join(prefix)} {CHROMIUM} "$@"\n')
    script.chmod(0o755)
    return script
