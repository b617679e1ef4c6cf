"""From what a user's source is to what makes its frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from gpuview.errors import FrameError, GpuviewError
from gpuview.frames.error_reporter import ErrorReporter, explain
from gpuview.frames.feed import Select
from gpuview.sources.parse import Origin, Pull
from gpuview.sources.pull import PullSource
from gpuview.sources.tap import Part, Tap

__all__ = ["Source", "start"]

Push = Callable[[object], None]


class Source(Protocol):
    """What makes a stream's frames, while somebody watches."""

    @property
    def source_ms(self) -> float | None:
        """How long the user's code took for the last frame; None when it is not asked for any."""

    def watch(self, is_watched: bool) -> None:
        """Start or stop making frames. From any thread; never waits for one."""

    def ask(self) -> None:
        """Make the first frame now, unless it is there.

        Raises:
            FrameError: There is none.
            StreamClosedError: The stream is closed.
        """

    def close(self) -> None:
        """Make no frame any more; waits a second at most for one that is being made."""


def start(
    origin: Origin,
    push: Push,
    *,
    select: Select | None,
    fps: float,
    errors: ErrorReporter,
    on_captured: Callable[[], None],
) -> Source | None:
    """Make frames of ``origin`` from now on; None when the user pushes them.

    Args:
        origin: Where they come from.
        push: Takes each, in the thread that made it.
        select: Picks what is shown of what each part gives.
        fps: Frames a second at most.
        errors: Told of what is raised.
        on_captured: As for `Tap`.
    """
    if not origin.layers:
        return _start_asking(origin, select, push, fps, errors)
    tapped: dict[str, Part] = {}

    def push_tapped(parts: dict[str, Part]) -> None:
        push(_frame(origin, _values(parts)))

    tap = Tap(
        origin.layers,
        tapped.update if origin.pulls else push_tapped,
        is_read_later=bool(origin.pulls),
        select=select,
        fps=fps,
        errors=errors,
        on_captured=on_captured,
    )
    source = _start_asking(origin, select, push, fps, errors, tapped)
    return tap if source is None else _Mixed(source, tap)


def _start_asking(
    origin: Origin,
    select: Select | None,
    push: Push,
    fps: float,
    errors: ErrorReporter,
    tapped: Mapping[str, Part] = MappingProxyType({}),
) -> PullSource | None:
    """Ask the pulls; what the tapped modules gave last is added to each frame."""
    pulls = {name: _guarded(name, pull, select) for name, pull in origin.pulls.items()}
    if not pulls:
        return None

    def ask_all() -> object:
        pulled = {name: pull() for name, pull in pulls.items()}
        return _frame(origin, pulled | _values(dict(tapped)))

    return PullSource(ask_all, push, fps=fps, errors=errors)


class _Mixed:
    """A grid of sources that are asked and modules that are looked at."""

    def __init__(self, source: PullSource, tap: Tap) -> None:
        self._source = source
        self._tap = tap

    @property
    def source_ms(self) -> float | None:
        return self._source.source_ms

    def watch(self, is_watched: bool) -> None:
        self._tap.watch(is_watched)
        self._source.watch(is_watched)

    def ask(self) -> None:
        self._source.ask()

    def close(self) -> None:
        self._tap.close()
        self._source.close()

    def __repr__(self) -> str:
        return f"<{self._source!r} and {self._tap!r}>"


def _guarded(name: str, pull: Pull, select: Select | None) -> Pull:
    """Return ``pull`` with what it gives checked, and its errors explained."""
    who = f"the source {name!r}" if name else "the source"

    def guarded() -> object:
        try:
            frame = pull()
        except (StopIteration, GpuviewError):
            raise
        except Exception as exc:
            raise explain(exc, who) from exc
        if frame is None:
            raise FrameError(
                f"{who} gave None", expected="a tensor from each call", fix="return the tensor"
            )
        return frame if select is None else select(frame)

    return guarded


def _values(parts: Mapping[str, Part]) -> dict[str, object]:
    return {name: part.values() for name, part in parts.items()}


def _frame(origin: Origin, parts: Mapping[str, object]) -> object:
    """Return the one part, or the grid of those that are there, in the user's order."""
    if origin.names is None:
        (part,) = parts.values()
        return part
    return {name: parts[name] for name in origin.names if name in parts}
