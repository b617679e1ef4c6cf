"""What the pytest plugin and viewers tell each other about the test that runs.

Imports nothing heavy: every pytest run of every environment with gpuview loads it.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

__all__ = ["close_all", "naming", "noting_viewers", "opened", "save_picture"]

_MAX_LETTERS = 80


class Closable(Protocol):
    """A viewer."""

    def close(self) -> None:
        """End. Safe to call twice."""


_openers: list[list[Closable]] = []  # the innermost is the last
_place: Callable[[], Path] | None = None
_name = "picture"


def opened(viewer: Closable) -> None:
    """Note a new viewer: who runs now, a fixture or a test, has it until its end."""
    if _openers:
        _openers[-1].append(viewer)


@contextmanager
def noting_viewers() -> Iterator[Sequence[Closable]]:
    """Give the viewers that are opened in this block, without those of blocks within it."""
    viewers: list[Closable] = []
    _openers.append(viewers)
    try:
        yield viewers
    finally:
        _openers.pop()


def close_all(viewers: Sequence[Closable]) -> None:
    """Close viewers, the newest first; each, even if another one cannot be closed."""
    with ExitStack() as stack:
        for viewer in viewers:
            stack.callback(viewer.close)


@contextmanager
def naming(name: str, place: Callable[[], Path]) -> Iterator[None]:
    """Save the pictures of this block by the name of its test.

    Args:
        name: The test's.
        place: Returns the folder, which need not exist. Called when there is a picture.
    """
    global _name, _place
    before, _name, _place = (_name, _place), name, place
    try:
        yield
    finally:
        _name, _place = before


def save_picture(png: bytes) -> str:
    """Save a picture beside those of the same test; return its path, or why there is none."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="gpuview-")) if _place is None else _place()
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]+", "-", _name).strip("-")[-_MAX_LETTERS:]
        for number in itertools.count(1):
            path = folder / f"{name}-{number}.png"
            try:
                with path.open("xb") as file:
                    file.write(png)
            except FileExistsError:
                continue
            return str(path)
        raise AssertionError("there is always another number")
    except OSError as exc:
        return f"(it could not be saved: {exc})"
