"""Processes die; the picture comes back, and nothing stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from gpuview.testing.kernel import Kernel
from gpuview.testing.processes import wait_until_gone

pytestmark = pytest.mark.kernel

MediaPid = Callable[[Kernel], int]

PULL = """
import torch
from gpuview import GPUStream
precious = 42
stream = GPUStream(lambda: torch.rand(96, 128, 3))
display(stream)
"""


def test_a_view_plays_again_after_the_media_process_was_killed(
    kernel: Kernel, media_pid: MediaPid
) -> None:
    kernel.run(PULL)
    stream = kernel.stream()
    viewer = kernel.view(stream)
    viewer.next_frame()
    epoch = stream.traits["epoch"]

    os.kill(media_pid(kernel), signal.SIGKILL)

    stream.wait_for(lambda traits: traits["epoch"] > epoch, what="a new epoch")
    viewer.wait_for_seq(2)
    viewer.frames(3)
    assert kernel.evaluate("precious") == 42
    assert kernel.evaluate("stream.viewers") == [viewer.view]


def test_a_pushed_frame_is_seen_again_after_the_media_process_was_killed(
    kernel: Kernel, media_pid: MediaPid
) -> None:
    kernel.run("import torch\nfrom gpuview import GPUStream\nstream = GPUStream()\ndisplay(stream)")
    kernel.run("stream.push(torch.ones(96, 128, 3))")
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()

    os.kill(media_pid(kernel), signal.SIGKILL)

    viewer.wait_for_seq(2)
    assert viewer.next_frame().min() > 250


def test_the_media_process_ends_when_its_kernel_is_killed(
    kernel: Kernel, media_pid: MediaPid
) -> None:
    kernel.run(PULL)
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()
    media = media_pid(kernel)

    kernel.kill()

    wait_until_gone([media], timeout_s=20.0)
    viewer.wait_for_state("gone")


def test_the_media_process_ends_when_its_kernel_is_killed_in_the_midst_of_a_cell(
    kernel: Kernel, media_pid: MediaPid
) -> None:
    kernel.run(PULL)
    media = media_pid(kernel)
    kernel.start("while True:\n    pass")

    kernel.kill()

    wait_until_gone([media], timeout_s=20.0)


def test_after_a_restart_the_cell_plays_in_a_new_view(kernel: Kernel, media_pid: MediaPid) -> None:
    kernel.run(PULL)
    old = kernel.view(kernel.stream())
    old.next_frame()
    media = media_pid(kernel)

    kernel.restart()

    old.wait_for_state("gone")
    wait_until_gone([media], timeout_s=20.0)
    kernel.run(PULL)
    kernel.view(kernel.stream()).frames(3)


def test_a_kernel_that_shuts_down_takes_the_media_process_along(
    kernel: Kernel, media_pid: MediaPid
) -> None:
    kernel.run(PULL)
    kernel.view(kernel.stream()).next_frame()
    media = media_pid(kernel)

    kernel.close()

    wait_until_gone([media], timeout_s=20.0)
