"""From a ring slot to a frame, against the definition of BT.601 in float64."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from gpuview.media.encode.convert import SlotConverter
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import RingReader, RingWriter
from tests.frames.encoded import planes_of
from tests.frames.reference import reference_i420

Ring = tuple[RingWriter, RingReader]
WIDTH, HEIGHT = 64, 46


@pytest.fixture
def ring() -> Iterator[Ring]:
    with (
        RingWriter.create(frame_nbytes(PixelFormat.I420_RGB24P, WIDTH, HEIGHT)) as writer,
        RingReader.attach(os.dup(writer.fd)) as reader,
    ):
        yield writer, reader


def publish(writer: RingWriter, pixel_format: PixelFormat, pixels: np.ndarray) -> None:
    writer.begin(pixels.size)[:] = pixels.reshape(-1)
    writer.publish(pixel_format, WIDTH, HEIGHT)


@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB24, PixelFormat.RGB24P])
def test_rgb_becomes_bt601_within_one_level(ring: Ring, pixel_format: PixelFormat) -> None:
    writer, reader = ring
    rgb = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels = rgb if pixel_format is PixelFormat.RGB24 else rgb.transpose(2, 0, 1)
    publish(writer, pixel_format, pixels)
    slot = reader.take()
    assert slot is not None
    frame = SlotConverter().convert(slot)
    assert frame is not None
    shown = planes_of(frame.to_ndarray(), HEIGHT, WIDTH)
    for plane, exact in zip(shown, reference_i420(rgb.astype(np.float64)), strict=True):
        assert np.abs(plane - exact).max() <= 1


def test_grey_becomes_bt601_within_half_a_level(ring: Ring) -> None:
    writer, reader = ring
    grey = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    publish(writer, PixelFormat.GREY8, grey)
    slot = reader.take()
    assert slot is not None
    frame = SlotConverter().convert(slot)
    assert frame is not None
    rgb = np.repeat(grey[..., None], 3, axis=-1).astype(np.float64)
    shown = planes_of(frame.to_ndarray(), HEIGHT, WIDTH)
    for plane, exact in zip(shown, reference_i420(rgb), strict=True):
        assert np.abs(plane - exact).max() <= 0.5 + 1e-6


def test_i420_is_taken_as_it_is(ring: Ring) -> None:
    writer, reader = ring
    nbytes = frame_nbytes(PixelFormat.I420, WIDTH, HEIGHT)
    data = np.random.default_rng(2).integers(16, 236, nbytes, dtype=np.uint8)
    publish(writer, PixelFormat.I420, data)
    slot = reader.take()
    assert slot is not None
    frame = SlotConverter().convert(slot)
    assert frame is not None
    assert (frame.to_ndarray().reshape(-1) == data).all()


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
    with RingReader.attach(os.dup(writer.fd)) as another:
        for _ in range(3):
            publish(writer, PixelFormat.RGB24, rgb)
            another.take()  # takes the mark away, as if the writer had missed it
    assert SlotConverter().convert(slot) is None
