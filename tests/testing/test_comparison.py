"""What came beside what was expected."""

from __future__ import annotations

import numpy as np
import pytest

from gpuview.testing.comparison import Comparison, Picture
from gpuview.testing.peer import Image, as_video, image_of, png_of


def grey(height: int, width: int, level: int = 100) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def still(image: Image) -> Picture:
    return Picture.of_still(png_of(image))


def frame(image: Image) -> Picture:
    return Picture(image, False, "a frame")


def test_the_largest_difference_is_found_and_said_where() -> None:
    got = grey(20, 30)
    got[3, 17, 1] = 40
    got[4, 17, 1] = 95
    found = Comparison(still(got), grey(20, 30))
    assert found.largest == 60
    assert found.is_within(60)
    assert not found.is_within(59.9)
    said = found.describe(4)
    assert "60 of 255 levels, in green at row 3, column 17 of 30 x 20 pixels" in said
    assert "40 instead of 100; 0.1% of" in said
    assert "more than 4" in said


def test_pictures_of_different_sizes_are_never_within() -> None:
    found = Comparison(still(grey(20, 30)), grey(20, 32))
    assert not found.is_within(255)
    assert found.describe(8) == "it has 30 x 20 pixels instead of 32 x 20"
    assert found.side_by_side().shape == (20, 30 + 8 + 32, 3)


def test_a_frame_has_colours_of_half_the_resolution_and_a_still_has_not() -> None:
    drawn = grey(16, 16, 0)
    drawn[::2, ::2] = (255, 0, 0)
    at_its_best = as_video(drawn, 16, 16)
    assert np.abs(at_its_best.astype(int) - drawn).max() > 50
    assert Comparison(frame(at_its_best), drawn).largest == 0
    assert Comparison(still(at_its_best), drawn).largest > 50


def test_a_frame_of_a_poor_link_may_be_half_or_a_quarter_as_large() -> None:
    drawn = np.random.default_rng(1).integers(0, 256, (128, 192, 3), np.uint8)
    for divisor in (2, 4):
        small = as_video(drawn, 192 // divisor, 128 // divisor)
        assert Comparison(frame(small), drawn).largest == 0
    assert not Comparison(frame(as_video(drawn, 64, 44)), drawn).is_within(255)


@pytest.mark.parametrize("level", [0, 255])
def test_differences_do_not_wrap(level: int) -> None:
    assert Comparison(still(grey(16, 16, level)), grey(16, 16, 255 - level)).largest == 255


def test_side_by_side_shows_what_came_on_the_left() -> None:
    shown = image_of(png_of(Comparison(still(grey(8, 8, 10)), grey(16, 16, 20)).side_by_side()))
    assert shown.shape == (16, 32, 3)
    assert (shown[:8, :8] == 10).all()
    assert (shown[:, 16:] == 20).all()
    assert (shown[8:, :8] == 128).all()
