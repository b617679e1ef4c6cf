"""Taps: forward hooks that show a module's output each time the user's own code calls it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from weakref import ref

import torch
from torch import Tensor, nn

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import ErrorReporter, explain, is_interrupt
from gpuview.frames.picture.select import Select
from gpuview.frames.picture.tensor_layout import Values
from gpuview.frames.torch_compat import is_compiled_in_place, is_traced
from gpuview.sources.assembler import AT_ONCE, FrameAssembler
from gpuview.sources.batch import items_of
from gpuview.sources.due_times import RETRY_S
from gpuview.sources.hints import SourceHints

__all__ = ["Tap", "TappedOutput", "first_tensor"]

_NEVER = float("inf")
_SILENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class TappedOutput:
    """A module's output, from its call until its frame is complete."""

    tensor: Tensor
    copied: torch.cuda.Event | None = None
    """Recorded after the copy; None on the CPU."""

    @classmethod
    def copy_of(cls, tensor: Tensor) -> TappedOutput:
        """Launch the copy on the current stream of the tensor's device."""
        copy = tensor.detach().clone()
        if not copy.is_cuda:
            return cls(copy)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(copy.device))
        return cls(copy, copied)

    def values(self) -> Values:
        """Return the tensor to show; the current stream waits for the copy."""
        if self.copied is not None:
            torch.cuda.current_stream(self.tensor.device).wait_event(self.copied)
        return Values(self.tensor)


class Tap:
    """Shows the outputs of modules, at most ``fps`` times a second, while there are viewers.

    The very first output is always shown, so that a view that joins later has a picture. Runs in
    the thread that calls the modules; never raises there, never waits, never changes an output.
    Ignores outputs while torch traces, compiles, transforms, or captures a CUDA graph.

    Args:
        modules: By name; each gets a forward hook.
        push: Takes the outputs of a frame, by name, during the call of its last module.
        is_read_later: Whether outputs are read only after that call and so must be copied, because
            the next module may overwrite them. With several modules they are always copied.
        select: Picks the part of an output to show.
        own_selects: The same, for the modules that have one of their own, by name.
        fps: The maximum frame rate.
        errors: Receives all errors, including outputs without a tensor.
        hints: Receives, every few seconds while there is a viewer, why no output is seen: modules
            that nobody has called yet, and those that were compiled meanwhile.
        on_captured: Called for each output that is not shown because a CUDA graph is captured.
    """

    source_ms = None  # nothing is polled

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        push: Callable[[dict[str, TappedOutput]], None],
        *,
        is_read_later: bool = False,
        select: Select | None,
        own_selects: Mapping[str, Select],
        fps: float,
        errors: ErrorReporter,
        hints: SourceHints,
        on_captured: Callable[[], None],
    ) -> None:
        self._push = push
        self._is_copying = is_read_later or len(modules) > 1
        self._select = select
        self._own_selects = own_selects
        self._errors = errors
        self._hints = hints
        self._on_captured = on_captured
        self._taking = threading.Lock()  # held while an output is taken
        self._lock = threading.Lock()  # guards what follows; never held for long
        self._assembler: FrameAssembler[TappedOutput] = FrameAssembler(modules, 1 / fps)
        self._modules = {name: ref(module) for name, module in modules.items()}
        self._uncalled = set(modules)
        self._silence: threading.Timer | None = None
        self._is_watched = False
        self._has_pushed = False
        self.due_s = AT_ONCE
        """Before this time (``time.monotonic``) the hooks return at once."""
        self._handles = [
            module.register_forward_hook(_Hook(self, name)) for name, module in modules.items()
        ]

    def watch(self, is_watched: bool) -> None:
        """Start or stop making frames; the next output is due at once. From any thread."""
        with self._lock:
            if is_watched != self._is_watched:
                self._is_watched = is_watched
                self._assembler = self._assembler.restarted()
                self._set_due()
                self._time_silence()

    def wake(self) -> bool:
        """Return False: the user's code makes the frames."""
        return False

    def go_on(self) -> None:
        """Do nothing: nothing of ours runs where frames are made."""

    def set_fps(self, fps: float) -> None:
        """Make at most so many frames a second from the next output on. From any thread."""
        with self._lock:
            self._assembler = self._assembler.restarted(1 / fps)
            self._set_due()

    def abandon(self) -> None:
        """Ignore all outputs in a forked child, where another thread may have held the locks."""
        self.due_s = _NEVER

    def ensure_frame(self) -> None:
        """Raise an error: a tap cannot make a frame by itself.

        Raises:
            FrameError: Always.
        """
        raise FrameError(
            "there is no frame yet: the tapped module has not been called",
            expected="a call of the model before this one",
            fix="call the model once: model(x)",
        )

    def take(self, name: str, output: object) -> None:
        """Show a module's output, if it is wanted. Called by its hook.

        Raises nothing but the user's interrupt.
        """
        # If another thread is in here (DataParallel), this output counts as not due.
        if not self._taking.acquire(blocking=False):
            return
        try:
            is_tracing = torch.jit.is_tracing()  # type: ignore[no-untyped-call,attr-defined]
            if not is_tracing and not is_traced(_leaves(output)):
                self._take(name, output, time.monotonic())
        except BaseException as exc:
            if is_interrupt(exc):
                raise
            self._errors.report(explain(exc, "the tap"), name)
            with self._lock:
                self.due_s = time.monotonic() + RETRY_S
        finally:
            self._taking.release()

    def close(self) -> None:
        """Remove the hooks and forget the outputs. Safe to call twice."""
        for handle in self._handles:
            handle.remove()
        with self._lock:
            self._is_watched = False
            self._assembler = self._assembler.restarted()
            self._time_silence()

    def __repr__(self) -> str:
        state = "watched" if self._is_watched else "idle"
        return f"<Tap {state} modules={len(self._handles)}>"

    def _take(self, name: str, output: object, now: float) -> None:
        if name in self._uncalled:
            self._uncalled.discard(name)
            self._hints.set("calls", "")
        assembler = self._assembler
        if not assembler.wants(name, now):
            return
        if _is_capturing():
            self._on_captured()  # without calling select, whose work would be captured
            return
        select = self._own_selects.get(name, self._select)
        tensor = _tensor_in(output if select is None else select(output))
        # Without a viewer, the first output is kept, and the next module may overwrite it.
        is_read_now = self._is_watched and not self._is_copying
        taken = TappedOutput(tensor.detach()) if is_read_now else TappedOutput.copy_of(tensor)
        outputs = assembler.add(name, taken, now)
        if outputs is not None:
            self._push(outputs)
            for each in outputs:
                self._errors.clear(each)
        with self._lock:
            self._has_pushed |= outputs is not None
            self._set_due()

    def _set_due(self) -> None:
        is_wanted = self._is_watched or not self._has_pushed
        self.due_s = self._assembler.due if is_wanted else _NEVER

    def _time_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._is_watched:
            silence = threading.Timer(_SILENCE_S, _hint_at_silence, [ref(self)])
            silence.daemon = True
            silence.name = "gpuview-silence"
            silence.start()
            self._silence = silence

    def hint_at_silence(self) -> None:
        """Say which modules cannot be seen, if there are any, and look again later."""
        modules = {name: module for name, where in self._modules.items() if (module := where())}
        compiled = [name for name, module in modules.items() if is_compiled_in_place(module)]
        uncalled = [name for name in modules if name in self._uncalled]
        if compiled or uncalled:
            self._hints.set("calls", _why_unseen(compiled, uncalled))
        with self._lock:
            self._time_silence()


class _Hook:
    """The forward hook of one module; does nothing on a copied or unpickled module.

    It does not keep the tap alive, so a model does not keep a stream alive.
    """

    def __init__(self, tap: Tap, name: str) -> None:
        self._tap = ref(tap)
        self._name = name

    def __call__(self, _module: nn.Module, _inputs: object, output: object) -> None:
        if torch.compiler.is_compiling():  # first: Dynamo traces everything after it
            return
        tap = self._tap()
        if tap is not None and time.monotonic() >= tap.due_s:
            tap.take(self._name, output)

    def __reduce__(self) -> tuple[object, ...]:
        # A standard library function that takes three arguments and does nothing, so that a pickled
        # model can be loaded where gpuview is not installed.
        return (getattr, (nullcontext(), "__exit__"))


def _hint_at_silence(tap: ref[Tap]) -> None:
    there = tap()
    if there is not None:
        there.hint_at_silence()


def _why_unseen(compiled: Sequence[str], uncalled: Sequence[str]) -> str:
    if compiled:
        return (
            f"{_listed(compiled)}: compiled code calls no hooks, so its output cannot be seen "
            "after .compile(): show compiled = torch.compile(model), and call that"
        )
    return (
        f"no call of {_listed(uncalled)} has been seen: model.forward(x), other methods such as "
        "decode(x), compiled code, and weights that are only read call no hooks. Call the module "
        "itself, or push what you want to see: stream = GPUStream(); stream.push(x)"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) if all(names) else "the model"


def _is_capturing() -> bool:
    is_initialized: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return is_initialized and torch.cuda.is_current_stream_capturing()


def _tensor_in(output: object) -> Tensor:
    tensor = first_tensor(output)
    if tensor is None:
        raise FrameError(
            f"there is no tensor in the output of the tapped module, a {type(output).__name__}",
            expected="a tensor, or a tuple, list, dict or dataclass that contains one",
            fix="select=..., a function that returns the tensor to show",
        )
    return tensor


def first_tensor(output: object) -> Tensor | None:
    """Return the first tensor in ``output``, depth first, or None."""
    return next((leaf for leaf in _leaves(output) if isinstance(leaf, Tensor)), None)


def _leaves(output: object) -> Iterator[object]:
    """Iterate depth first over the leaves of ``output``, which may itself be a leaf."""
    items = items_of(output)
    if items is None:
        yield output
        return
    for item in items.values():
        yield from _leaves(item)
