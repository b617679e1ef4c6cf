"""RGB to I420 against BT.601 in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import FrameError
from gpuview.frames.yuv import rgb_to_i420

DTYPES = [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64]


def i420_reference(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.601-7 section 2.5 on ``(3, H, W)`` in [0, 1], in float64; not rounded."""
    red, green, blue = rgb.astype(np.float64)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - luma) / 1.772, (red - luma) / 1.402
    height, width = luma.shape

    def mean_2x2(plane: np.ndarray) -> np.ndarray:
        return plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3))

    return 16 + 219 * luma, 128 + 224 * mean_2x2(cb), 128 + 224 * mean_2x2(cr)


def planes_of(i420: torch.Tensor, height: int, width: int) -> list[np.ndarray]:
    pixels = height * width
    parts = i420.tensor_split((pixels, pixels * 5 // 4))
    shapes = [(height, width)] + [(height // 2, width // 2)] * 2
    return [part.reshape(shape).numpy() for part, shape in zip(parts, shapes, strict=True)]


def assert_within_one_level(rgb: torch.Tensor) -> None:
    unit = rgb.double() / 255 if rgb.dtype == torch.uint8 else rgb.double()
    height, width = rgb.shape[1:]
    shown = planes_of(rgb_to_i420(rgb), height, width)
    for plane, exact in zip(shown, i420_reference(unit.numpy()), strict=True):
        assert np.abs(plane - exact).max() < 1


@given(
    half_sides=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32),
)
def test_noise_is_within_one_level_of_the_reference(half_sides, dtype, seed):
    height, width = (2 * half for half in half_sides)
    rgb = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))

    assert_within_one_level((rgb * 255).to(dtype) if dtype == torch.uint8 else rgb.to(dtype))


@pytest.mark.parametrize("layout", ["HWC", "cropped", "flipped axes"])
def test_strides_do_not_matter(layout):
    rgb = {
        "HWC": torch.rand(20, 30, 3).permute(2, 0, 1),
        "cropped": torch.rand(5, 40, 50)[1:4, 3:23, 5:35],
        "flipped axes": torch.rand(3, 30, 20).transpose(1, 2),
    }[layout]

    assert_within_one_level(rgb)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((1, 1, 1), (235, 128, 128)),
        ((1, 0, 0), (81, 90, 240)),
        ((0, 1, 0), (145, 54, 34)),
        ((0, 0, 1), (41, 240, 110)),
    ],
)
def test_flat_colours_have_the_standards_values(colour, expected):
    rgb = torch.tensor(colour, dtype=torch.float32).view(3, 1, 1).expand(3, 4, 6)

    shown = planes_of(rgb_to_i420(rgb), 4, 6)

    assert [set(np.unique(plane)) for plane in shown] == [{value} for value in expected]


def test_outside_values_are_clamped_channel_by_channel():
    outside = torch.tensor([7.0, -3.0, torch.inf]).view(3, 1, 1).expand(3, 4, 4)
    inside = torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1).expand(3, 4, 4)

    assert torch.equal(rgb_to_i420(outside), rgb_to_i420(inside))


def test_nan_is_black():
    assert torch.equal(
        rgb_to_i420(torch.full((3, 4, 4), torch.nan)), rgb_to_i420(torch.zeros(3, 4, 4))
    )


def test_autocast_does_not_change_colours():
    rgb = torch.rand(3, 16, 16)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = rgb_to_i420(rgb)

    assert torch.equal(inside, rgb_to_i420(rgb))


@pytest.mark.parametrize("shape", [(3, 15, 16), (3, 16, 15), (1, 16, 16), (16, 16)])
def test_what_cannot_be_subsampled_is_refused(shape):
    with pytest.raises(FrameError, match="cannot subsample a frame with shape = "):
        rgb_to_i420(torch.zeros(shape))


@pytest.mark.cuda
def test_a_device_gives_what_the_cpu_gives():
    rgb = torch.rand(3, 34, 46)

    on_device = rgb_to_i420(rgb.cuda()).cpu()

    assert (on_device.int() - rgb_to_i420(rgb).int()).abs().max() <= 1
