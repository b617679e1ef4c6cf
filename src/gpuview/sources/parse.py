"""Classify a user's source, once, when a stream is created.

polled     a function that returns the next frame; it may take the frame's context
tapped     a module whose output is shown when the user's own code calls it
undecided  a module whose inputs are all optional: polled if it can be called without one, or tapped
panel      one of several named sources, each of which is polled or tapped
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from gpuview.errors import FrameError
from gpuview.frames.picture.panel import Panel
from gpuview.frames.picture.select import Select
from gpuview.frames.picture.tensors import is_array
from gpuview.sources.awaiting import Awaiting
from gpuview.sources.context import FrameContext

__all__ = ["NextFrame", "ParsedSource", "parse_source", "parse_tapped"]

NextFrame = Callable[[FrameContext], object]

_UNNAMED = ""  # the name of a single source
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class ParsedSource:
    """Where a stream's frames come from. If nothing is polled or tapped, the user pushes them."""

    polled: dict[str, NextFrame]
    """Functions by name; they raise StopIteration after the last frame."""
    tapped: dict[str, nn.Module]
    """The modules whose outputs are shown, by name."""
    names: tuple[str, ...] | None
    """The panels' names in the user's order; None for a single source or no source."""
    undecided: dict[str, nn.Module] = field(default_factory=dict)
    """By name; see `decided`."""
    panels: dict[str, Panel] = field(default_factory=dict)
    """Those of the sources that came in a `Panel`, with its options, by name."""
    takes_context: bool = False
    """Whether a polled function makes something of the context."""

    @property
    def own_selects(self) -> dict[str, Select]:
        """What panels select themselves, in the place of the stream's ``select``, by name."""
        panels = self.panels.items()
        return {name: each.select for name, each in panels if each.select is not None}

    @property
    def waiting_hint(self) -> str:
        """The user's next step to see a first frame; empty if opening a view is enough."""
        if self.polled or self.undecided:
            return ""
        return "call the model" if self.tapped else "push one"

    def decided(self, polled: Collection[str]) -> ParsedSource:
        """Return a source that polls those undecided modules, and taps the others."""
        modules = self.undecided.items()
        return ParsedSource(
            self.polled | {name: _as_next_frame(each) for name, each in modules if name in polled},
            self.tapped | {name: each for name, each in modules if name not in polled},
            self.names,
            panels=self.panels,
            takes_context=self.takes_context,
        )


def parse_source(source: object, layer: str | list[str] | None = None) -> ParsedSource:
    """Classify ``source``.

    Args:
        source: A module, a callable that takes no argument or a `FrameContext`, an iterable of
            frames, one frame that changes in place, a mapping or a list of these, or None. A module
            whose forward needs an input is tapped; one that takes no input is polled; one whose
            inputs are all optional is undecided. A generator function is called once. Each may be
            in a `Panel`.
        layer: The dotted name of a module inside the module ``source``, or several names. These
            modules are tapped instead.

    Raises:
        FrameError: ``source`` makes no frames, or has no such layer.
    """
    if layer is not None:
        return _parse_layers(source, layer)
    if isinstance(source, Panel):
        return _polled_or_tapped({_UNNAMED: source}, None)
    if source is None:
        return ParsedSource({}, {}, None)
    if isinstance(source, list | tuple):
        source = dict(enumerate(source))
    if not isinstance(source, Mapping):
        return _polled_or_tapped({_UNNAMED: source}, None)
    if not source:
        raise _empty("source")
    panels = {str(name): each for name, each in source.items()}
    return _polled_or_tapped(panels, tuple(panels))


def parse_tapped(model: object, layer: str | list[str] | None = None) -> ParsedSource:
    """Return the source that taps a module, or layers in it, whatever its inputs are.

    Raises:
        FrameError: It is no module, has no such layer, or needs no input.
    """
    if not isinstance(model, nn.Module):
        raise FrameError(
            f"cannot tap an object of type {type(model).__name__}",
            expected="a torch.nn.Module",
            fix="push what your code has made: view.push(tensor)",
        )
    parsed = parse_source(model, layer).decided(polled=())
    if not parsed.tapped:
        raise FrameError(
            f"cannot tap a {type(model).__name__}, whose forward needs no input",
            expected="a module that your code calls with one",
            fix="push what it returns: view.push(model())",
        )
    return parsed


def _parse_layers(model: object, layer: str | list[str]) -> ParsedSource:
    if not isinstance(model, nn.Module):
        raise FrameError(
            f"cannot look for {layer = } in an object of type {type(model).__name__}",
            expected="a torch.nn.Module as the source",
            fix="GPUStream(model, layer=...)",
        )
    if hasattr(model, "_orig_mod"):
        raise FrameError(
            f"cannot tap {layer = } inside a model that torch.compile returned",
            expected="a layer that runs as Python: compiled code calls no hooks",
            fix="leave layer out to see the output of the whole model",
        )
    if not isinstance(layer, list | tuple):
        return ParsedSource({}, {_UNNAMED: _find_layer(model, layer)}, None)
    if not layer:
        raise _empty("layer")
    tapped = {name: _find_layer(model, name) for name in layer}
    return ParsedSource({}, tapped, tuple(tapped))


def _find_layer(model: nn.Module, name: object) -> nn.Module:
    layers: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if isinstance(name, str) and name in layers and name:
        return _tappable(layers[name], name)
    shown = type(name).__name__ if isinstance(name, nn.Module) else repr(name)
    raise FrameError(
        f"there is no layer {shown} in {type(model).__name__}",
        expected="a name of model.named_modules(), or a list of them",
        fix=_instead_of(name, model, layers),
    )


def _instead_of(name: object, model: nn.Module, layers: Mapping[str, nn.Module]) -> str:
    if isinstance(name, nn.Module):
        return "pass the layer itself as the source: GPUStream(layer)"
    wanted = str(name)
    if not wanted or len(layers) == 1:
        return "leave layer out to see the output of the whole model"
    if wanted in dict(model.named_parameters(remove_duplicate=False)):
        return f"show the parameter as the source: GPUStream(model.get_parameter({wanted!r}))"
    # A wrapper prefixes the names that the user knows with its own.
    near = [each for each in layers if f".{each}".endswith(f".{wanted}")][:_MOST_NAMES]
    near = near or get_close_matches(wanted, layers, n=_MOST_NAMES, cutoff=0.5)
    if not near:
        return "list all names: print(*dict(model.named_modules()))"
    return f"layer={' or '.join(map(repr, near))}"


def _empty(argument: str) -> FrameError:
    return FrameError(
        f"{argument} is empty", expected="at least one item", fix=f"leave {argument} out"
    )


def _polled_or_tapped(sources: Mapping[str, object], names: tuple[str, ...] | None) -> ParsedSource:
    polled: dict[str, NextFrame] = {}
    tapped: dict[str, nn.Module] = {}
    undecided: dict[str, nn.Module] = {}
    panels = {name: each for name, each in sources.items() if isinstance(each, Panel)}
    sources = {**sources, **{name: panel.source for name, panel in panels.items()}}
    for name, source in sources.items():
        if not isinstance(source, nn.Module) or not (inputs := _inputs(source)):
            polled[name] = _as_next_frame(source)
        elif any(inputs):
            tapped[name] = _tappable(source)
        else:
            undecided[name] = _tappable(source)
    takes_context = any(
        callable(each) and not isinstance(each, nn.Module) and _takes_context(each)
        for each in sources.values()
    )
    return ParsedSource(polled, tapped, names, undecided, panels, takes_context)


def _tappable(module: nn.Module, layer: str = "") -> nn.Module:
    """Return ``module`` if its hooks will be called; ``layer`` is its name in the model."""
    kind = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise FrameError(
            f"cannot tap a {kind}: TorchScript calls no hooks",
            expected="a module that runs as Python, or a callable",
            fix="push its output: stream = GPUStream(); stream.push(model(x))",
        )
    if getattr(module.forward, "__func__", None) is nn.Module.forward:  # a ModuleList's, say
        inner = next((inner for inner, _ in module.named_children()), "0")
        raise FrameError(
            f"cannot tap a {kind}, which has no forward",
            expected="a module that is called, such as one of those in it",
            fix=f"layer={f'{layer}.{inner}'!r}"
            if layer
            else f"GPUStream(modules, layer={inner!r})",
        )
    return module


def _as_next_frame(source: object) -> NextFrame:
    if isinstance(source, Tensor) or is_array(source):
        return lambda _: source
    if isinstance(source, nn.Module):
        return Awaiting(lambda _: _call_without_graph(source))
    if callable(source) and (takes_context := _takes_context(source)) is not None:
        if takes_context:
            return Awaiting(source)
        if inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source):
            return _as_next_frame(source())
        return Awaiting(lambda _: source())
    if isinstance(source, AsyncIterable):
        frames = aiter(source)
        return Awaiting(lambda _: anext(frames))
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping | list):
        iterator = iter(source)
        return lambda _: next(iterator)
    raise FrameError(
        f"cannot get frames from an object of type {type(source).__name__}",
        expected="a module, a callable that takes no argument or the frame's context, an iterable "
        "of tensors, a tensor, or a dict or list of these; async ones too",
        fix="push the frames yourself: stream = GPUStream(); stream.push(model(x))",
    )


def _call_without_graph(module: nn.Module) -> object:
    try:
        with torch.no_grad():
            return module()
    except RuntimeError as exc:
        if "does not require grad" not in str(exc):
            raise
        raise FrameError(
            f"the source raised RuntimeError: {exc}",
            expected="a module that needs no graph, as it runs under torch.no_grad()",
            fix="show a function that calls it, which keeps the graph: GPUStream(lambda: model())",
        ) from exc


def _inputs(module: nn.Module) -> list[bool]:
    """Return for each input of ``forward`` whether it is needed.

    A forward that takes ``*args`` belongs to a wrapper (DataParallel), whose module needs an input.
    """
    # The module that torch.compile returns accepts anything; the original has a signature.
    forward = getattr(module, "_orig_mod", module).forward
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):  # TorchScript's, which has no signature
        return [True]
    return [each.kind is each.VAR_POSITIONAL or _is_required(each) for each in parameters]


def _takes_context(function: Callable[..., object]) -> bool | None:
    """Return whether a function needs one argument; None if it is not a source."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a signature
        return False
    needed = [each for each in parameters if _is_required(each)]
    if not needed:
        return False
    # A model's forward needs its input, and a generator is called only once.
    is_forward = isinstance(getattr(function, "__self__", None), nn.Module)
    is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    is_one = len(needed) == 1 and needed[0].kind is not inspect.Parameter.KEYWORD_ONLY
    return True if is_one and not (is_forward or is_generator) else None


def _is_required(parameter: inspect.Parameter) -> bool:
    is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not is_variadic
