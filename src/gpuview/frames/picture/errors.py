"""Errors of a frame: which panel they belong to, and what the user's own objects raise."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from gpuview.errors import FrameError, GpuviewError, shorten

__all__ = ["explaining", "naming_panel"]


@contextmanager
def naming_panel(name: str) -> Iterator[None]:
    """Add the panel's name to a FrameError that is raised inside."""
    try:
        yield
    except FrameError as exc:
        problem = f"{exc.problem}, in panel {name!r}"
        raise FrameError(problem, expected=exc.expected, fix=exc.fix) from exc.__cause__


class explaining:  # noqa: N801 - named like contextlib.suppress; a generator costs a microsecond
    """Turn whatever the user's objects raise inside into a FrameError.

    Args:
        action: What is done with the frame, for example ``"reading it"``.
    """

    def __init__(self, action: str) -> None:
        self._action = action

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, exc: BaseException | None, _traceback: object) -> None:
        if not isinstance(exc, Exception) or isinstance(exc, GpuviewError):
            return
        text = "".join(traceback.format_exception_only(exc))  # safe even if its __str__ raises
        raise FrameError(
            f"cannot show the frame: {self._action} raised {shorten(text, 200)}",
            expected="a tensor, or a dict or list of tensors, whose own code does not raise",
            fix="convert it first: torch.as_tensor(...), and str keys",
        ) from exc
