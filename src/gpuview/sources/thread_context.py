"""What torch and Jupyter keep for each thread: where tensors are made, and where prints go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from contextvars import copy_context
from typing import TypeVar

import torch

__all__ = ["as_on_this_thread"]

T = TypeVar("T")


def as_on_this_thread() -> Callable[[Callable[[], T]], T]:
    """Return a function that calls a function on any thread as if it were on this one.

    What it prints is shown below this cell, and tensors are made where `torch.set_default_device`
    and `torch.cuda.set_device` have said. For one thread at a time.
    """
    context = copy_context()
    default = torch.get_default_device()
    is_initialized: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    current = torch.cuda.current_device() if is_initialized else None

    def call(function: Callable[[], T]) -> T:
        with ExitStack() as stack:
            if current is not None:
                stack.enter_context(torch.cuda.device(current))
            if default.type != "cpu":  # a mode, which costs each call of torch some time
                stack.enter_context(default)
            return context.run(function)

    return call
