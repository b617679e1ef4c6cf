"""The running source of a stream, started from a `ParsedSource`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import ErrorReporter, explained
from gpuview.frames.picture.select import Select
from gpuview.sources.awaiting import Awaiting
from gpuview.sources.batch import pictures_in
from gpuview.sources.context import FrameContext, FrameContexts
from gpuview.sources.hints import SourceHints
from gpuview.sources.optional_inputs import ProbedSource
from gpuview.sources.parse import NextFrame, ParsedSource
from gpuview.sources.poll import Poller
from gpuview.sources.tap import Tap, TappedOutput
from gpuview.sources.thread_context import as_on_this_thread

__all__ = ["Source", "start_source"]


class Source(Protocol):
    """Makes a stream's frames while there are viewers."""

    @property
    def source_ms(self) -> float | None:
        """How long the source's last call took; None if nothing is polled."""

    def watch(self, is_watched: bool) -> None:
        """Start or stop making frames. From any thread; never waits for a frame."""

    def wake(self) -> bool:
        """Have what is to run between frames called soon, on the thread that makes them.

        Returns:
            False if there is no such thread now.
        """

    def go_on(self) -> None:
        """Make frames on another thread: this one is in something that does not return."""

    def set_fps(self, fps: float) -> None:
        """Make at most so many frames a second from now on. From any thread."""

    def abandon(self) -> None:
        """Make no more frames in a forked child, whose other threads are gone. Takes no lock."""

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
    contexts: FrameContexts,
    select: Select | None,
    why_not: Callable[[object, object], str],
    fps: float,
    errors: ErrorReporter,
    hints: SourceHints,
    on_waiting: Callable[[str], None],
    on_ended: Callable[[], None],
    on_captured: Callable[[], None],
    between: Callable[[], None],
) -> Source:
    """Make frames from now on.

    If some panels are polled and others tapped, each polled frame also shows the newest outputs of
    the taps.

    Args:
        parsed: Where the frames come from; something is polled, tapped or undecided.
        push: Takes each frame, in the thread that made it.
        contexts: Makes the context of each polled frame.
        select: Picks the part to show of each panel's frame.
        why_not: Returns why a part of a polled frame is left out, or ""; as for `pictures_in`.
        fps: The maximum frame rate.
        errors: Receives all errors.
        hints: Receives what has not failed, but is probably not what the user meant.
        on_waiting: As for `ProbedSource`.
        on_ended: As for `Poller`.
        on_captured: As for `Tap`.
        between: As for `Poller`.
    """
    if parsed.undecided:
        start = partial(
            start_source,
            push=push,
            contexts=contexts,
            select=select,
            why_not=why_not,
            fps=fps,
            errors=errors,
            hints=hints,
            on_waiting=on_waiting,
            on_ended=on_ended,
            on_captured=on_captured,
            between=between,
        )
        return ProbedSource(parsed, start, on_waiting)

    tap = partial(
        Tap,
        parsed.tapped,
        is_read_later=bool(parsed.polled),
        select=select,
        own_selects=parsed.own_selects,
        fps=fps,
        errors=errors,
        hints=hints,
        on_captured=on_captured,
    )
    if not parsed.polled:
        return tap(lambda outputs: push(_as_frame(parsed, _values(parsed, outputs))))

    newest: dict[str, TappedOutput] = {}
    pick = _Picker(parsed, select, why_not, hints)
    polled = {name: _checked(name, each, pick) for name, each in parsed.polled.items()}
    as_users_thread = as_on_this_thread()

    def poll_all() -> dict[str, object]:
        context = contexts.next()
        return {name: poll(context) for name, poll in polled.items()}

    def next_frame() -> object:
        frames = as_users_thread(poll_all)
        return _as_frame(parsed, frames | _values(parsed, dict(newest)))

    def interrupt() -> None:
        for each in parsed.polled.values():
            if isinstance(each, Awaiting):
                each.close()

    poller = Poller(
        next_frame, push, interrupt, on_ended=on_ended, fps=fps, errors=errors, between=between
    )
    return _PollerAndTap(poller, tap(newest.update)) if parsed.tapped else poller


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

    def wake(self) -> bool:
        return self._poller.wake()

    def go_on(self) -> None:
        self._poller.go_on()

    def set_fps(self, fps: float) -> None:
        self._tap.set_fps(fps)
        self._poller.set_fps(fps)

    def abandon(self) -> None:
        self._tap.abandon()

    def ensure_frame(self) -> None:
        self._poller.ensure_frame()

    def close(self) -> None:
        self._tap.close()
        self._poller.close()

    def __repr__(self) -> str:
        return f"<{self._poller!r} and {self._tap!r}>"


@dataclass(frozen=True, slots=True)
class _Picker:
    """Picks what is shown of what a polled source returns, and hints at what is left out."""

    parsed: ParsedSource
    select: Select | None
    why_not: Callable[[object, object], str]
    hints: SourceHints

    def __call__(self, name: str, frame: object) -> object:
        select = self.parsed.own_selects.get(name, self.select)
        if select is not None:
            frame = select(frame)
        return _in_its_panel(self.parsed, name, self._picture_in(name, frame))

    def _picture_in(self, name: str, frame: object) -> object:
        def why_not(part: object, batch: object) -> str:
            return self.why_not(_in_its_panel(self.parsed, name, part), batch)

        is_panel = self.parsed.names is not None or name in self.parsed.panels
        pictures, others = pictures_in(frame, why_not)
        if pictures and is_panel:
            first, *rest = pictures
            frame = pictures[first]
            others |= dict.fromkeys(rest, "a panel shows one picture")
        elif others and len(pictures) == 1:
            (frame,) = pictures.values()
        elif pictures:
            frame = pictures
        self.hints.set(f"parts of {name}", _left_out(name, others))
        return frame


def _left_out(name: str, others: Mapping[str, str]) -> str:
    if not others:
        return ""
    where = f"what {name!r} returns" if name else "what the source returns"
    parts = ", ".join(f"{part!r} ({reason})" for part, reason in others.items())
    return f"left out of {where}: {parts}. select=... picks what is shown"


def _checked(name: str, next_frame: NextFrame, pick: Callable[[str, object], object]) -> NextFrame:
    """Wrap ``next_frame``: explain its errors, refuse None, and apply ``pick``."""
    who = f"the source {name!r}" if name else "the source"

    def checked(context: FrameContext) -> object:
        with explained(who, StopIteration):
            frame = next_frame(context)
        if frame is None:
            raise FrameError(
                f"{who} returned None", expected="a tensor from each call", fix="return the tensor"
            )
        with explained(who):
            return pick(name, frame)

    return checked


def _values(parsed: ParsedSource, outputs: Mapping[str, TappedOutput]) -> dict[str, object]:
    return {name: _in_its_panel(parsed, name, each.values()) for name, each in outputs.items()}


def _in_its_panel(parsed: ParsedSource, name: str, selected: object) -> object:
    """Return ``selected`` with the options of the `Panel` that its source came in."""
    panel = parsed.panels.get(name)
    return selected if panel is None else panel.replaced(source=selected, select=None)


def _as_frame(parsed: ParsedSource, frames: Mapping[str, object]) -> object:
    """Return the single frame, or the frames that exist as named panels in the user's order."""
    if parsed.names is None:
        (frame,) = frames.values()
        return frame
    return {name: frames[name] for name in parsed.names if name in frames}
