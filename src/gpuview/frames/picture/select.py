"""``select``: the part of a frame that is shown."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from torch import Tensor, nn

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import explained
from gpuview.frames.picture.tensor_layout import Values

__all__ = ["CurrentSelect", "Index", "Select", "as_select"]

Select = Callable[[Any], object]
"""Picks the part of a frame to show."""

Index = int | slice | str | tuple[Any, ...]


class CurrentSelect:
    """A stream's present ``select``, which may be replaced between two frames. From any thread."""

    def __init__(self, pick: Select | None) -> None:
        self.pick = pick

    def __call__(self, frame: object) -> object:
        """Return the part of ``frame`` to show.

        Raises:
            FrameError: ``select`` failed.
        """
        pick = self.pick
        return frame if pick is None else pick(frame)


def as_select(select: object) -> Select | None:
    """Return a function that picks the part of a frame to show; None shows the whole frame.

    The returned function raises FrameError if it fails.

    Args:
        select: An index, or a function of the frame.

    Raises:
        FrameError: ``select`` is neither.
    """
    if select is None:
        return None
    if callable(select):
        return _as_picked(select)
    if isinstance(select, int | slice | str | tuple):
        return _as_picked(itemgetter(select))
    raise FrameError(
        f"cannot select with an object of type {type(select).__name__}",
        expected="an int, a slice, a str, a tuple of them, or a function of the frame",
        fix="select=0, which shows the first picture of a batch",
    )


def _as_picked(pick: Select) -> Select:
    def select(frame: object) -> object:
        with explained("select"):
            picked = pick(frame)
        # A slice of a parameter is a plain tensor, but still holds values.
        is_slice = isinstance(frame, nn.Parameter) and isinstance(picked, Tensor)
        return Values(picked) if is_slice else picked

    return select
