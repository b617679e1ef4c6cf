"""A picture that stands still reaches each viewer without loss."""

from __future__ import annotations

import numpy as np
import pytest

from gpuview.testing.kernel import Kernel
from gpuview.testing.peer import Image

pytestmark = pytest.mark.kernel

PUSH = """
import torch
from gpuview import GPUStream
stream = GPUStream()

def push(seed):
    stream.push(torch.randint(256, (98, 258, 3), dtype=torch.uint8,
                              generator=torch.Generator().manual_seed(seed)))

def pixels():
    return stream.frame().tolist()

push(0)
display(stream)
"""


def pushed(kernel: Kernel) -> Image:
    return np.array(kernel.evaluate("pixels()"), np.uint8)


def test_each_viewer_gets_every_picture_that_stands_still_pixel_by_pixel(
    gpuview_kernel: Kernel,
) -> None:
    gpuview_kernel.run(PUSH)
    viewers = [gpuview_kernel.view(gpuview_kernel.stream()) for _ in range(2)]
    for seed in (1, 2):
        for viewer in viewers:
            np.testing.assert_array_equal(viewer.next_still(), pushed(gpuview_kernel))
        gpuview_kernel.run(f"push({seed})")
    late = gpuview_kernel.view(gpuview_kernel.stream())
    np.testing.assert_array_equal(late.next_still(), pushed(gpuview_kernel))
