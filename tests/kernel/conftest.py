"""Kernels for the tests in this folder. Each must leave no process behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gpuview.testing.kernel import Kernel
from tests.processes import command_line, descendants, wait_until_gone
from tests.shared_kernel import close_streams, own_media

StartKernel = Callable[..., Kernel]
KernelWith = Callable[..., Kernel]

PULL = """
import torch
from gpuview import GPUStream
stream = GPUStream(lambda: torch.rand(96, 128, 3))
display(stream)
"""


@pytest.fixture
def start_kernel() -> Iterator[StartKernel]:
    """Give a function that starts a kernel with ``env``; check later that no process is left."""
    with ExitStack() as stack:

        def start(**env: str) -> Kernel:
            kernel = Kernel(env=env)
            stack.callback(_close_and_check, kernel)
            return kernel

        yield start


@pytest.fixture(scope="module")
def module_kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    # Started here, as it stays for the module: a test that started it would seem to leak it.
    kernel.run("from gpuview import GPUStream\nGPUStream().close()")
    yield kernel
    _close_and_check(kernel)


@pytest.fixture
def kernel(module_kernel: Kernel) -> Iterator[Kernel]:
    """Give the module's kernel, which the test must leave alive; its streams are closed for it."""
    yield module_kernel
    for viewer in module_kernel.viewers:
        viewer.close()
    module_kernel.interrupt()
    close_streams(module_kernel)


@pytest.fixture
def kernel_with_own_media(kernel: Kernel) -> Iterator[Kernel]:
    """Give the module's kernel with a media process for this test alone, which may kill it."""
    with own_media(kernel):
        yield kernel


@pytest.fixture
def kernel_with(kernel: Kernel) -> Iterator[KernelWith]:
    """Give a function that sets ``env`` in the module's kernel, for this test alone."""
    with ExitStack() as stack:

        def set_env(**env: str) -> Kernel:
            stack.enter_context(own_media(kernel, env))
            return kernel

        yield set_env


@pytest.fixture
def own_kernel(start_kernel: StartKernel) -> Kernel:
    """Give a kernel that the test may kill or restart."""
    return start_kernel()


@pytest.fixture
def media_pid() -> Callable[[Kernel], int]:
    """Give a function that returns the id of a kernel's media process."""

    def find(kernel: Kernel) -> int:
        # A child that it has just forked has the same command line, and comes after it.
        pids = [pid for pid in descendants(kernel.pid) if "gpuview.media" in command_line(pid)]
        return pids[0]

    return find


def _close_and_check(kernel: Kernel) -> None:
    children = descendants(kernel.pid)
    kernel.close()
    wait_until_gone(children, timeout_s=60.0)
