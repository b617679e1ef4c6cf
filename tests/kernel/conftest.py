"""Kernels for the tests in this folder; each test shows that it leaves no process behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gpuview.testing.kernel import Kernel
from gpuview.testing.processes import command_line, wait_until_gone

StartKernel = Callable[..., Kernel]


@pytest.fixture
def start_kernel() -> Iterator[StartKernel]:
    """Give a function that starts a kernel with ``env``; checks afterwards that all has ended."""
    with ExitStack() as stack:

        def start(**env: str) -> Kernel:
            kernel = Kernel(env=env)
            stack.callback(_close_and_check, kernel)
            return kernel

        yield start


@pytest.fixture
def kernel(start_kernel: StartKernel) -> Kernel:
    return start_kernel()


@pytest.fixture
def media_pid() -> Callable[[Kernel], int]:
    """Give a function that returns the id of a kernel's media process."""

    def find(kernel: Kernel) -> int:
        (pid,) = (pid for pid in kernel.children if "gpuview.media" in command_line(pid))
        return pid

    return find


def _close_and_check(kernel: Kernel) -> None:
    children = kernel.children
    kernel.close()
    wait_until_gone(children, timeout_s=20.0)
