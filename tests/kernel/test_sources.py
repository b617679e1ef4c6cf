"""Sources that are ordinary code of the user's, in a real kernel."""

from __future__ import annotations

import pytest

from gpuview.testing.kernel import Kernel

pytestmark = pytest.mark.kernel

SUM = """
import torch
from gpuview import GPUStream
total = torch.zeros(96, 128)
def source():
    global total
    total = total + 0.01
    if total[0, 0] < 0.015:
        print("the first frame")
    return total
stream = GPUStream(source)
display(stream)
"""
ASYNC = """
import asyncio
async def camera():
    for level in range(10_000):
        await asyncio.sleep(0)
        yield torch.full((96, 128), level % 256, dtype=torch.uint8)
stream = GPUStream(camera)
display(stream)
"""
SPIN = "print('runs')\nwhile True:\n    pass"


def test_a_source_prints_below_its_cell_and_what_it_makes_can_be_changed_in_another(
    kernel: Kernel,
) -> None:
    cell = kernel.start(SUM)
    cell.wait()
    viewer = kernel.view(kernel.stream())
    viewer.wait_until(lambda image: image.max() > 20)
    assert "the first frame" in str(cell.outputs)
    kernel.run("stream.close()\ntotal += 1")
    assert kernel.evaluate("total[0, 0].item()") > 1


def test_an_async_generator_plays_while_a_cell_runs(kernel: Kernel) -> None:
    kernel.run("import torch\nfrom gpuview import GPUStream\n" + ASYNC)
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()
    cell = kernel.start(SPIN)
    cell.wait_for_output()
    for _ in range(10):
        viewer.next_frame()
    assert not cell.is_done
