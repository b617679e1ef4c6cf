"""What is encoded of a tensor on the CPU, against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpuview.frames.cpu.writer import NonFinite, write_picture
from gpuview.frames.picture.geometry import Content, Plan
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.plan import plan
from gpuview.frames.picture.tensor_layout import Tiles
from gpuview.protocol.pixel_format import PixelFormat
from tests.frames.dtypes import FLOATS, INTEGERS
from tests.frames.encoded import EncoderSink
from tests.frames.reference import assert_i420_within_one_level, picture_bounds

DTYPES = (torch.bool, *INTEGERS, *FLOATS)
ARRANGE = {
    "planes": lambda pixels: pixels,
    "interleaved": lambda pixels: pixels.movedim(1, -1).contiguous().movedim(-1, 1),
    "RGBA": lambda pixels: (
        torch.cat((pixels, pixels[:, :1]), 1).movedim(1, -1).contiguous().movedim(-1, 1)
    )[:, : pixels.shape[1]],
    "cropped": lambda pixels: torch.cat((pixels, pixels), 3)[..., : pixels.shape[3]],
    "columns first": lambda pixels: pixels.mT.contiguous().mT,
    "expanded": lambda pixels: pixels[:, :1, :1].expand(pixels.shape),
}


def noise(seed: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Return values in [-0.25, 1.25], or in [0, 120] of an integer type."""
    unit = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if dtype == torch.bool:
        return unit > 0.5
    return (unit * 1.5 - 0.25).to(dtype) if dtype.is_floating_point else (unit * 120).to(dtype)


def planned(look: Look, *tensors: Tensor, content: Content = "picture") -> tuple[Plan, list[Tiles]]:
    tiles = [Tiles(pixels, content) for pixels in tensors]
    names = None if len(tensors) == 1 else [f"name {i}" for i in range(len(tensors))]
    return plan([each.kind for each in tiles], names, look), tiles


def assert_encoded_within_one_level(sink: EncoderSink, picture: Plan, *tensors: Tensor) -> None:
    bounds = picture_bounds(picture, [pixels.double().numpy() for pixels in tensors])
    assert_i420_within_one_level(sink.shown(), *bounds)


@settings(max_examples=150)
@given(
    data=st.data(),
    channels=st.sampled_from((1, 3)),
    sides=st.tuples(st.integers(239, 260), st.integers(16, 60)),
    dtype=st.sampled_from(DTYPES),
    arrange=st.sampled_from(sorted(ARRANGE)),
    seed=st.integers(0, 2**32),
)
def test_a_picture_is_encoded_within_one_level(data, channels, sides, dtype, arrange, seed):
    pixels = ARRANGE[arrange](noise(seed, dtype, (1, channels, *sides)))
    ranges = [(-0.5, 2.0), (0, 100), (20, 100), (99.5, 100), "auto"]
    has_own = dtype in (torch.bool, torch.uint8) or dtype.is_floating_point
    look = Look(value_range=data.draw(st.sampled_from([*ranges, *([None] * 5 * has_own)])))
    picture, tiles = planned(look, pixels)
    with EncoderSink() as sink:
        nonfinite = write_picture(sink, picture, tiles, 1).nonfinite

        assert nonfinite == NonFinite()
        assert_encoded_within_one_level(sink, picture, pixels)


@settings(max_examples=100)
@given(
    data=st.data(),
    shape=st.tuples(
        st.integers(1, 7), st.sampled_from((1, 3)), st.integers(1, 40), st.integers(1, 40)
    ),
    dtype=st.sampled_from(FLOATS),
    content=st.sampled_from(("picture", "map")),
    size=st.sampled_from((None, 64, (90, 60))),
    seed=st.integers(0, 2**32),
)
def test_tiles_are_encoded_within_one_level_and_nonfinite_values_counted(
    data, shape, dtype, content, size, seed
):
    pixels = noise(seed, dtype, shape)
    for value in data.draw(st.lists(st.sampled_from((torch.nan, torch.inf, -torch.inf)))):
        at = data.draw(st.tuples(*(st.integers(0, side - 1) for side in shape)))
        pixels[at] = value
    picture, tiles = planned(Look(size=size), pixels, content=content)
    with EncoderSink() as sink:
        nonfinite = write_picture(sink, picture, tiles, 1).nonfinite

        assert nonfinite == NonFinite(int(pixels.isnan().sum()), int(pixels.isinf().sum()))
        assert_encoded_within_one_level(sink, picture, pixels)


@pytest.mark.parametrize("size", [None, 300, (400, 200)])
def test_labelled_panels_are_encoded_within_one_level(size):
    tensors = (
        noise(1, torch.float32, (1, 3, 50, 70)),
        noise(2, torch.uint8, (1, 3, 31, 20)),
        noise(3, torch.float16, (6, 1, 9, 9)),
    )
    tensors[2][0, 0, 0, 0] = torch.nan
    picture, tiles = planned(Look(size=size), *tensors)

    with EncoderSink() as sink:
        nonfinite = write_picture(sink, picture, tiles, 1).nonfinite

        assert nonfinite == NonFinite(n_nan=1)
        assert_encoded_within_one_level(sink, picture, *tensors)


@pytest.mark.parametrize("size", [None, 300])
def test_labels_and_a_flow_are_encoded_beside_a_picture(size):
    flow = noise(2, torch.float32, (1, 2, 31, 40)) - 0.5
    flow[0, 1, 3, 4] = torch.inf
    labels = (noise(3, torch.float32, (1, 1, 31, 40)) * 8).long() - 1
    labels[0, 0, 5, :3] = torch.tensor([255, -100, 999])
    tiles = [
        Tiles(noise(1, torch.float32, (1, 3, 31, 40))),
        Tiles(labels, "labels"),
        Tiles(flow, "flow"),
    ]
    kinds = [each.kind for each in tiles]
    picture = plan(kinds, ["image", "labels", "flow"], Look(size=size, value_range=(0, 1)))

    with EncoderSink() as sink:
        nonfinite = write_picture(sink, picture, tiles, 1).nonfinite

        assert nonfinite == NonFinite(n_inf=1)
        assert_encoded_within_one_level(sink, picture, *(each.pixels for each in tiles))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("arrange", ["planes", "interleaved"])
def test_a_large_picture_is_encoded_within_one_level_in_all_of_its_rows(dtype, arrange):
    pixels = ARRANGE[arrange](noise(4, dtype, (1, 3, 481, 851)))
    picture, tiles = planned(Look(), pixels)

    with EncoderSink() as sink:
        write_picture(sink, picture, tiles, 1)

        assert_encoded_within_one_level(sink, picture, pixels)


@pytest.mark.parametrize("nonfinite", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("at", [(0, 0, 0), (2, 479, 639), (1, 200, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_single_nonfinite_value_is_found_anywhere(nonfinite, at, channels):
    pixels = noise(5, torch.float32, (1, 3, 480, 640))[:, -channels:]
    pixels[0, -1, *at[1:]] = nonfinite
    picture, tiles = planned(Look(), pixels)

    with EncoderSink() as sink:
        nonfinite = write_picture(sink, picture, tiles, 1).nonfinite

        assert nonfinite.n_nan + nonfinite.n_inf == 1
        assert_encoded_within_one_level(sink, picture, pixels)


@pytest.mark.parametrize(
    ("channels", "arrange", "pixel_format"),
    [
        (3, "planes", PixelFormat.RGB24P),
        (3, "cropped", PixelFormat.RGB24P),
        (3, "interleaved", PixelFormat.RGB24),
        (1, "planes", PixelFormat.GREY8),
    ],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_picture_is_written_in_the_order_of_its_memory(channels, arrange, pixel_format, dtype):
    pixels = ARRANGE[arrange](noise(6, dtype, (1, channels, 240, 32)))
    picture, tiles = planned(Look(), pixels)

    with EncoderSink() as sink:
        write_picture(sink, picture, tiles, 77)

        slot = sink.newest()
        assert (slot.pixel_format, slot.capture_ns) == (pixel_format, 77)


@pytest.mark.parametrize("arrange", sorted(ARRANGE))
@pytest.mark.parametrize("sides", [(240, 32), (241, 33)])
def test_bytes_of_colour_arrive_as_they_are(arrange, sides):
    pixels = ARRANGE[arrange](noise(7, torch.uint8, (1, 3, *sides)))
    picture, tiles = planned(Look(), pixels)

    with EncoderSink() as sink:
        write_picture(sink, picture, tiles, 1)

        slot = sink.newest()
        shape = slot.height, slot.width
        data = np.frombuffer(slot.data, np.uint8)
        if slot.pixel_format is PixelFormat.RGB24:
            shown = data.reshape(*shape, 3)
        else:
            shown = data.reshape(3, *shape).transpose(1, 2, 0)
        missing = [(0, whole - own) for whole, own in zip(shape, sides, strict=True)]
        exact = np.pad(pixels[0].permute(1, 2, 0).numpy(), (*missing, (0, 0)), mode="edge")
        np.testing.assert_array_equal(shown, exact)


def test_levels_are_rounded_half_up_and_clamped():
    values = torch.tensor([-1.0, 0.0, 0.5 / 255, 1.49 / 255, 1.5 / 255, 254.5 / 255, 1.0, 9.0])
    pixels = values.repeat(2).expand(1, 3, 240, 16)
    picture, tiles = planned(Look(), pixels)

    with EncoderSink() as sink:
        write_picture(sink, picture, tiles, 1)

        row = np.frombuffer(sink.newest().data, np.uint8)[:8].tolist()
        assert row == [0, 0, 1, 1, 2, 255, 255, 255]


def test_what_numpy_warns_of_is_no_users_business():
    pixels = torch.full((1, 3, 240, 32), 3e38)
    pixels[0, 0, 0, 0] = torch.nan
    picture, tiles = planned(Look(value_range=(0, 1e-6)), pixels)

    with EncoderSink() as sink, np.errstate(all="raise"):
        assert write_picture(sink, picture, tiles, 1).nonfinite == NonFinite(n_nan=1)
