"""The newest frame as a small file with a line of text."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from gpuview.frames.picture.look import Look
from gpuview.frames.saved_picture import SavedPicture, draw_saved_picture


def draw(frame: object, max_bytes: int = 200_000, line: str = "", **look) -> SavedPicture | None:
    return draw_saved_picture(frame, Look(**look), {}, line=line, max_bytes=max_bytes)


def opened(saved: SavedPicture | None) -> Image.Image:
    assert saved is not None
    image = Image.open(io.BytesIO(saved.data))
    assert image.get_format_mimetype() == saved.mime
    return image


def test_it_looks_as_the_video_does():
    frame = torch.randint(0, 256, (300, 400, 3), dtype=torch.uint8)
    picture = np.asarray(opened(draw(frame, 4_000_000)))

    assert np.array_equal(picture[:300], frame.numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_odd_sides_are_padded_as_in_the_video(channels):
    frame = torch.randint(0, 256, (301, 401, channels), dtype=torch.uint8)
    picture = np.asarray(opened(draw(frame, 4_000_000)))

    shown = np.broadcast_to(np.pad(frame, ((0, 1), (0, 1), (0, 0)), "edge"), (302, 402, 3))
    assert np.array_equal(picture[:302], shown)


def test_a_small_picture_is_enlarged_as_in_the_video():
    saved = draw(torch.ones(24, 24))

    assert (saved.width, opened(saved).width) == (240, 240)


@pytest.mark.parametrize(("shape", "size"), [((2160, 3840, 3), None), ((64, 64), (1280, 720))])
def test_a_large_picture_is_shrunk_and_shown_at_the_width_of_the_video(shape, size):
    saved = draw(torch.zeros(shape), size=size)

    assert saved.width == (size or (3840, 0))[0]
    assert opened(saved).size == (640, 360 + 20)


@pytest.mark.parametrize("max_bytes", [100_000, 10_000])
def test_it_is_shrunk_until_it_fits(max_bytes):
    noise = torch.rand(480, 640, 3, generator=torch.Generator().manual_seed(0))
    saved = draw(noise, max_bytes)

    assert max_bytes / 4 < len(saved.data) <= max_bytes
    assert saved.width == 640
    width, height = opened(saved).size
    assert (height - 20) / width == pytest.approx(480 / 640, rel=0.05)


def test_a_drawing_is_exact_and_what_is_large_as_a_png_is_a_jpeg():
    noise = torch.rand(360, 640, 3, generator=torch.Generator().manual_seed(0))
    drawing = torch.zeros(360, 640, 3)
    drawing[100:200, 300:500] = torch.tensor([1.0, 0.5, 0.0])

    assert draw(drawing).mime == "image/png"
    assert draw(noise).mime == "image/jpeg"
    shown = np.asarray(opened(draw(noise)))[:-20]  # without the line
    assert np.abs(shown.mean((0, 1)) - noise.mean((0, 1)).numpy() * 255).max() < 2


def test_it_is_left_out_where_nothing_could_be_seen():
    assert draw(torch.rand(480, 640, 3), 300) is None


def test_the_line_is_below_the_picture():
    without, with_line = (
        opened(draw(torch.ones(240, 320))),
        opened(draw(torch.ones(240, 320), line="now")),
    )

    rows = np.flatnonzero((np.asarray(without) != np.asarray(with_line)).any((1, 2)))
    assert 240 <= rows.min() <= rows.max() < 260
