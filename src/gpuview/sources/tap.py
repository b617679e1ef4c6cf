"""Taps: what a module gives, each time that the user's own code calls it.

hook     on each tapped module; returns at once unless a frame is due
Round    pure: which modules' outputs make one frame
Part     one module's output, kept until its round is whole
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from typing import Generic, TypeVar
from weakref import ref

import torch
from torch import Tensor, nn

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import ErrorReporter, explain
from gpuview.frames.feed import Select
from gpuview.frames.picture.layout import Values
from gpuview.frames.torch_compat import is_traced
from gpuview.sources.pull import RETRY_S, next_due

__all__ = ["Part", "Round", "Tap", "first_tensor"]

PartT = TypeVar("PartT")

_NEVER = float("inf")
_AT_ONCE = float("-inf")


class Round(Generic[PartT]):
    """Which calls of several tapped modules make one frame. Pure; times in seconds.

    A round takes each name once. It is over when it has all of them, or when a name comes again a
    period after it began: then some module is not called any more, and what is there is shown. The
    name that came first of all begins every round, so that one round is one pass through the
    model; unless another name comes twice without it.

    Args:
        names: All of them.
        period: The least time between the beginnings of two rounds.
        first: The name that begins a round, when it is known.
    """

    def __init__(self, names: Iterable[str], period: float, first: str | None = None) -> None:
        self._names = frozenset(names)
        self._period = period
        self._first = first
        self._due = _AT_ONCE
        self._began = _AT_ONCE
        self._parts: dict[str, PartT] = {}
        self._passed_over: set[str] = set()

    @property
    def due(self) -> float:
        """Before this time no name is wanted."""
        return _AT_ONCE if self._parts else self._due

    def anew(self) -> Round[PartT]:
        """Return a round that is due at once and has no part yet."""
        return Round(self._names, self._period, self._first)

    def wants(self, name: str, now: float) -> bool:
        """Tell whether what comes from ``name`` now is needed. Asked once for each call."""
        if self._parts:
            return name not in self._parts or now >= self._began + self._period
        if now < self._due:
            return False
        if self._first in (None, name) or name in self._passed_over:
            return True
        self._passed_over.add(name)
        return False

    def take(self, name: str, part: PartT, now: float) -> dict[str, PartT] | None:
        """Add what was wanted; return the parts of the round that is over now, if one is."""
        given_up = None
        if name in self._parts:
            given_up, self._parts = self._parts, {}
        if not self._parts:
            self._begin(name, now)
        self._parts[name] = part
        if self._parts.keys() != self._names:
            return given_up
        whole, self._parts = self._parts, {}
        return whole

    def _begin(self, name: str, now: float) -> None:
        self._first = name
        self._passed_over.clear()
        self._began = now
        self._due = next_due(now, now if self._due == _AT_ONCE else self._due, self._period)


@dataclass(frozen=True, slots=True)
class Part:
    """A module's output, from its call until its round is over."""

    tensor: Tensor
    written: torch.cuda.Event | None = None
    """When the copy is whole, on a device."""

    @classmethod
    def copy_of(cls, tensor: Tensor) -> Part:
        """Launch the copy on the current stream of the tensor's device."""
        copy = tensor.detach().clone()
        if not copy.is_cuda:
            return cls(copy)
        written = torch.cuda.Event()  # type: ignore[no-untyped-call]
        written.record(torch.cuda.current_stream(copy.device))
        return cls(copy, written)

    def values(self) -> Values:
        """Return what is shown; work on the current stream waits until it is written."""
        if self.written is not None:
            torch.cuda.current_stream(self.tensor.device).wait_event(self.written)
        return Values(self.tensor)


class Tap:
    """Shows what comes out of modules, ``fps`` times a second at most, while somebody watches.

    The very first output is always given, so that a view that joins later sees something. Works in
    the thread that calls the modules; never raises there, never waits, never changes an output.
    Nothing is taken while torch traces, compiles or transforms, or captures a CUDA graph.

    Args:
        layers: The modules, by name; each gets a forward hook.
        give: Takes the parts of a round, by name, in the thread and during the call of the module
            that came last.
        is_read_later: What is given is not read at once, so it has to be a copy: the next module
            may overwrite it. With several modules it always is one.
        select: Picks what is shown of an output.
        fps: Rounds in a second.
        errors: Told of an output that holds no tensor, and of all that is raised.
        on_captured: Told of each output that a CUDA graph capture kept from being shown.
    """

    source_ms = None  # nobody is asked

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        give: Callable[[dict[str, Part]], None],
        *,
        is_read_later: bool = False,
        select: Select | None,
        fps: float,
        errors: ErrorReporter,
        on_captured: Callable[[], None],
    ) -> None:
        self._give = give
        self._copies = is_read_later or len(layers) > 1
        self._select = select
        self._errors = errors
        self._on_captured = on_captured
        self._taking = threading.Lock()
        self._changing = threading.Lock()  # guards what follows; never held for long
        self._round: Round[Part] = Round(layers, 1 / fps)
        self._is_watched = False
        self._has_given = False
        self.due_s = _AT_ONCE
        """Before this time (``time.monotonic``) the hooks return at once."""
        self._handles = [
            layer.register_forward_hook(_Hook(self, name)) for name, layer in layers.items()
        ]

    def watch(self, is_watched: bool) -> None:
        """Start or stop giving frames; then the next output is due at once. From any thread."""
        with self._changing:
            if is_watched != self._is_watched:
                self._is_watched = is_watched
                self._round = self._round.anew()
                self._set_due()

    def ask(self) -> None:
        """Say that nothing can be asked for.

        Raises:
            FrameError: Always.
        """
        raise FrameError(
            "there is no frame yet: the tapped module has not been called",
            expected="a call of the model before this one",
            fix="call the model once: model(x)",
        )

    def take(self, name: str, output: object) -> None:
        """Take what the module gave, when it is wanted: a due hook's errand. Never raises."""
        # Another thread's call at the same moment (DataParallel) counts as not due.
        if not self._taking.acquire(blocking=False):
            return
        try:
            is_tracing = torch.jit.is_tracing()  # type: ignore[no-untyped-call,attr-defined]
            if not is_tracing and not is_traced(_leaves(output)):
                self._take(name, output, time.monotonic())
        except Exception as exc:
            self._errors.report(explain(exc, "the tap"), name)
            with self._changing:
                self.due_s = time.monotonic() + RETRY_S
        finally:
            self._taking.release()

    def close(self) -> None:
        """Take the hooks off the modules, and forget their outputs. Safe to call twice."""
        for handle in self._handles:
            handle.remove()
        with self._changing:
            self._round = self._round.anew()

    def __repr__(self) -> str:
        state = "watched" if self._is_watched else "idle"
        return f"<Tap {state} layers={len(self._handles)}>"

    def _take(self, name: str, output: object, now: float) -> None:
        calls = self._round
        if not calls.wants(name, now):
            return
        if _is_capturing():
            self._on_captured()  # before select, whose work would be captured
            return
        tensor = _tensor_in(output if self._select is None else self._select(output))
        part = Part.copy_of(tensor) if self._copies else Part(tensor.detach())
        parts = calls.take(name, part, now)
        if parts is not None:
            self._give(parts)
            for each in parts:
                self._errors.is_over(each)
        with self._changing:
            self._has_given |= parts is not None
            self._set_due()

    def _set_due(self) -> None:
        is_wanted = self._is_watched or not self._has_given
        self.due_s = self._round.due if is_wanted else _NEVER


class _Hook:
    """What is on a module. A copy of the module, or a pickled one, has one that does nothing.

    It does not keep the tap alive, and so a model does not keep a stream.
    """

    def __init__(self, tap: Tap, name: str) -> None:
        self._tap = ref(tap)
        self._name = name

    def __call__(self, _module: nn.Module, _inputs: object, output: object) -> None:
        if torch.compiler.is_compiling():  # first, as Dynamo follows what comes after
            return
        tap = self._tap()
        if tap is not None and time.monotonic() >= tap.due_s:
            tap.take(self._name, output)

    def __reduce__(self) -> tuple[object, ...]:
        # A function of the standard library that takes three arguments and does nothing: where a
        # pickled model is loaded, gpuview need not be.
        return (getattr, (nullcontext(), "__exit__"))


def _is_capturing() -> bool:
    is_initialized: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return is_initialized and torch.cuda.is_current_stream_capturing()


def _tensor_in(output: object) -> Tensor:
    tensor = first_tensor(output)
    if tensor is None:
        raise FrameError(
            f"there is no tensor in what the tapped module gave, a {type(output).__name__}",
            expected="a tensor, or a tuple, list, dict or dataclass with one in it",
            fix="select=..., a function that returns the tensor to show",
        )
    return tensor


def first_tensor(output: object) -> Tensor | None:
    """Return the first tensor in ``output``, depth first; None when there is none."""
    return next((leaf for leaf in _leaves(output) if isinstance(leaf, Tensor)), None)


def _leaves(output: object) -> Iterator[object]:
    """Iterate over what ``output`` contains, depth first; over itself if it is no container."""
    if isinstance(output, Mapping):
        parts: Iterable[object] = output.values()
    elif isinstance(output, tuple | list):
        parts = output
    elif is_dataclass(output) and not isinstance(output, type):
        parts = [getattr(output, each.name) for each in fields(output)]
    else:
        yield output
        return
    for part in parts:
        yield from _leaves(part)
