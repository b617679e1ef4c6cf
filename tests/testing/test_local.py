"""A viewer of a stream of this process, without a kernel."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ipykernel.ipkernel  # noqa: F401 - then comms are its own, and silent without a kernel
import numpy as np
import pytest
import torch

from gpuview import GPUStream
from gpuview.errors import FrameError, SettingsError
from gpuview.testing import (
    HeadlessViewer,
    ViewerEndedError,
    WaitTimeoutError,
    WrongPictureError,
    connect,
)
from gpuview.testing.current_test import naming
from gpuview.testing.link import Way
from gpuview.testing.local import LocalStream
from gpuview.testing.peer import image_of

RED = torch.tensor([255, 0, 0], dtype=torch.uint8).expand(192, 320, 3)
BLUE = torch.tensor([0, 0, 255], dtype=torch.uint8).expand(192, 320, 3)


SHADES = [torch.full((96, 160), level, dtype=torch.uint8) for level in (50, 200)]


@contextmanager
def alternating(stream: GPUStream) -> Iterator[None]:
    """Push the shades in turn, so that no picture stands still."""
    stop = threading.Event()

    def alternate() -> None:
        n = 0
        while not stop.wait(0.1):
            n += 1
            stream.push(SHADES[n % 2])

    thread = threading.Thread(target=alternate)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[GPUStream]:
    monkeypatch.setenv("GPUVIEW_PUBLIC_IP", "127.0.0.1")
    with GPUStream() as stream:
        yield stream


def test_a_stream_shows_what_is_pushed_and_then_what_is_pushed_next(stream: GPUStream) -> None:
    noise = torch.rand(3, 90, 160, generator=torch.Generator().manual_seed(0))
    stream.push(noise)
    with connect(stream) as viewer:
        viewer.assert_shows(noise, tolerance=0)
        stream.push(RED)
        viewer.assert_shows(RED, tolerance=1)
        assert stream.viewers == (viewer.view,)
    assert viewer.state == "closed"


def test_what_is_expected_is_drawn_with_the_options_of_the_stream(stream: GPUStream) -> None:
    stream.colormap, stream.value_range, stream.size = "magma", (0, 50), 200
    stream.select = "left"
    ramp = torch.arange(64.0).expand(32, 64)
    stream.push({"left": ramp, "right": -ramp})
    with connect(stream) as viewer:
        viewer.assert_shows({"left": ramp, "right": ramp}, tolerance=0)
        assert viewer.next_still().shape == (100, 200, 3)
        with pytest.raises(FrameError):
            viewer.assert_shows({"left": "no tensor"})


def test_a_still_of_before_is_not_taken_for_the_moving_picture(
    stream: GPUStream, tmp_path: Path
) -> None:
    stream.push(RED)
    with connect(stream) as viewer, naming("test", lambda: tmp_path):
        viewer.next_still()
        with alternating(stream):
            viewer.assert_shows(SHADES[0])
            with pytest.raises(WrongPictureError):
                viewer.assert_shows(RED, timeout_s=0.5)


def test_a_wrong_picture_is_saved_beside_the_one_expected(
    stream: GPUStream, tmp_path: Path
) -> None:
    expected = RED.clone()
    expected[40, 70, 2] = 77
    stream.push(RED)
    with connect(stream) as viewer, naming("test_mine", lambda: tmp_path):
        viewer.next_still()
        with pytest.raises(AssertionError) as caught:
            viewer.assert_shows(expected, timeout_s=0.1)
    error = caught.value
    assert isinstance(error, WrongPictureError)
    assert "77 of 255 levels, in blue at row 40, column 70 of 320 x 192 pixels" in error.problem
    assert "pixels: 0 instead of 77" in error.problem
    assert "without loss" in error.problem
    assert "at most 8 levels" in error.expected
    assert "as the stream draws it" in error.expected
    path = tmp_path / "test_mine-1.png"
    assert str(path) in error.fix
    saved = image_of(path.read_bytes())
    assert (saved[:, :320] == RED.numpy()).all()
    assert (saved[:, -320:] == expected.numpy()).all()


def test_a_moving_picture_is_compared_frame_by_frame(stream: GPUStream) -> None:
    with alternating(stream), connect(stream) as viewer:
        for shade in (*SHADES, *SHADES):
            viewer.assert_shows(shade, tolerance=4)


def test_no_picture_at_all_is_said_as_such(stream: GPUStream) -> None:
    with connect(stream) as viewer, pytest.raises(WaitTimeoutError, match=r"0\.2 s in vain"):
        viewer.assert_shows(RED, timeout_s=0.2)


def test_new_pictures_are_counted_and_repeats_are_not() -> None:
    level = 0

    def source() -> torch.Tensor:
        nonlocal level
        level = (level + 40) % 256
        return torch.full((96, 160), level, dtype=torch.uint8)

    with GPUStream(source, fps=10) as stream, connect(stream) as viewer:
        viewer.wait_for_frames(3)
        assert 2 < viewer.fps(window_s=1) < 15
        latency = viewer.latency_ms()
        assert 0 < latency.p50 <= latency.p95
        assert latency.n_pictures >= 2
    with GPUStream() as stream, connect(stream) as viewer:
        stream.push(RED)
        viewer.next_still()
        assert viewer.fps(window_s=0.5) == 0


def test_figures_need_no_decoding_but_pictures_do() -> None:
    with GPUStream(lambda: torch.rand(96, 160)) as stream:
        viewer = connect(stream, is_decoding=False)
        with viewer:
            assert viewer.fps(window_s=0.5) > 1
            assert viewer.latency_ms().p50 > 0
            with pytest.raises(SettingsError, match="is_decoding"):
                viewer.assert_shows(RED)


def test_waits_of_a_viewer_that_has_ended_end_at_once(stream: GPUStream) -> None:
    errors: list[BaseException] = []

    def wait(viewer: HeadlessViewer) -> None:
        with pytest.raises(ViewerEndedError) as caught:
            viewer.next_frame(timeout_s=600)
        errors.append(caught.value)

    viewer, other = connect(stream), connect(stream)
    with viewer, other:
        threads = [threading.Thread(target=wait, args=(each,)) for each in (viewer, other)]
        for thread in threads:
            thread.start()
        viewer.close()
        threads[0].join()
        stream.close()
        threads[1].join()
    assert [type(error) for error in errors] == [ViewerEndedError] * 2
    assert "has ended: it is closed" in str(errors[0])
    assert "has ended: its stream is closed" in str(errors[1])
    with pytest.raises(ViewerEndedError):
        viewer.fps()


def test_only_streams_of_this_process_can_be_connected_to(stream: GPUStream) -> None:
    with pytest.raises(SettingsError, match="cannot connect to a LocalStream") as caught:
        connect(LocalStream.of(stream))  # type: ignore[arg-type]
    assert "kernel.view(" in caught.value.fix


def test_a_stream_that_has_changed_before_is_seen_as_it_is(stream: GPUStream) -> None:
    stream.push(RED)
    local = LocalStream.of(stream)
    assert local.traits["status"] == stream.status
    assert LocalStream.of(stream) is local
    stream.close()
    assert local.traits["status"]["state"] == "closed"


def test_a_poor_link_loses_packets_and_still_shows_the_picture() -> None:
    noise = torch.rand(3, 180, 320, generator=torch.Generator().manual_seed(0))
    with (
        GPUStream(lambda: noise.roll(1, 1)) as stream,
        connect(stream, loss=0.05, delay_ms=30, rate_bps=5_000_000, seed=4) as viewer,
    ):
        viewer.wait_for_frames(60)
        assert viewer.link is not None
        assert viewer.link.down.traffic.lost > 0
        assert viewer.link.up.traffic.lost > 0
        viewer.wait_for_pong()
        assert viewer.latency_ms().p50 > 30
        (link,) = stream.stats().viewers
        assert link.round_trip_ms is not None
        assert link.round_trip_ms > 60
        viewer.link.down.way = Way()
        lost = viewer.link.down.traffic.lost
        viewer.wait_for_frames(30)
        assert viewer.link.down.traffic.lost == lost


def test_a_link_that_cannot_be_is_refused_and_leaves_nothing(stream: GPUStream) -> None:
    with pytest.raises(SettingsError, match=r"no link has loss = 1\.5"):
        connect(stream, loss=1.5)


def test_an_async_test_goes_on_while_it_waits(stream: GPUStream) -> None:
    async def push(level: int) -> None:
        while True:
            stream.push(torch.full((96, 160), level, dtype=torch.uint8))
            await asyncio.sleep(0.02)

    async def test() -> None:
        async with connect(stream) as viewer:
            # Whatever is shown comes from the loop that the test runs on.
            pushing = asyncio.create_task(push(30))
            await viewer.assert_shows(np.full((96, 160), 30, np.uint8))
            frames = await viewer.frames(3)
            assert [frame.shape for frame in frames] == [(192, 320, 3)] * 3
            assert viewer.viewer.codec == "H264"
            pushing.cancel()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await viewer.wait_for_seq(99, timeout_s=600)
        # The thread that waited has ended with the viewer, or this would take ten minutes.
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(test())


def test_a_viewer_that_is_closed_at_any_moment_closes_its_sockets(stream: GPUStream) -> None:
    for n in range(60):
        with connect(stream):
            time.sleep(n / 2000)  # it is still gathering, or has just offered
    gc.collect()  # what is forgotten warns, which fails the test


def test_a_viewer_can_be_closed_by_the_thread_of_a_running_loop(stream: GPUStream) -> None:
    async def test() -> None:
        with connect(stream) as viewer:
            pass
        assert viewer.is_closed

    asyncio.run(test())
