"""What a user's source is: read once, when a stream is made.

pull     a function that gives the next frame when it is asked
layer    a module whose output is looked at when the user's own code calls it
part     one of these; a grid has several, each with a name
Origin   all parts of a stream
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from gpuview.errors import FrameError, GpuviewError
from gpuview.frames.error_reporter import explain
from gpuview.frames.feed import Select
from gpuview.frames.picture.layout import Values
from gpuview.frames.picture.tensors import is_array

__all__ = ["Index", "Origin", "Pull", "as_select", "survey"]

Pull = Callable[[], object]
Index = int | slice | str | tuple[Any, ...]

_ALONE = ""  # the name of the part that is no grid's
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stream's frames come from. Without a part, the user pushes them."""

    pulls: dict[str, Pull]
    """By name: functions without arguments, which raise StopIteration after the last frame."""
    layers: dict[str, nn.Module]
    """By name: the modules to look at."""
    names: tuple[str, ...] | None
    """All parts in the order of the user's grid; None when it is no grid but one part or none."""

    @property
    def cue(self) -> str:
        """What a user does to see the first frame; empty where watching is enough."""
        if self.pulls:
            return ""
        return "call the model" if self.layers else "push one"


def survey(source: object, layer: str | list[str] | None = None) -> Origin:
    """Find out what ``source`` is.

    Args:
        source: A module, a callable that takes no argument, an iterable of frames, one frame that
            changes in place, a mapping or a list of these, or None. A module whose forward needs
            an input is looked at, every other one is asked. A generator function is called once.
        layer: The dotted name of a module in the module ``source``, or several: looked at instead.

    Raises:
        FrameError: ``source`` is none of these, or has no such layer.
    """
    if layer is not None:
        return _survey_layers(source, layer)
    if source is None:
        return Origin({}, {}, None)
    if isinstance(source, Mapping):
        return _survey_grid({str(name): each for name, each in source.items()})
    if isinstance(source, list | tuple):
        return _survey_grid({str(index): each for index, each in enumerate(source)})
    return _origin({_ALONE: source}, None)


def _survey_layers(model: object, layer: str | list[str]) -> Origin:
    if not isinstance(model, nn.Module):
        raise FrameError(
            f"cannot look for {layer = } in an object of type {type(model).__name__}",
            expected="a torch.nn.Module as the source",
            fix="GPUStream(model, layer=...)",
        )
    if hasattr(model, "_orig_mod"):
        raise FrameError(
            f"cannot look at {layer = } in a model that torch.compile made",
            expected="a layer that runs as Python: compiled code calls no hooks",
            fix="leave layer out to look at what the whole model gives",
        )
    if not isinstance(layer, list | tuple):
        return Origin({}, {_ALONE: _find_layer(model, layer)}, None)
    names = tuple(layer)
    if not names:
        raise _empty_grid("layer")
    return Origin(
        {}, {name: _find_layer(model, name) for name in names}, tuple(dict.fromkeys(names))
    )


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
        return "give the layer itself as the source: GPUStream(layer)"
    wanted = str(name)
    if not wanted or len(layers) == 1:
        return "leave layer out to look at what the whole model gives"
    if wanted in dict(model.named_parameters(remove_duplicate=False)):
        return f"show the parameter as the source: GPUStream(model.get_parameter({wanted!r}))"
    # A wrapper puts its own name before those that a user knows.
    near = [each for each in layers if f".{each}".endswith(f".{wanted}")][:_MOST_NAMES]
    near = near or get_close_matches(wanted, layers, n=_MOST_NAMES, cutoff=0.5)
    if not near:
        return "look at all names: print(*dict(model.named_modules()))"
    return f"layer={' or '.join(map(repr, near))}"


def _survey_grid(sources: dict[str, object]) -> Origin:
    if not sources:
        raise _empty_grid("source")
    return _origin(sources, tuple(sources))


def _empty_grid(what: str) -> FrameError:
    return FrameError(
        f"there is nothing in {what}", expected="at least one of them", fix=f"leave {what} out"
    )


def _origin(sources: Mapping[str, object], names: tuple[str, ...] | None) -> Origin:
    pulls: dict[str, Pull] = {}
    layers: dict[str, nn.Module] = {}
    for name, source in sources.items():
        if isinstance(source, nn.Module) and _needs_input(source):
            layers[name] = _tappable(source)
        else:
            pulls[name] = _as_pull(source)
    return Origin(pulls, layers, names)


def _tappable(module: nn.Module, name: str = "") -> nn.Module:
    """Return ``module``, which is the layer ``name`` of another one, or a source."""
    if isinstance(module, torch.jit.ScriptModule):
        raise FrameError(
            f"cannot look at what a {type(module).__name__} gives: TorchScript calls no hooks",
            expected="a module that runs as Python, or a callable that takes no argument",
            fix="push what it makes: stream = GPUStream(); stream.push(model(x))",
        )
    if getattr(module.forward, "__func__", None) is nn.Module.forward:  # a ModuleList's, say
        inner = next((inner for inner, _ in module.named_children()), "0")
        raise FrameError(
            f"cannot look at what a {type(module).__name__} gives: it has no forward",
            expected="a module that is called, such as one of those in it",
            fix=f"layer={f'{name}.{inner}'!r}" if name else f"GPUStream(modules, layer={inner!r})",
        )
    return module


def _as_pull(source: object) -> Pull:
    if isinstance(source, Tensor) or is_array(source):
        return lambda: source
    if callable(source) and not _needs_argument(source):
        is_generator = inspect.isgeneratorfunction(source)
        return iter(source()).__next__ if is_generator else source
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping | list):
        return iter(source).__next__
    raise FrameError(
        f"cannot ask an object of type {type(source).__name__} for frames",
        expected="a module, a callable that takes no argument, an iterable of tensors, a tensor, "
        "or a dict or list of these",
        fix="push what it makes: stream = GPUStream(); stream.push(model(x))",
    )


def _needs_input(module: nn.Module) -> bool:
    """Tell whether ``forward`` cannot be called without an input.

    One that takes ``*args`` counts: it is a wrapper's (DataParallel), and what it wraps needs one.
    """
    # What torch.compile returns takes anything; the module in it tells.
    forward = getattr(module, "_orig_mod", module).forward
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):  # TorchScript's, which does not say
        return True
    return any(each.kind is each.VAR_POSITIONAL or _is_required(each) for each in parameters)


def _needs_argument(function: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, and does not say
        return False
    return any(_is_required(parameter) for parameter in parameters)


def _is_required(parameter: inspect.Parameter) -> bool:
    is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not is_variadic


def as_select(select: object) -> Select | None:
    """Return the function that picks what is shown of a frame; None for None: all of it.

    Args:
        select: An index, or a function of the frame.

    Raises:
        FrameError: It is neither. What the returned function raises when it fails is one, too.
    """
    if select is None:
        return None
    if callable(select):
        return _explained(select)
    if isinstance(select, int | slice | str | tuple):
        return _explained(itemgetter(select))
    raise FrameError(
        f"cannot select with an object of type {type(select).__name__}",
        expected="an int, a slice, a str, a tuple of them, or a function of the frame",
        fix="select=0, which takes the first picture of a batch",
    )


def _explained(pick: Select) -> Select:
    def select(frame: object) -> object:
        try:
            picked = pick(frame)
        except GpuviewError:
            raise
        except Exception as exc:
            raise explain(exc, "select") from exc
        # A part of a parameter is none itself, and holds values all the same.
        is_part = isinstance(frame, nn.Parameter) and isinstance(picked, Tensor)
        return Values(picked) if is_part else picked

    return select
