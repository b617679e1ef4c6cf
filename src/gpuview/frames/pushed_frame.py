"""A frame that was pushed, for as long as it is the newest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import explain
from gpuview.frames.picture.panel import Panel
from gpuview.frames.picture.select import Select
from gpuview.frames.picture.tensor_layout import Values

__all__ = ["PushedFrame", "devices_of", "synchronize", "to_keep", "unwrapped"]

_MAX_DEPTH = 16


@dataclass(slots=True, eq=False)
class PushedFrame:
    """A frame, and what has become of it."""

    frame: object
    select: Select | None
    number: int
    pushed_ns: int
    fate: str | None = None
    """`READ`, or the reason why it was dropped; None while it is read for the first time."""

    def selected(self) -> object:
        if self.select is None or (isinstance(self.frame, Panel) and self.frame.select is not None):
            return self.frame
        if isinstance(self.frame, Panel):
            return self.frame.replaced(source=self.select(self.frame.source))
        return self.select(self.frame)


def to_keep(frame: object, depth: int = 0) -> tuple[object, object]:
    """Return ``frame`` without its autograd graph, and its kind; None if it must always be read."""
    if depth > _MAX_DEPTH:
        raise FrameError(
            f"cannot show a frame that contains itself, or is nested more than {_MAX_DEPTH} deep",
            expected="a tensor, or a dict or list of tensors",
            fix="push the tensors themselves: stream.push([a, b])",
        )
    if isinstance(frame, Tensor):
        try:
            kept = frame.detach() if frame.grad_fn is not None else frame
            return kept, (type(frame), frame.shape, frame.dtype, frame.device)
        # Its device has failed, or a mode forbids access: reading it will raise the right error.
        except Exception:
            return frame, None
    if isinstance(frame, Mapping):
        parts = {name: to_keep(part, depth + 1) for name, part in frame.items()}
        kinds = tuple((str(name), kind) for name, (_, kind) in parts.items())
        return {name: part for name, (part, _) in parts.items()}, _joint_kind(kinds)
    if isinstance(frame, list | tuple):
        each = [to_keep(part, depth + 1) for part in frame]
        return [part for part, _ in each], _joint_kind(tuple(enumerate(kind for _, kind in each)))
    if isinstance(frame, Values):
        part, kind = to_keep(frame.tensor, depth + 1)
        return Values(part), None if kind is None else (Values, kind)
    if isinstance(frame, Panel):
        part, kind = to_keep(frame.source, depth + 1)
        return frame.replaced(source=part), None if kind is None else (frame.options, kind)
    return frame, (frame.shape, frame.dtype) if isinstance(frame, np.ndarray) else None


def _joint_kind(kinds: tuple[tuple[object, object], ...]) -> object:
    return None if any(kind is None for _, kind in kinds) else kinds


def unwrapped(frame: object) -> object:
    """Return ``frame`` with `Values` and panels replaced by their tensors."""
    if isinstance(frame, Panel):
        frame = frame.source
    if isinstance(frame, Values):
        return frame.tensor
    if isinstance(frame, dict):
        return {name: unwrapped(part) for name, part in frame.items()}
    return [unwrapped(part) for part in frame] if isinstance(frame, list) else frame


def devices_of(frame: object) -> set[torch.device]:
    """Return the CUDA devices that hold parts of ``frame``."""
    frame = unwrapped(frame)
    if isinstance(frame, Tensor):
        return {frame.device} if frame.is_cuda else set()
    parts = frame.values() if isinstance(frame, dict) else frame if isinstance(frame, list) else ()
    return set().union(*map(devices_of, parts))


def synchronize(frame: object) -> None:
    """Wait for the work that writes to ``frame``."""
    for device in devices_of(frame):
        try:
            torch.cuda.synchronize(device)
        except RuntimeError as exc:  # of any earlier work on the device
            raise explain(exc, str(device)) from exc
