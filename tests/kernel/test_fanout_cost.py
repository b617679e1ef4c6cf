"""Ten viewers cost less than two and a half times what one costs: encoded once, for all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel

pytestmark = pytest.mark.kernel

# Smooth colours that move and some grain: 3 to 4 Mbit/s at 720p30. Made before, as the source's
# cost is not what is measured.
STREAM = """
import itertools, torch
from gpuview import GPUStream

H, W = 720, 1280
y, x = torch.meshgrid(torch.linspace(0, 9, H), torch.linspace(0, 16, W), indexing="ij")
def picture(t):
    waves = torch.stack([(x + t).sin() + (y * k - t).cos() + (x * y / 20 + k * t).sin()
                         for k in (1.0, 1.3, 1.7)], -1)
    return ((waves + 3) * 40 + torch.randn(H, W, 1)).clamp(0, 255).byte()
frames = itertools.cycle([picture(k / 4) for k in range(24)])
stream = GPUStream(lambda: next(frames))
display(stream)
"""

_FRAMES = 120


@dataclass(frozen=True)
class Reading:
    """Counters at one moment."""

    cpu_s: float
    frames: int
    nbytes: int
    sent: dict[str, int]
    """Frames sent to each view."""


def read(kernel: Kernel, media_pid: int) -> Reading:
    encoders, sent = kernel.evaluate(
        "(lambda stats: ([(each.codec, each.frames, each.nbytes) for each in stats.encoders],"
        " {each.view: each.frames_sent for each in stats.viewers}))(stream.stats())"
    )
    ((codec, frames, nbytes),) = encoders
    assert codec == "H264 Constrained Baseline"
    return Reading(cpu_s(media_pid), frames, nbytes, sent)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, user and system."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def cost(kernel: Kernel, media_pid: int) -> dict[str, float]:
    """Measure over some seconds; return CPU ms and kilobits for each encoded frame.

    And the share of the encoded frames that the unluckiest viewer was sent: what is not sent is
    not paid for.
    """
    before = after = read(kernel, media_pid)
    deadline = time.monotonic() + 120
    while after.frames - before.frames < _FRAMES:
        assert time.monotonic() < deadline, "the stream stands still"
        kernel.evaluate("__import__('time').sleep(0.5)")
        after = read(kernel, media_pid)
    frames = after.frames - before.frames
    return {
        "cpu_ms": round((after.cpu_s - before.cpu_s) * 1000 / frames, 2),
        "kilobits": round((after.nbytes - before.nbytes) * 8 / 1000 / frames, 1),
        "sent": round(
            min(after.sent[view] - before.sent[view] for view in before.sent) / frames, 3
        ),
    }


def is_cheap(ten: dict[str, float], one: dict[str, float]) -> bool:
    """Tell whether ten viewers were sent all that they should be, and for what price."""
    return ten["sent"] > 0.9 and ten["cpu_ms"] < 2.5 * one["cpu_ms"]


def test_ten_viewers_cost_less_than_two_and_a_half_times_one(
    kernel: Kernel,
    media_pid: Callable[[Kernel], int],
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel.run(STREAM, timeout_s=120)
    pid = media_pid(kernel)
    with ExitStack() as stack:
        viewers = [stack.enter_context(kernel.view(kernel.stream(), codecs=("H264",)))]
        viewers[0].frames(10)
        one = cost(kernel, pid)
        for _ in range(9):
            viewers.append(stack.enter_context(kernel.view(kernel.stream(), codecs=("H264",))))
        for viewer in viewers:
            viewer.frames(5, timeout_s=60)
        # Whatever else keeps the machine busy at one time hardly does so at three.
        tries = [ten := cost(kernel, pid)]
        while not is_cheap(ten, one) and len(tries) < 3:
            tries.append(ten := cost(kernel, pid))
    record_property("one viewer", one)
    record_property("ten viewers", ten)
    with capsys.disabled():
        sys.stdout.write(f"\na frame costs {one} with one viewer, {ten} with ten\n")
    assert is_cheap(ten, one), tries
