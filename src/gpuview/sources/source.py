"""The running source of a stream, started from a `ParsedSource`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import ErrorReporter, explained
from gpuview.frames.feed import Select
from gpuview.sources.parse import NextFrame, ParsedSource
from gpuview.sources.poll import Poller
from gpuview.sources.tap import Tap, TappedOutput

__all__ = ["Source", "start_source"]


class Source(Protocol):
    """Makes a stream's frames while there are viewers."""

    @property
    def source_ms(self) -> float | None:
        """How long the source's last call took; None if nothing is polled."""

    def watch(self, is_watched: bool) -> None:
        """Start or stop making frames. From any thread; never waits for a frame."""

    def ensure_frame(self) -> None:
        """Make the first frame now, unless it exists.

        Raises:
            FrameError: It cannot be made.
            StreamClosedError: The stream is closed.
        """

    def close(self) -> None:
        """Stop making frames. Waits at most a second for a frame that is being made."""


def start_source(
    parsed: ParsedSource,
    push: Callable[[object], None],
    *,
    select: Select | None,
    fps: float,
    errors: ErrorReporter,
    on_captured: Callable[[], None],
) -> Source | None:
    """Make frames from now on; return None if the user pushes them.

    If some panels are polled and others tapped, each polled frame also shows the newest outputs of
    the taps.

    Args:
        parsed: Where the frames come from.
        push: Takes each frame, in the thread that made it.
        select: Picks the part to show of each panel's frame.
        fps: The maximum frame rate.
        errors: Receives all errors.
        on_captured: As for `Tap`.
    """
    newest: dict[str, TappedOutput] = {}

    def push_tapped(outputs: dict[str, TappedOutput]) -> None:
        push(_as_frame(parsed, _values(outputs)))

    tap = poller = None
    if parsed.tapped:
        tap = Tap(
            parsed.tapped,
            newest.update if parsed.polled else push_tapped,
            is_read_later=bool(parsed.polled),
            select=select,
            fps=fps,
            errors=errors,
            on_captured=on_captured,
        )
    if parsed.polled:
        polled = {name: _checked(name, each, select) for name, each in parsed.polled.items()}

        def next_frame() -> object:
            frames = {name: poll() for name, poll in polled.items()}
            return _as_frame(parsed, frames | _values(dict(newest)))

        poller = Poller(next_frame, push, fps=fps, errors=errors)
    return _PollerAndTap(poller, tap) if poller and tap else poller or tap


class _PollerAndTap:
    """The source of several panels, some polled and some tapped."""

    def __init__(self, poller: Poller, tap: Tap) -> None:
        self._poller = poller
        self._tap = tap

    @property
    def source_ms(self) -> float | None:
        return self._poller.source_ms

    def watch(self, is_watched: bool) -> None:
        self._tap.watch(is_watched)
        self._poller.watch(is_watched)

    def ensure_frame(self) -> None:
        self._poller.ensure_frame()

    def close(self) -> None:
        self._tap.close()
        self._poller.close()

    def __repr__(self) -> str:
        return f"<{self._poller!r} and {self._tap!r}>"


def _checked(name: str, next_frame: NextFrame, select: Select | None) -> NextFrame:
    """Wrap ``next_frame``: explain its errors, refuse None, and apply ``select``."""
    who = f"the source {name!r}" if name else "the source"

    def checked() -> object:
        with explained(who, StopIteration):
            frame = next_frame()
        if frame is None:
            raise FrameError(
                f"{who} returned None", expected="a tensor from each call", fix="return the tensor"
            )
        return frame if select is None else select(frame)

    return checked


def _values(outputs: Mapping[str, TappedOutput]) -> dict[str, object]:
    return {name: output.values() for name, output in outputs.items()}


def _as_frame(parsed: ParsedSource, frames: Mapping[str, object]) -> object:
    """Return the single frame, or the frames that exist as named panels in the user's order."""
    if parsed.names is None:
        (frame,) = frames.values()
        return frame
    return {name: frames[name] for name in parsed.names if name in frames}
