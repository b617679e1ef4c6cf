"""The pytest plugin: fixtures for testing notebooks that use gpuview."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gpuview.testing.kernel import Kernel

__all__ = ["gpuview_kernel"]


@pytest.fixture
def gpuview_kernel() -> Iterator[Kernel]:
    """Give a running kernel, `gpuview.testing.kernel.Kernel`, and shut it down after the test."""
    # Imported here: every pytest run of every environment with gpuview loads this file.
    from gpuview.testing.kernel import Kernel

    with Kernel() as kernel:
        yield kernel
