"""Its one test is wrong: what is told of it is looked at."""

from __future__ import annotations

from glow import plate

from gpuview import GPUStream
from gpuview.testing import connect


def test_plate_is_cold(stream: GPUStream) -> None:
    stream.push(plate(10))
    viewer = connect(stream)
    viewer.next_still()
    viewer.assert_shows(plate(0), timeout_s=0.1)
