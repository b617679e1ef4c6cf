"""``select``: the part of a frame that is shown."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from torch import Tensor, nn

from gpuview.errors import FrameError, GpuviewError
from gpuview.frames.error_reporter import explain
from gpuview.frames.feed import Select
from gpuview.frames.picture.layout import Values

__all__ = ["Index", "as_select"]

Index = int | slice | str | tuple[Any, ...]


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
        return _explained(select)
    if isinstance(select, int | slice | str | tuple):
        return _explained(itemgetter(select))
    raise FrameError(
        f"cannot select with an object of type {type(select).__name__}",
        expected="an int, a slice, a str, a tuple of them, or a function of the frame",
        fix="select=0, which shows the first picture of a batch",
    )


def _explained(pick: Select) -> Select:
    def select(frame: object) -> object:
        try:
            picked = pick(frame)
        except GpuviewError:
            raise
        except Exception as exc:
            raise explain(exc, "select") from exc
        # A slice of a parameter is a plain tensor, but still holds values.
        is_slice = isinstance(frame, nn.Parameter) and isinstance(picked, Tensor)
        return Values(picked) if is_slice else picked

    return select
