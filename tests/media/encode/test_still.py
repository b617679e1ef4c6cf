"""A picture that stands still becomes one PNG, pixel by pixel."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator

import numpy as np
import pytest

from gpuview.media.encode.codec import Codec
from gpuview.media.encode.loop import EncodeLoop
from gpuview.media.encode.still import Still, StillBoard
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import RingWriter
from gpuview.testing.peer import Image, image_of

WAIT_S = 30
VP8 = Codec("VP8")
WIDTH, HEIGHT = 66, 50
NBYTES = frame_nbytes(PixelFormat.I420_RGB24P, WIDTH, HEIGHT)


class Stream:
    """The kernel's end of a stream, and the stills that come out."""

    def __init__(self) -> None:
        self.event_fd = os.eventfd(0)
        self.stills: queue.Queue[Still | None] = queue.Queue()
        self.captures: queue.Queue[int] = queue.Queue()
        self.loop = EncodeLoop(
            self.event_fd,
            fps=200,
            max_bitrate_bps=10**6,
            on_packet=lambda codec, tier, packet: self.captures.put(packet.capture_ns),
            on_error=lambda error: None,
            on_still=self.stills.put,
        )
        self.ring = RingWriter.create(NBYTES)
        self.loop.attach(os.dup(self.ring.fd))
        self.loop.start(VP8)

    def push(self, image: Image, pixel_format: PixelFormat = PixelFormat.RGB24) -> None:
        planes = {
            PixelFormat.RGB24: image,
            PixelFormat.RGB24P: np.moveaxis(image, -1, 0),
            PixelFormat.GREY8: image[..., 0],
            PixelFormat.I420_RGB24P: np.moveaxis(image, -1, 0),
        }[pixel_format]
        slot = self.ring.begin(frame_nbytes(pixel_format, WIDTH, HEIGHT))
        slot[-planes.size :] = np.ascontiguousarray(planes).reshape(-1)
        self.ring.publish(pixel_format, WIDTH, HEIGHT)
        os.eventfd_write(self.event_fd, 1)

    def still(self) -> Still | None:
        return self.stills.get(timeout=WAIT_S)

    def wait_for_packets(self, count: int) -> None:
        for _ in range(count):
            self.captures.get(timeout=WAIT_S)

    def close(self) -> None:
        self.loop.close()
        self.ring.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    yield stream
    stream.close()


def noise(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixel_format", sorted(set(PixelFormat) - {PixelFormat.I420}))
def test_still_has_every_pixel_of_its_picture(stream: Stream, pixel_format: PixelFormat) -> None:
    image = noise(0)
    if pixel_format is PixelFormat.GREY8:
        image[..., 1:] = image[..., :1]
    stream.loop.want_stills(True)
    stream.push(image, pixel_format)
    still = stream.still()
    assert still is not None
    np.testing.assert_array_equal(image_of(still.png), image)
    assert still.capture_ns == stream.captures.get(timeout=WAIT_S)


def test_picture_that_came_as_i420_alone_has_no_still(stream: Stream) -> None:
    stream.loop.want_stills(True)
    stream.ring.begin(frame_nbytes(PixelFormat.I420, WIDTH, HEIGHT))
    stream.ring.publish(PixelFormat.I420, WIDTH, HEIGHT)
    os.eventfd_write(stream.event_fd, 1)
    stream.wait_for_packets(4)
    assert stream.stills.empty()


def test_next_picture_takes_the_still_away(stream: Stream) -> None:
    stream.loop.want_stills(True)
    stream.push(noise(0))
    assert stream.still() is not None
    stream.push(noise(1))
    assert stream.still() is None
    second = stream.still()
    assert second is not None
    np.testing.assert_array_equal(image_of(second.png), noise(1))


def test_picture_that_already_stands_is_made_for_the_first_who_wants_it(stream: Stream) -> None:
    stream.push(noise(0))
    stream.wait_for_packets(4)  # the third repeat comes after 0.85 s
    assert stream.stills.empty()
    stream.loop.want_stills(True)
    assert stream.still() is not None


def test_picture_is_made_once(stream: Stream) -> None:
    stream.loop.want_stills(True)
    stream.push(noise(0))
    assert stream.still() is not None
    stream.loop.want_stills(True)
    stream.wait_for_packets(4)
    assert stream.stills.empty()


def test_ring_that_is_detached_takes_its_still_away(stream: Stream) -> None:
    stream.loop.want_stills(True)
    stream.push(noise(0))
    assert stream.still() is not None
    stream.loop.detach()
    assert stream.still() is None


def test_board_tells_whether_somebody_wants_stills_and_all_who_do() -> None:
    wanted: list[bool] = []
    heard: list[str] = []
    board = StillBoard(wanted.append)
    first, second = lambda: heard.append("first"), lambda: heard.append("second")
    board.listen(first)
    board.listen(second)
    still = Still(1, b"png")
    board.post(still)
    assert sorted(heard) == ["first", "second"]
    assert board.newest is still
    board.leave(first)
    assert wanted[-1]
    board.leave(second)
    assert not wanted[-1]
