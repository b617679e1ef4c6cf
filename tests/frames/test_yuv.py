"""RGB to I420 against BT.601 in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuview.frames.cpu.yuv import write_i420
from tests.frames.reference import assert_i420_within_one_level


def converted(rgb: torch.Tensor) -> list[torch.Tensor]:
    """Return the three planes of ``(3, H, W)``."""
    height, width = rgb.shape[1:]
    sides = [(height, width)] + [(height // 2, width // 2)] * 2
    planes = [torch.full(side, 99, dtype=torch.uint8, device=rgb.device) for side in sides]
    write_i420(rgb, *planes)
    return planes


def assert_within_one_level(rgb: torch.Tensor) -> None:
    exact = rgb.permute(1, 2, 0).double().numpy() * 255
    shown = [plane.numpy() for plane in converted(rgb)]
    assert_i420_within_one_level(tuple(shown), exact, exact)


@given(
    half_sides=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    n_levels=st.sampled_from((2, 3, 256, 2**24)),
    seed=st.integers(0, 2**32),
)
def test_noise_is_within_one_level_of_the_reference(half_sides, n_levels, seed):
    height, width = (2 * half for half in half_sides)
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(n_levels, (3, height, width), generator=generator)

    assert_within_one_level(levels / (n_levels - 1))


@pytest.mark.parametrize("layout", ["HWC", "cropped", "flipped axes", "grey"])
def test_strides_do_not_matter(layout):
    rgb = {
        "HWC": torch.rand(20, 30, 3).permute(2, 0, 1),
        "cropped": torch.rand(5, 40, 50)[1:4, 3:23, 5:35],
        "flipped axes": torch.rand(3, 30, 20).transpose(1, 2),
        "grey": torch.rand(1, 20, 30).expand(3, -1, -1),
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

    shown = converted(rgb)

    assert [set(plane.unique().tolist()) for plane in shown] == [{value} for value in expected]


def test_a_part_of_a_larger_picture_is_written_and_nothing_else():
    rgb = torch.rand(3, 6, 8)
    picture = [torch.zeros(side, dtype=torch.uint8) for side in ((20, 30), (10, 15), (10, 15))]
    parts = [picture[0][4:10, 2:10], picture[1][2:5, 1:5], picture[2][2:5, 1:5]]

    write_i420(rgb, *parts)

    for part, alone in zip(parts, converted(rgb), strict=True):
        assert torch.equal(part, alone)
        part.zero_()
    assert not any(plane.any() for plane in picture)


def test_autocast_does_not_change_colours():
    rgb = torch.rand(3, 16, 16)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = converted(rgb)

    for plane, usual in zip(inside, converted(rgb), strict=True):
        assert torch.equal(plane, usual)


@pytest.mark.cuda
def test_a_device_gives_what_the_cpu_gives():
    rgb = torch.rand(3, 34, 46)

    for on_device, plane in zip(converted(rgb.cuda()), converted(rgb), strict=True):
        assert (on_device.cpu().int() - plane.int()).abs().max() <= 1
