"""The fixture as a user's tests see it."""

from __future__ import annotations

import pytest

from gpuview.testing.kernel import Kernel

pytestmark = pytest.mark.kernel


def test_the_fixture_gives_a_kernel_whose_stream_can_be_watched(gpuview_kernel: Kernel) -> None:
    gpuview_kernel.run("import torch\nfrom gpuview import GPUStream")
    gpuview_kernel.run("display(GPUStream(lambda: torch.rand(192, 288)))")

    with gpuview_kernel.view(gpuview_kernel.stream()) as viewer:
        assert viewer.next_frame().shape == (192, 288, 3)
