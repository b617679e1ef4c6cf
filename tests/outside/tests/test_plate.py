"""Without a kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from glow import Plate, plate

from gpuview import GPUStream
from gpuview.testing import HeadlessViewer, connect


def test_plate_is_shown(stream: GPUStream) -> None:
    stream.push(plate(7))
    with connect(stream) as viewer:
        viewer.assert_shows(plate(7), tolerance=1)


def test_plate_warms_twenty_times_a_second() -> None:
    with GPUStream(Plate(), fps=20) as stream, connect(stream) as viewer:
        assert 2 < viewer.fps() < 30
        assert viewer.latency_ms().p50 < 5000
        viewer.assert_shows(plate(19), tolerance=12)


def test_viewer_of_a_test_is_closed_at_its_end(
    stream: GPUStream, left_open: list[HeadlessViewer]
) -> None:
    stream.push(plate(3))
    left_open.append(connect(stream))
    left_open[0].assert_shows(plate(3))


@pytest.fixture
def viewer(stream: GPUStream, left_open: list[HeadlessViewer]) -> HeadlessViewer:
    left_open.append(connect(stream))
    return left_open[0]


def test_viewer_of_a_fixture_is_closed_with_it(stream: GPUStream, viewer: HeadlessViewer) -> None:
    stream.push(plate(4))
    viewer.assert_shows(plate(4))


@pytest.fixture(scope="module")
def shared_stream() -> Iterator[GPUStream]:
    with GPUStream() as stream:
        yield stream


@pytest.fixture(scope="module")
def shared_viewer(shared_stream: GPUStream) -> HeadlessViewer:
    return connect(shared_stream)


@pytest.mark.parametrize("step", [5, 15])
def test_viewer_of_a_modules_fixture_stays_open(
    shared_stream: GPUStream, shared_viewer: HeadlessViewer, step: int
) -> None:
    shared_stream.push(plate(step))
    shared_viewer.assert_shows(plate(step))
