"""Processes die; the picture comes back, and nothing stays behind."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel
from tests.kernel.conftest import PULL
from tests.processes import wait_until_gone

pytestmark = pytest.mark.kernel

MediaPid = Callable[[Kernel], int]


def test_a_view_plays_again_after_the_media_process_was_killed(
    kernel_with_own_media: Kernel, media_pid: MediaPid
) -> None:
    kernel = kernel_with_own_media
    kernel.run(PULL + "kept = 42")
    stream = kernel.stream()
    viewer = kernel.view(stream)
    viewer.next_frame()
    epoch = stream.traits["epoch"]

    os.kill(media_pid(kernel), signal.SIGKILL)

    stream.wait_for(lambda traits: traits["epoch"] > epoch, what="a new epoch")
    viewer.wait_for_seq(2)
    viewer.frames(3)
    assert kernel.evaluate("kept") == 42
    assert kernel.evaluate("stream.viewers") == [viewer.view]


def test_a_pushed_frame_is_seen_again_after_the_media_process_was_killed(
    kernel_with_own_media: Kernel, media_pid: MediaPid
) -> None:
    kernel = kernel_with_own_media
    kernel.run("import torch\nfrom gpuview import GPUStream\nstream = GPUStream()\ndisplay(stream)")
    kernel.run("stream.push(torch.ones(96, 128, 3))")
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()

    os.kill(media_pid(kernel), signal.SIGKILL)

    viewer.wait_for_seq(2)
    assert viewer.next_frame().min() > 250


def test_a_ring_that_finds_no_memory_is_told_and_tried_again(
    kernel_with_own_media: Kernel, media_pid: MediaPid
) -> None:
    kernel = kernel_with_own_media
    kernel.run("import torch\nfrom gpuview import GPUStream\nstream = GPUStream()\ndisplay(stream)")
    kernel.run("stream.push(torch.zeros(96, 128, 3))")
    stream = kernel.stream()
    viewer = kernel.view(stream)
    viewer.next_frame()
    pid = media_pid(kernel)
    _, most = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (address_space(pid) + 1_000_000, most))

    kernel.run("stream.push(torch.ones(1080, 1920, 3))")

    stream.wait_for(lambda traits: "cannot map" in traits["status"]["problem"], what="the problem")
    resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
    stream.wait_for(lambda traits: traits["status"]["state"] == "live", what="a live stream")
    viewer.wait_until(lambda picture: bool(picture.min() > 250))  # not the old, black one
    assert media_pid(kernel) == pid


def address_space(pid: int) -> int:
    """Return the bytes of address space that a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def test_a_view_whose_offer_died_with_the_media_process_plays(
    kernel_with_own_media: Kernel, media_pid: MediaPid
) -> None:
    kernel = kernel_with_own_media
    kernel.run(PULL)
    media = media_pid(kernel)

    os.kill(media, signal.SIGSTOP)
    viewer = kernel.view(kernel.stream())
    viewer.wait_for_seq(1)
    os.kill(media, signal.SIGKILL)

    viewer.frames(3)
    assert viewer.seq == 2


def test_the_media_process_ends_when_its_kernel_is_killed(
    own_kernel: Kernel, media_pid: MediaPid
) -> None:
    own_kernel.run(PULL)
    viewer = own_kernel.view(own_kernel.stream())
    viewer.next_frame()
    media = media_pid(own_kernel)

    own_kernel.kill()

    wait_until_gone([media], timeout_s=60.0)
    viewer.wait_for_state("gone")


def test_the_media_process_ends_when_its_kernel_is_killed_in_the_middle_of_a_cell(
    own_kernel: Kernel, media_pid: MediaPid
) -> None:
    own_kernel.run(PULL)
    media = media_pid(own_kernel)
    own_kernel.start("print('runs')\nwhile True:\n    pass").wait_for_output()

    own_kernel.kill()

    wait_until_gone([media], timeout_s=60.0)


def test_after_a_restart_the_cell_plays_in_a_new_view(
    own_kernel: Kernel, media_pid: MediaPid
) -> None:
    own_kernel.run(PULL)
    old = own_kernel.view(own_kernel.stream())
    old.next_frame()
    media = media_pid(own_kernel)

    own_kernel.restart()

    old.wait_for_state("gone")
    wait_until_gone([media], timeout_s=60.0)
    own_kernel.run(PULL)
    own_kernel.view(own_kernel.stream()).frames(3)


def test_a_kernel_that_shuts_down_takes_the_media_process_along(
    own_kernel: Kernel, media_pid: MediaPid
) -> None:
    own_kernel.run(PULL)
    own_kernel.view(own_kernel.stream()).next_frame()
    media = media_pid(own_kernel)

    own_kernel.close()

    wait_until_gone([media], timeout_s=60.0)
