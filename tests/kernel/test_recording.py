"""Recordings of a real kernel: what is in the files when something dies or the disk is full."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from gpuview.testing.kernel import Kernel
from tests.kernel.conftest import PULL
from tests.processes import wait_until_gone
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

MediaPid = Callable[[Kernel], int]

PUSH = """
import time
import torch
from gpuview import GPUStream
stream = GPUStream(value_range=(0, 255))

def push(*levels):
    times = []
    for level in levels:
        stream.push(torch.full((192, 256), float(level)))
        times.append(time.monotonic())
        time.sleep(0.05)
        while stream.stats().frames_shown < stream.stats().frames_pushed:
            time.sleep(0.01)  # on a busy machine the next frame would take its place
    return times
"""


def record(kernel: Kernel, path: Path) -> None:
    kernel.run(f"recording = stream.record({str(path)!r})")


def frames_in(path: Path) -> list[tuple[float, float]]:
    """Return each frame's time in seconds and its level."""
    with av.open(str(path)) as container:
        return [
            (frame.time, float(frame.to_ndarray()[:192].mean()))
            for frame in container.decode(video=0)
        ]


def pictures_in(path: Path) -> list[tuple[float, int]]:
    """Return when each gray picture appears and its value, from 0 to 255; in full steps of 20."""
    found: list[tuple[float, int]] = []
    for time, level in frames_in(path):
        value = round((level - 16) / 219 * 255 / 20) * 20
        if not found or value != found[-1][1]:
            found.append((time, value))
    return found


def test_pushed_frames_are_in_the_file_at_their_times_without_a_viewer(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.run(PUSH)
    record(kernel, tmp_path / "run.mp4")
    times = kernel.evaluate("push(*range(0, 260, 20))")
    kernel.run("recording.stop()")
    assert kernel.evaluate("(recording.frames, recording.is_open)") == [13, False]
    assert kernel.evaluate("stream.viewers") == []
    shown = pictures_in(tmp_path / "run.mp4")
    assert [value for _, value in shown] == list(range(0, 260, 20))
    # Of two processes' clocks, and on a busy machine: within a frame of 20 a second.
    pushed = [each - times[0] for each in times]
    assert [time for time, _ in shown] == pytest.approx(pushed, abs=0.05)


def test_closed_stream_ends_its_recording_and_the_path_is_the_kernels(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.run(f"import os\nbefore = os.getcwd()\nos.chdir({str(tmp_path)!r})")
    kernel.run(PUSH + "recording = stream.record('run.mp4')\nos.chdir(before)")
    kernel.evaluate("push(100)")
    kernel.run("stream.close()")
    assert not kernel.evaluate("recording.is_open")
    assert len(pictures_in(tmp_path / "run.mp4")) == 1


def test_killed_kernel_leaves_a_file_that_plays_to_its_last_frame(
    own_kernel: Kernel, media_pid: MediaPid, tmp_path: Path
) -> None:
    own_kernel.run(PUSH)
    record(own_kernel, tmp_path / "run.mp4")
    own_kernel.evaluate("push(*range(0, 260, 20))")
    media = media_pid(own_kernel)

    own_kernel.kill()

    wait_until_gone([media], timeout_s=60.0)
    assert [value for _, value in pictures_in(tmp_path / "run.mp4")] == list(range(0, 260, 20))


def test_kernel_that_is_shut_down_leaves_a_file_that_plays(
    own_kernel: Kernel, tmp_path: Path
) -> None:
    own_kernel.run(PUSH)
    record(own_kernel, tmp_path / "run.mp4")
    own_kernel.evaluate("push(*range(0, 260, 20))")
    own_kernel.close()
    assert len(pictures_in(tmp_path / "run.mp4")) == 13


def test_recording_goes_on_in_another_file_when_the_media_process_is_killed(
    kernel_with_own_media: Kernel, media_pid: MediaPid, tmp_path: Path
) -> None:
    kernel = kernel_with_own_media
    kernel.run(PULL)
    record(kernel, tmp_path / "run.mp4")
    wait_until(lambda: (tmp_path / "run.mp4").stat().st_size > 150_000, "some fragments")

    os.kill(media_pid(kernel), signal.SIGKILL)

    wait_until((tmp_path / "run-2.mp4").exists, "another file")
    wait_until(lambda: (tmp_path / "run-2.mp4").stat().st_size > 150_000, "some fragments")
    kernel.run("recording.stop()")
    names = kernel.evaluate("[each.name for each in recording.paths]")
    assert names == ["run.mp4", "run-2.mp4"]
    for name in names:
        assert len(frames_in(tmp_path / name)) > 10
    assert kernel.evaluate("recording.error") is None


def test_full_disk_ends_the_recording_with_an_error_in_the_cell_and_the_view_plays_on(
    kernel_with_own_media: Kernel, media_pid: MediaPid, tmp_path: Path
) -> None:
    kernel = kernel_with_own_media
    kernel.run(PULL)
    stream = kernel.stream()
    viewer = kernel.view(stream)
    viewer.frames(3)
    resource.prlimit(media_pid(kernel), resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    record(kernel, tmp_path / "run.mp4")

    status = stream.wait_for(lambda traits: traits["status"]["part"] == "recording")["status"]
    assert status["state"] == "error"
    assert status["problem"] == "the recording run.mp4 has ended: File too large"
    viewer.frames(10)
    assert kernel.evaluate("recording.is_open") is False
    assert kernel.evaluate("recording.error.problem") == status["problem"]
    kernel.run("recording.stop()")
    assert len(frames_in(tmp_path / "run.mp4")) > 5
