"""A stream of a real kernel that is published to a real Janus, and watched there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpuview.testing.kernel import Kernel
from tests.janus import OWN_ADDRESS, Janus, Reader, needs_janus
from tests.kernel.conftest import PULL, StartKernel
from tests.waiting import wait_until

pytestmark = [pytest.mark.kernel, needs_janus]

COLOURS = """
colour = (1.0, 0.0, 0.0)
stream = GPUStream(lambda: torch.tensor(colour).expand(96, 128, 3))
"""


@pytest.fixture
def janus(tmp_path: Path) -> Iterator[Janus]:
    with Janus(tmp_path) as janus:
        yield janus


@pytest.fixture
def kernel(start_kernel: StartKernel) -> Kernel:
    return start_kernel(GPUVIEW_PUBLIC_IP=OWN_ADDRESS)


def test_people_who_watch_at_janus_see_the_stream_by_one_upload(
    kernel: Kernel, janus: Janus
) -> None:
    kernel.run(PULL + COLOURS)
    kernel.run(f"publication = stream.publish({janus.url!r})")
    kernel.wait_until("publication.state == 'live'")
    with Reader(janus) as first:
        assert_shows(first, (255, 0, 0))
        kernel.run("colour = (0.0, 0.0, 1.0)")
        # Who joins later begins with a keyframe, for which Janus asks.
        with Reader(janus) as second:
            assert_shows(second, (0, 0, 255))
            assert_shows(first, (0, 0, 255))
        assert kernel.evaluate("len(stream.stats().viewers)") == 1
    kernel.run("publication.stop()")
    wait_until(lambda: not janus.publishers(), "nobody publishes in the room")
    kernel.wait_until("stream.viewers == ()")


def test_stream_is_published_again_after_janus_and_the_media_process_have_died(
    kernel: Kernel, janus: Janus
) -> None:
    kernel.run(PULL + COLOURS)
    kernel.run(f"publication = stream.publish({janus.url!r})")
    kernel.wait_until("publication.state == 'live'")
    kernel.run("import os, signal\nos.kill(stream.stats().media_pid, signal.SIGKILL)")
    kernel.wait_until("publication.state != 'live'")
    kernel.wait_until("publication.state == 'live'")
    with Reader(janus) as reader:
        assert_shows(reader, (255, 0, 0))

    janus.restart()
    kernel.wait_until("publication.state == 'waiting'")
    kernel.wait_until("publication.state == 'live'")
    with Reader(janus) as reader:
        assert_shows(reader, (255, 0, 0))
    kernel.run("stream.close()")
    wait_until(lambda: not janus.publishers(), "nobody publishes in the room")


def assert_shows(reader: Reader, colour: tuple[int, int, int]) -> None:
    def is_shown() -> bool:
        return bool(np.abs(reader.wait_for_frames(1).mean((0, 1)) - colour).max() < 4)

    wait_until(is_shown, f"the room shows {colour}")
