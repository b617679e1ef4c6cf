"""The torch twin against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpuview.frames.cpu.dtypes import is_exact_in_float32
from gpuview.frames.cpu.paint import blocks, render
from gpuview.frames.cpu.ranges import tile_ranges
from gpuview.frames.picture.colormap import FLOW, INF_ROW, NAN_ROW, palette
from gpuview.frames.picture.geometry import BACKGROUND, PanelPlan, Scaling
from tests.frames.dtypes import FLOATS, INTEGERS
from tests.frames.reference import assert_rgb_within_one_level

CPU = torch.device("cpu")
SCALINGS = (
    Scaling(),
    Scaling(0, 100),
    Scaling(-1.5, 2),
    Scaling(1000, 1000.5),
    Scaling(auto="tile"),
    Scaling(auto="frame"),
    Scaling(auto="symmetric"),
    Scaling(auto="robust"),
)


def panel_for(
    pixels: Tensor,
    shown: tuple[int, int] | None = None,
    *,
    columns: int = 1,
    gap: int = 0,
    scaling: Scaling = SCALINGS[0],
    colormap: str = "gray",
) -> PanelPlan:
    """Return a panel that shows ``(T, C, H, W)``, each tile with the sides ``shown``."""
    n_tiles, channels, tile_height, tile_width = pixels.shape
    height, width = shown or (tile_height, tile_width)
    rows = -(-n_tiles // columns)
    whole = rows * (height + gap) - gap, columns * (width + gap) - gap
    return PanelPlan(
        y=0,
        x=0,
        height=whole[0] + whole[0] % 2,
        width=whole[1] + whole[1] % 2,
        n_tiles=n_tiles,
        columns=columns,
        cell_height=height + gap,
        cell_width=width + gap,
        inner_height=height,
        inner_width=width,
        tile_height=tile_height,
        tile_width=tile_width,
        channels=channels,
        scaling=scaling,
        colormap=colormap,
    )


def painted(pixels: Tensor, panel: PanelPlan) -> np.ndarray:
    """Return ``(height, width, 3)`` in [0, 255]."""
    return (render(pixels, panel).rgb * 255).permute(1, 2, 0).numpy()


def assert_within_one_level(pixels: Tensor, panel: PanelPlan) -> None:
    colours = palette(panel.colormap, CPU).numpy()
    assert_rgb_within_one_level(painted(pixels, panel), pixels.double().numpy(), panel, colours)


def noise(seed: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    unit = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if dtype == torch.bool:
        return unit > 0.5
    return (unit * 3 - 1).to(dtype) if dtype.is_floating_point else (unit * 120).to(dtype)


ARRANGE = {
    "contiguous": lambda pixels: pixels,
    "channels last": lambda pixels: pixels.movedim(1, -1).contiguous().movedim(-1, 1),
    "columns first": lambda pixels: pixels.mT.contiguous().mT,
    "cropped": lambda pixels: torch.cat((pixels, pixels), 3)[..., : pixels.shape[3]],
    "every second": lambda pixels: pixels.repeat_interleave(2, 2)[:, :, ::2],
    "expanded": lambda pixels: pixels[:, :, :1].expand(pixels.shape),
}


@settings(max_examples=200)
@given(
    data=st.data(),
    shape=st.tuples(
        st.integers(1, 5), st.sampled_from((1, 3)), st.integers(1, 24), st.integers(1, 40)
    ),
    dtype=st.sampled_from((torch.bool, *INTEGERS, *FLOATS)),
    arrange=st.sampled_from(sorted(ARRANGE)),
    scaling=st.sampled_from(SCALINGS),
    colormap=st.sampled_from(("gray", "viridis", "turbo", "tab10")),
    seed=st.integers(0, 2**32),
)
def test_any_tensor_is_within_one_level_of_the_reference(
    data, shape, dtype, arrange, scaling, colormap, seed
):
    pixels = ARRANGE[arrange](noise(seed, dtype, shape))
    if dtype.is_floating_point and arrange != "expanded":
        for value in data.draw(st.lists(st.sampled_from((torch.nan, torch.inf, -torch.inf)))):
            at = data.draw(st.tuples(*(st.integers(0, side - 1) for side in shape)))
            pixels[at] = value
    sides = st.tuples(st.integers(1, 50), st.integers(1, 70))
    shown = data.draw(st.one_of(st.just(shape[2:]), sides))
    columns = data.draw(st.integers(1, shape[0]))
    gap = data.draw(st.sampled_from((0, 2)))
    colours = colormap if shape[1] == 1 else "gray"
    panel = panel_for(pixels, shown, columns=columns, gap=gap, scaling=scaling, colormap=colours)

    assert_within_one_level(pixels, panel)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((1, 3, 150, 210), (150, 210)),
        ((1, 3, 150, 210), (301, 333)),
        ((1, 3, 300, 420), (150, 210)),
        ((1, 3, 60, 4000), (13, 700)),
        ((1, 1, 9, 50_000), (4, 90)),
        ((40, 1, 40, 40), (37, 80)),
    ],
)
def test_what_is_painted_in_blocks_has_no_seams(shape, shown):
    pixels = noise(1, torch.float32, shape)
    panel = panel_for(pixels, shown, columns=min(8, shape[0]))

    parts = list(blocks(pixels, panel))

    assert len(parts) > 1
    assert all(part.rgb.numel() <= 32_767 for part in parts)  # torch's limit for one thread
    assert_within_one_level(pixels, panel)


def labels(seed: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Return indices of classes, ignored ones, and some that are none, as far as they fit."""
    choices = torch.tensor([0, 1, 2, 9, 10, 19, 100, 254, 255, 256, 300, 70_000, -1, -2, -100])
    if dtype.is_floating_point:
        choices = choices.clamp(max=1000)  # float16 has no larger integers
    else:
        limits = torch.iinfo(dtype)
        choices = choices[(choices >= limits.min) & (choices <= min(limits.max, 2**40))]
    picks = torch.randint(len(choices), shape, generator=torch.Generator().manual_seed(seed))
    return choices[picks].to(dtype)


@settings(max_examples=60)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 4), st.just(1), st.integers(1, 24), st.integers(1, 40)),
    shown=st.one_of(st.none(), st.tuples(st.integers(1, 50), st.integers(1, 70))),
    dtype=st.sampled_from((*INTEGERS, torch.float16, torch.float32, torch.float64)),
    arrange=st.sampled_from(sorted(ARRANGE)),
    colormap=st.sampled_from(("labels", "tab10")),
    seed=st.integers(0, 2**32),
)
def test_classes_have_their_own_colours_at_any_size(
    data, shape, shown, dtype, arrange, colormap, seed
):
    pixels = ARRANGE[arrange](labels(seed, dtype, shape))
    if dtype.is_floating_point and arrange != "expanded":
        at = data.draw(st.tuples(*(st.integers(0, side - 1) for side in shape)))
        pixels[at] = data.draw(st.sampled_from((torch.nan, torch.inf, 0.4, 1.5, -0.6)))
    panel = panel_for(pixels, shown, columns=2, gap=2, colormap=colormap)

    assert_within_one_level(pixels, panel)


def whirl(height: int, width: int, speed: float = 1.0) -> Tensor:
    """Return a flow in every direction, ``(1, 2, H, W)``."""
    down, right = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return torch.stack((right - 0.3 * down, down))[None] * speed


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32])
@pytest.mark.parametrize("shown", [(24, 40), (50, 90), (11, 17)])
@pytest.mark.parametrize("auto", [None, "symmetric"])
def test_a_flow_has_the_colours_of_the_wheel(dtype, shown, auto):
    pixels = torch.cat((whirl(24, 40, 30), whirl(24, 40, -7))).to(dtype)
    if dtype.is_floating_point:
        pixels[0, 0, 3, 4], pixels[1, 1, 20, 7] = torch.nan, torch.inf
    panel = panel_for(
        pixels, shown, columns=2, gap=2, scaling=Scaling(-20, 20, auto), colormap=FLOW
    )

    assert_within_one_level(pixels, panel)


def test_the_wheel_is_that_of_optical_flow():
    # Right is red, down is yellow, left is blue-green, up is violet, and nothing is white.
    flow = torch.tensor([[1.0, 0.0, -1.0, 0.0, 0.0], [0.0, 1.0, 0.0, -1.0, 0.0]]).view(1, 2, 1, 5)
    panel = panel_for(flow, scaling=Scaling(auto="symmetric"), colormap=FLOW)

    directions = [(255, 0, 0), (255, 233.75, 0), (0, 197.5, 255), (102.75, 0, 255), (255,) * 3]
    np.testing.assert_allclose(painted(flow, panel)[0, :5], directions, atol=0.01)


def test_nothing_that_flows_is_white_and_what_is_faster_than_the_range_is_darker():
    still = torch.zeros(1, 2, 4, 4)
    auto = panel_for(still, scaling=Scaling(auto="symmetric"), colormap=FLOW)
    fast = panel_for(still, scaling=Scaling(-1, 1), colormap=FLOW)

    assert (painted(still, auto) == 255).all()
    assert painted(still + 5, fast).max() == pytest.approx(0.75 * 255)


def test_no_colour_appears_between_two_classes_that_neither_has():
    pixels = torch.tensor([0, 2]).repeat(60).view(1, 1, 1, 120).expand(1, 1, 90, 120)
    colours = palette("labels", CPU)

    for shown in ((30, 40), (77, 101), (200, 333)):
        picture = painted(pixels, panel_for(pixels, shown, colormap="labels")).round()
        found = {tuple(map(int, colour)) for colour in np.unique(picture.reshape(-1, 3), axis=0)}
        assert found <= {tuple(colours[0].tolist()), tuple(colours[2].tolist())}


@pytest.mark.parametrize("shown", [(120, 200), (77, 130), (30, 40), (240, 400), (251, 333)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_each_nonfinite_value_is_counted_once(shown, dtype):
    pixels = noise(2, dtype, (2, 3, 120, 200))
    pixels[:, 1, ::7, ::3] = torch.nan
    pixels[1, :, 5:50, 60:80] = -torch.inf
    pixels[0, :, 119, 199] = torch.inf

    result = render(pixels, panel_for(pixels, shown, columns=2))

    assert result.n_nan == pixels.isnan().sum()
    assert result.n_inf == pixels.isinf().sum()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_nothing_is_counted_where_all_is_finite(dtype):
    pixels = noise(3, dtype, (1, 3, 10, 10))

    result = render(pixels, panel_for(pixels))

    assert (result.n_nan, result.n_inf) == (None, None)


@pytest.mark.parametrize("colormap", ["gray", "viridis"])
@pytest.mark.parametrize("channels", [1, 3])
def test_nan_wins_over_inf_and_inf_over_any_value(channels, colormap):
    pixels = torch.full((1, channels, 4, 6), 0.5)
    pixels[0, -1, 0, 0] = torch.inf
    pixels[0, 0, 0, 2] = torch.nan
    pixels[0, -1, 1, 3] = -torch.inf

    shown = painted(pixels, panel_for(pixels, (2, 3), colormap=colormap)).round()

    colours = palette("gray" if channels == 3 else colormap, CPU).numpy()
    assert shown[0, 0].tolist() == colours[INF_ROW].tolist()
    assert shown[0, 1].tolist() == colours[NAN_ROW].tolist()
    assert shown[0, 2].tolist() == shown[1, 0].tolist()


def test_a_neighbours_nan_does_not_leak():
    pixels = torch.zeros(1, 1, 3, 3)
    pixels[0, 0, 1, 1] = torch.nan

    shown = painted(pixels, panel_for(pixels, (9, 9))).any(-1)

    assert shown[3:6, 3:6].all()
    assert shown.sum() == 9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_largest_values_of_a_type_have_a_range(dtype):
    limits = torch.finfo(dtype)
    pixels = torch.tensor([limits.min, 0.0, limits.max], dtype=dtype).view(1, 1, 1, 3)

    shown = painted(pixels, panel_for(pixels, (2, 6), scaling=Scaling(auto="tile")))

    np.testing.assert_allclose(shown[0, ::2, 0], (0, 127.5, 255), atol=1)


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_far_outside_the_range_have_a_mean(dtype):
    limits = torch.finfo(dtype)
    pixels = torch.tensor([limits.max, limits.max, limits.min], dtype=dtype).view(1, 1, 1, 3)

    shown = painted(pixels, panel_for(pixels, (2, 2), scaling=Scaling(0, 1e-3)))

    assert shown[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("auto", ["tile", "frame"])
def test_equal_values_have_the_lowest_colour(auto):
    pixels = torch.full((2, 1, 4, 4), 7.5)

    shown = painted(pixels, panel_for(pixels, scaling=Scaling(auto=auto), colormap="viridis"))

    assert (shown.round() == palette("viridis", CPU)[0].numpy()).all()


def test_a_single_tile_is_padded_with_its_last_row_and_column():
    pixels = noise(4, torch.uint8, (1, 3, 5, 7))

    shown = painted(pixels, panel_for(pixels, scaling=Scaling(0, 255)))

    exact = np.pad(pixels[0].permute(1, 2, 0).numpy(), ((0, 1), (0, 1), (0, 0)), mode="edge")
    np.testing.assert_allclose(shown, exact, atol=1e-4)


def test_between_tiles_is_background():
    pixels = torch.ones(3, 1, 4, 4)

    shown = painted(pixels, panel_for(pixels, columns=2, gap=2))

    is_white = (shown == 255).all(-1)
    is_background = (shown.round() == BACKGROUND).all(-1)
    assert is_white.sum() == 3 * 16
    assert (is_white | is_background).all()
    assert is_background[6:, 4:].all()


def test_the_tensor_stays_as_it_is():
    pixels = noise(5, torch.float32, (2, 3, 20, 20))
    pixels[0, 0, 0, 0] = torch.nan
    before = pixels.clone()

    for scaling in SCALINGS:
        for shown in ((20, 20), (40, 40), (10, 10)):
            render(pixels, panel_for(pixels, shown, scaling=scaling))

    assert torch.equal(pixels.nan_to_num(), before.nan_to_num())


def test_the_callers_modes_do_not_change_colours():
    pixels = noise(6, torch.float32, (2, 3, 20, 20))
    panel = panel_for(pixels, (13, 31), scaling=Scaling(auto="tile"))
    usual = painted(pixels, panel)

    with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
        inside = painted(pixels, panel)
    with torch.inference_mode():
        in_inference = painted(pixels, panel)

    assert (inside == usual).all()
    assert (in_inference == usual).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float64])
@pytest.mark.parametrize("shown", [(9, 9), (18, 18), (4, 5)])
@pytest.mark.parametrize("colormap", ["gray", "turbo", "labels"])
def test_a_device_is_never_asked_for_a_value(dtype, shown, colormap):
    pixels = torch.empty(4, 1, 9, 9, dtype=dtype, device="meta")  # which has none, and would raise

    for scaling in SCALINGS:
        panel = panel_for(pixels, shown, columns=2, scaling=scaling, colormap=colormap)
        assert render(pixels, panel).rgb.shape == (3, panel.height, panel.width)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_range_is_that_of_the_finite_values(dtype):
    pixels = torch.tensor(
        [[3, torch.nan, -2, torch.inf], [torch.nan, torch.inf, -torch.inf, torch.nan], [5, 5, 5, 5]]
    )
    tiles = pixels.to(dtype).view(3, 1, 2, 2)

    assert tile_ranges(tiles, "tile").tolist() == [[-2, 3], [0, 1], [5, 5]]
    assert tile_ranges(tiles, "frame").tolist() == [[-2, 5]] * 3
    assert tile_ranges(tiles[1:2], "frame").tolist() == [[0, 1]]


def test_a_symmetric_range_has_zero_in_the_middle():
    tiles = torch.tensor([[1.0, -3.0], [0.5, torch.inf]]).view(2, 1, 1, 2)

    assert tile_ranges(tiles, "symmetric").tolist() == [[-3, 3]] * 2
    assert tile_ranges(torch.zeros(2, 1, 3, 3), "symmetric").tolist() == [[-1, 1]] * 2
    assert tile_ranges(torch.full((1, 1, 3, 3), torch.nan), "symmetric").tolist() == [[-1, 1]]


@pytest.mark.parametrize("n_tiles", [1, 64, 1000])
@pytest.mark.parametrize("sides", [(300, 512), (257, 333)])
def test_a_robust_range_leaves_out_one_percent_on_each_side_and_sees_no_stripes(n_tiles, sides):
    ramp = torch.linspace(0, 100, sides[0] * sides[1])
    for tile in (ramp.view(sides), ramp.view(sides[::-1]).T):  # a ramp along rows, or columns
        tile[7, 11], tile[100, 3], tile[20, 20] = 1e9, -1e9, torch.nan
        low, high = tile_ranges(tile.expand(n_tiles, 1, *sides), "robust")[-1].tolist()

        within = 0.5 if n_tiles <= 64 else 2  # percentage points
        assert low == pytest.approx(1, abs=within)
        assert high == pytest.approx(99, abs=within)


def test_a_robust_range_of_an_almost_constant_tile_is_the_whole():
    tile = torch.zeros(1, 1, 40, 40)
    tile[0, 0, 5, 5] = 3

    assert tile_ranges(tile, "robust").tolist() == [[0, 3]]
    assert tile_ranges(torch.full((1, 1, 4, 4), 2.5), "robust").tolist() == [[2.5, 2.5]]
    assert tile_ranges(torch.full((1, 1, 4, 4), torch.nan), "robust").tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float64])
def test_the_range_of_wide_values_is_exact(dtype):
    pixels = torch.tensor([2**31 - 2, 2**31 - 1]).to(dtype).view(1, 1, 1, 2)

    assert tile_ranges(pixels, "tile").tolist() == [[2**31 - 2, 2**31 - 1]]


def test_the_range_of_a_large_tile_is_found_in_any_of_its_rows():
    pixels = torch.zeros(2, 3, 120, 200)
    pixels[0, 1, 119, 199] = 7
    pixels[1, 2, 60, 3] = -7

    assert tile_ranges(pixels, "tile").tolist() == [[0, 7], [-7, 0]]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (Scaling(0, 1), True),
        (Scaling(-300, 65_535), True),
        (Scaling(1000, 1000.5), False),
        (Scaling(0, 1e-35), False),
        (Scaling(-1e38, 1e38), False),
    ],
)
def test_float32_is_trusted_with_a_range_that_is_neither_narrow_nor_huge(scaling, expected):
    assert is_exact_in_float32(scaling) is expected


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, *FLOATS])
@pytest.mark.parametrize("shown", [(34, 46), (70, 90), (20, 17)])
def test_a_cuda_device_gives_what_the_cpu_gives_and_is_not_waited_for(dtype, shown):
    pixels = noise(7, dtype, (3, 3, 34, 46))
    if dtype.is_floating_point:
        pixels[1, 0, 3, 4], pixels[2, 2, 20, 20] = torch.nan, torch.inf
    for scaling in (Scaling(-1, 120), Scaling(auto="tile"), Scaling(auto="frame")):
        panel = panel_for(pixels, shown, columns=2, gap=2, scaling=scaling)
        on_device = pixels.cuda()
        render(on_device, panel)
        torch.cuda.set_sync_debug_mode("error")
        try:
            result = render(on_device, panel)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        np.testing.assert_allclose(
            (result.rgb * 255).permute(1, 2, 0).cpu().numpy(), painted(pixels, panel), atol=0.01
        )
        if dtype.is_floating_point:
            assert (int(result.n_nan), int(result.n_inf)) == (1, 1)
