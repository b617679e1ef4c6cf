"""The newest frame as a picture of its own."""

import numpy as np
import pytest
import torch

from gpuview.errors import FrameError
from gpuview.frames.picture.colormap import INF_ROW, NAN_ROW, palette
from gpuview.frames.picture.geometry import BACKGROUND
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.tensor_layout import Values
from gpuview.frames.snapshot import extremes, snapshot


def shot(frame, **options):
    return snapshot(frame, Look(**options), {})


def pixels(frame, **options) -> np.ndarray:
    return np.asarray(shot(frame, **options))


@pytest.mark.parametrize("shape", [(5, 7, 3), (64, 48, 3), (300, 500, 3)])
def test_a_picture_of_bytes_comes_back_unchanged_and_not_enlarged(shape):
    frame = torch.randint(0, 256, shape, dtype=torch.uint8)
    image = shot(frame)

    assert (image.mode, image.size) == ("RGB", (shape[1], shape[0]))
    assert np.array_equal(np.asarray(image), frame.numpy())


def test_the_size_of_the_video_does_not_matter():
    frame = torch.randint(0, 256, (40, 60, 3), dtype=torch.uint8)

    assert np.array_equal(pixels(frame, size=(640, 360)), frame.numpy())


def test_a_grey_picture_has_one_channel():
    frame = torch.arange(256, dtype=torch.uint8).view(16, 16)
    image = shot(frame)

    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), frame.numpy())


def test_alpha_is_left_out():
    frame = torch.randint(0, 256, (4, 8, 6), dtype=torch.uint8)

    assert np.array_equal(pixels(frame), frame[:3].movedim(0, -1).numpy())


def test_floating_values_are_rounded_half_up_and_cut():
    frame = torch.tensor([[[-1.0, 0.0, 0.5, 1.0, 2.0]]]).expand(1, 2, -1)

    assert pixels(frame).tolist() == [[0, 0, 128, 255, 255]] * 2


def test_the_value_range_says_what_is_black_and_white():
    frame = torch.tensor([[[-1.0, 0.0, 1.0]]])

    assert pixels(frame, value_range=(-1, 1)).tolist() == [[0, 128, 255]]
    assert pixels(frame * 9, value_range="auto").tolist() == [[0, 128, 255]]


def test_values_have_the_colours_of_the_map():
    colours = palette("viridis", torch.device("cpu"))
    expected = [colours[0].tolist(), colours[255].tolist()]

    assert pixels(Values(torch.tensor([[3.0, 5.0]]))).tolist() == [expected]
    assert pixels(torch.tensor([[0.0, 1.0]]), colormap="viridis").tolist() == [expected]


def test_nan_and_inf_have_colours_of_their_own():
    frame = torch.tensor([[[0.0, torch.nan, torch.inf]]])
    colours = palette("gray", torch.device("cpu"))
    image = shot(frame)

    assert image.mode == "RGB"
    assert np.asarray(image).tolist() == [
        [[0, 0, 0], colours[NAN_ROW].tolist(), colours[INF_ROW].tolist()]
    ]


def test_a_batch_is_put_together_pixel_for_pixel():
    batch = torch.randint(0, 256, (2, 3, 30, 20), dtype=torch.uint8)
    sheet = pixels(batch)

    for item in batch:
        assert contains(sheet, item.movedim(0, -1).numpy())


def test_panels_are_put_together_with_their_labels_on_the_background():
    frame = {
        "left": torch.full((20, 200, 3), 10, dtype=torch.uint8),
        "right": torch.randint(0, 256, (40, 200, 3), dtype=torch.uint8),
    }
    sheet = pixels(frame)

    for panel in frame.values():
        assert contains(sheet, panel.numpy())
    assert contains(sheet, np.full((2, 2, 3), BACKGROUND, np.uint8))
    assert (sheet.min(2) > 200).any()  # the labels' text


def contains(sheet: np.ndarray, part: np.ndarray) -> bool:
    height, width, _ = part.shape
    starts = np.argwhere((sheet == part[0, 0]).all(2))
    return any(
        np.array_equal(sheet[y : y + height, x : x + width], part) for y, x in starts.tolist()
    )


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(FrameError, match=r"dtype = torch\.complex64"):
        shot(torch.zeros(4, 4, dtype=torch.complex64))


# --- extremes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (torch.tensor([[-3.0, 7.0]]), (-3, 7)),
        (torch.tensor([[torch.nan, 7.0, torch.inf, -torch.inf]]), (7, 7)),
        (torch.tensor([[torch.nan, torch.inf]]), None),
        (torch.tensor([[2, 200]], dtype=torch.uint8), (2, 200)),
        (torch.tensor([[False, True]]), (0, 1)),
        (torch.tensor([[-(2**40), 2**40]]), (-(2**40), 2**40)),
        ({"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[-1.0, torch.nan]])}, (-1, 2)),
        ([torch.full((2, 2), torch.nan), torch.ones(2, 2)], (1, 1)),
        (Values(torch.tensor([[5.0, 6.0]], dtype=torch.float16)), (5, 6)),
    ],
)
def test_extremes_are_the_least_and_the_greatest_finite_value(frame, expected):
    assert extremes(frame, Look(), {}) == expected
