"""Where tensors are made: torch keeps this for each thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch

__all__ = ["devices_of_this_thread"]


def devices_of_this_thread() -> Callable[[], AbstractContextManager[None]]:
    """Return a context manager for other threads: tensors are made there where this thread does.

    So a callable finds what `torch.set_default_device` and `torch.cuda.set_device` have set.
    """
    default = torch.get_default_device()
    is_initialized: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    current = torch.cuda.current_device() if is_initialized else None

    @contextmanager
    def on_its_devices() -> Iterator[None]:
        with ExitStack() as stack:
            if current is not None:
                stack.enter_context(torch.cuda.device(current))
            if default.type != "cpu":  # a mode, which costs each call of torch some time
                stack.enter_context(default)
            yield

    return on_its_devices
