"""The headless viewer of a kernel's stream: it connects again as a page does."""

from __future__ import annotations

import pytest
import torch

from gpuview.testing.errors import WrongPictureError
from gpuview.testing.kernel import Kernel

pytestmark = pytest.mark.kernel

# Noise fills many packets for each frame.
NOISE = """
import torch
from gpuview import GPUStream
stream = GPUStream(lambda: torch.rand(360, 640, 3))
display(stream)
"""


def test_a_viewer_that_is_let_go_connects_again(gpuview_kernel: Kernel) -> None:
    gpuview_kernel.run(NOISE)
    stream = gpuview_kernel.stream()
    viewer = gpuview_kernel.view(stream)
    viewer.next_frame()

    # The kernel's side closes the connection, as it does with a page that fell silent.
    stream.send({"type": "Bye", "view": viewer.view})

    viewer.wait_for_seq(2)
    viewer.wait_for_state("playing")
    assert viewer.seq == 2
    assert gpuview_kernel.evaluate("stream.viewers") == [viewer.view]


def test_a_viewer_that_does_not_decode_counts_frames_as_the_kernel_does(
    gpuview_kernel: Kernel,
) -> None:
    gpuview_kernel.run(NOISE)
    viewer = gpuview_kernel.view(gpuview_kernel.stream(), is_decoding=False)

    viewer.wait_for_frames(20)

    assert viewer.state == "playing"
    counted = viewer.frame_count
    (sent,) = gpuview_kernel.evaluate("[each.frames_sent for each in stream.stats().viewers]")
    assert 20 <= counted <= sent


def test_a_kernels_stream_is_compared_with_what_a_stream_without_options_draws(
    gpuview_kernel: Kernel,
) -> None:
    gpuview_kernel.run("import torch\nfrom gpuview import GPUStream")
    gpuview_kernel.run("stream = GPUStream()\nstream.push(torch.eye(192))\ndisplay(stream)")
    with gpuview_kernel.view(gpuview_kernel.stream(), delay_ms=20) as viewer:
        viewer.assert_shows(torch.eye(192), tolerance=0)
        with pytest.raises(WrongPictureError, match="without options draws it"):
            viewer.assert_shows(1 - torch.eye(192), timeout_s=0)
        assert viewer.link is not None
