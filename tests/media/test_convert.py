"""From a ring slot to a frame, against the definition of BT.601 in float64."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from gpuview.media.convert import SlotConverter
from gpuview.wire.ring import PixelFormat, RingReader, RingWriter, frame_nbytes

Ring = tuple[RingWriter, RingReader]
WIDTH, HEIGHT = 64, 46


@pytest.fixture
def ring() -> Iterator[Ring]:
    with (
        RingWriter.create(frame_nbytes(PixelFormat.RGB24, WIDTH, HEIGHT)) as writer,
        RingReader.attach(os.dup(writer.fd)) as reader,
    ):
        yield writer, reader


def publish(writer: RingWriter, pixel_format: PixelFormat, pixels: np.ndarray) -> None:
    writer.begin(pixels.size)[:] = pixels.reshape(-1)
    writer.publish(pixel_format, WIDTH, HEIGHT)


def bt601(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, cb and cr in float64; chroma is the mean of each 2x2 block."""
    r, g, b = np.moveaxis(rgb.astype(np.float64) / 255, -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb, cr = 128 + 224 * (b - y) / 1.772, 128 + 224 * (r - y) / 1.402
    halves = [c.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3)) for c in (cb, cr)]
    return 16 + 219 * y, halves[0], halves[1]


def planes(frame_bytes: np.ndarray) -> list[np.ndarray]:
    flat = frame_bytes.reshape(-1)
    n = WIDTH * HEIGHT
    half = (HEIGHT // 2, WIDTH // 2)
    return [
        flat[:n].reshape(HEIGHT, WIDTH),
        flat[n : n + n // 4].reshape(half),
        flat[n + n // 4 :].reshape(half),
    ]


def test_rgb_becomes_bt601_within_one_level(ring: Ring) -> None:
    writer, reader = ring
    rgb = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    publish(writer, PixelFormat.RGB24, rgb)
    slot = reader.take()
    assert slot is not None
    frame = SlotConverter().convert(slot)
    assert frame is not None
    for plane, reference in zip(planes(frame.to_ndarray()), bt601(rgb), strict=True):
        assert np.abs(plane - reference).max() <= 1


def test_i420_is_taken_as_it_is(ring: Ring) -> None:
    writer, reader = ring
    nbytes = frame_nbytes(PixelFormat.I420, WIDTH, HEIGHT)
    data = np.random.default_rng(2).integers(16, 236, nbytes, dtype=np.uint8)
    publish(writer, PixelFormat.I420, data)
    slot = reader.take()
    assert slot is not None
    frame = SlotConverter().convert(slot)
    assert frame is not None
    expected = planes(data)
    for plane, reference in zip(planes(frame.to_ndarray()), expected, strict=True):
        assert (plane == reference).all()


def test_frame_is_memory_of_its_own(ring: Ring) -> None:
    writer, reader = ring
    for pixel_format in PixelFormat:
        black = np.zeros(frame_nbytes(pixel_format, WIDTH, HEIGHT), np.uint8)
        publish(writer, pixel_format, black)
        slot = reader.take()
        assert slot is not None
        frame = SlotConverter().convert(slot)
        assert frame is not None
        before = frame.to_ndarray().copy()
        slot.data[:] = bytes([255]) * len(slot.data)
        assert (frame.to_ndarray() == before).all()


def test_slot_that_was_overwritten_meanwhile_gives_no_frame(ring: Ring) -> None:
    writer, reader = ring
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    publish(writer, PixelFormat.RGB24, rgb)
    slot = reader.take()
    assert slot is not None
    for _ in range(3):  # a writer that has missed the mark comes back to this slot
        writer._words[3] = -1
        publish(writer, PixelFormat.RGB24, rgb)
    assert SlotConverter().convert(slot) is None
