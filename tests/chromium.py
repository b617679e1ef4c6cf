"""Debian's Chromium, as a person's browser is, but for what phones home or throttles."""

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
    # A second tab must not be slowed because it stands behind the first.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
]


def chromium_behind(prefix: Sequence[str], folder: Path) -> Path:
    """Return a script that starts Chromium by the words of ``prefix``, on another machine say.

    Playwright speaks to it through inherited pipes, which do not care for namespaces.
    """
    script = folder / f"chromium-{prefix[-1]}"
    script.write_text(f'#!/bin/sh\nexec {" ".join(prefix)} {CHROMIUM} "$@"\n')
    script.chmod(0o755)
    return script
