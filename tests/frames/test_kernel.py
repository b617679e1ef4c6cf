"""The Triton kernel against the float64 reference.

On a GPU where there is one. Else Triton's interpreter runs it on the CPU: the interpreter is chosen
when Triton is imported, for this module alone, as nothing else in these tests has a use for Triton.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuview.frames.cpu.ranges import tile_ranges
from gpuview.frames.cuda.canvas import Canvas
from gpuview.frames.cuda.device import Gpu
from gpuview.frames.cuda.slot_layout import planes, record_nbytes, rgb_planes
from gpuview.frames.picture.colormap import FLOW, palette
from gpuview.frames.picture.geometry import Label, PanelPlan, Plan, Scaling
from gpuview.frames.picture.tensor_layout import Tiles
from gpuview.protocol.ring import CAPTURE_WORD, HEADER_NBYTES, SEQ_WORD
from tests.frames.dtypes import FLOATS
from tests.frames.fake_gpu import FakeGpu
from tests.frames.reference import (
    assert_i420_within_one_level,
    assert_rgb_is_rounded,
    reference_bounds,
)

if importlib.util.find_spec("triton") is None:
    pytest.skip("here is no Triton", allow_module_level=True)

IS_INTERPRETED = not torch.cuda.is_available()
DEVICE = torch.device("cpu" if IS_INTERPRETED else "cuda:0")
if IS_INTERPRETED:
    assert "triton" not in sys.modules, "Triton was imported before its interpreter was chosen"
    os.environ["TRITON_INTERPRET"] = "1"
from gpuview.frames.cuda import launch  # noqa: E402
from gpuview.frames.cuda.launch import PanelKernel  # noqa: E402
from gpuview.frames.cuda.percentiles import find_percentiles  # noqa: E402

os.environ.pop("TRITON_INTERPRET", None)

# NumPy says so when the interpreter computes with the values that are looked for.
pytestmark = [pytest.mark.triton, pytest.mark.filterwarnings("ignore::RuntimeWarning")]

INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@pytest.fixture(autouse=True, scope="module")
def _interpreting() -> Iterator[None]:
    """Let the interpreter's own late imports know of it, and no other module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        if IS_INTERPRETED:
            patch.setenv("TRITON_INTERPRET", "1")
        yield


def whole(height: int, width: int, channels: int = 3, scaling: Scaling | None = None) -> PanelPlan:
    """Return a panel that shows one tile pixel for pixel, completed where a side is odd."""
    sides = height, width
    even = height + height % 2, width + width % 2
    return PanelPlan(
        0, 0, *even, 1, 1, *even, *sides, *sides, channels, scaling or Scaling(), "gray"
    )


def draw(pixels: torch.Tensor, panel: PanelPlan) -> tuple[torch.Tensor, list[int]]:
    """Draw a panel into a picture that has two more columns and rows; return both."""
    sides = panel.y + panel.height + 2, panel.x + panel.width + 2
    record = torch.full((record_nbytes(*sides),), 7, dtype=torch.uint8, device=DEVICE)
    nonfinite = torch.zeros(2, dtype=torch.int64, device=DEVICE)
    PanelKernel(panel, *sides, record, nonfinite).draw(pixels.to(DEVICE), 3, 1 << 40)
    return record.cpu(), nonfinite.tolist()


def check(pixels: torch.Tensor, panel: PanelPlan) -> None:
    """Draw ``(T, C, H, W)``, and compare planes and nonfinite with the reference."""
    record, nonfinite = draw(pixels, panel)
    shown = planes(record, panel.y + panel.height + 2, panel.x + panel.width + 2)
    inside = [
        plane[panel.y // n :, panel.x // n :][: panel.height // n, : panel.width // n].numpy()
        for plane, n in zip(shown, (1, 2, 2), strict=True)
    ]
    name = "gray" if panel.channels == 3 else panel.colormap
    values = pixels.double().cpu().numpy()
    colours = palette(name, torch.device("cpu")).numpy()
    least, greatest = reference_bounds(values, panel, colours)
    assert_i420_within_one_level(tuple(inside), least, greatest)
    rgb = rgb_planes(record, panel.y + panel.height + 2, panel.x + panel.width + 2)
    rgb = rgb[:, panel.y :, panel.x :][:, : panel.height, : panel.width]
    assert_rgb_is_rounded(rgb.movedim(0, -1).numpy(), least, greatest)
    assert nonfinite == [np.isnan(values).sum(), np.isinf(values).sum()]


def noise(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    info = torch.iinfo(dtype)
    low, high = max(info.min, -(2**40)), min(info.max, 2**40)
    return torch.randint(low, high + 1, shape, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_interleaved", [False, True], ids=["planar", "interleaved"])
def test_a_picture_is_shown_pixel_for_pixel(dtype, channels, is_interleaved):
    pixels = noise(1, channels, 18, 30, dtype=dtype)
    if is_interleaved:
        pixels = pixels.to(memory_format=torch.channels_last)
    scaling = Scaling(0, 255) if dtype == torch.uint8 else Scaling()

    check(pixels, whole(18, 30, channels, scaling))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS], ids=str)
@pytest.mark.parametrize("auto", [None, "tile", "frame"])
def test_any_dtype_is_shown_by_a_range(dtype, auto):
    pixels = noise(2, 1, 8, 9, dtype=dtype)
    scaling = Scaling(-3, 100, auto)

    check(pixels, PanelPlan(0, 0, 8, 20, 2, 2, 8, 10, 8, 9, 8, 9, 1, scaling, "viridis"))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16], ids=str)
@pytest.mark.parametrize("inner", [(9, 14), (4, 5), (13, 20)], ids=str)
def test_classes_have_their_own_colours_at_any_size(dtype, inner):
    pixels = torch.tensor([0, 1, 2, 9, 10, 254, 255] * 36).view(2, 1, 9, 14).to(dtype)
    if dtype != torch.uint8:
        pixels[0, 0, 4, :4] = torch.tensor([-1, -100, 256, 300])
    if dtype.is_floating_point:
        pixels[1, 0, 5, :4] = torch.tensor([torch.nan, torch.inf, 1.5, -0.4])
    cell = inner[0] + 2, inner[1] + 2
    sides = cell[0] + cell[0] % 2, 2 * cell[1]
    check(pixels, PanelPlan(0, 0, *sides, 2, 2, *cell, *inner, 9, 14, 1, Scaling(), "labels"))


@pytest.mark.parametrize("inner", [(4, 16), (2, 13)], ids=str)
def test_a_flow_has_the_colours_of_the_wheel(inner):
    pixels = ((noise(1, 2, 4, 16) - 0.5) * 40).to(memory_format=torch.channels_last)
    pixels[0, :, 0, 0] = 0
    pixels[0, 0, 2, 3], pixels[0, 1, 3, 9] = torch.nan, torch.inf
    sides = inner[0], inner[1] + inner[1] % 2
    scaling = Scaling(auto="symmetric") if inner == (4, 16) else Scaling(-10, 10)

    check(pixels, PanelPlan(0, 0, *sides, 1, 1, *sides, *inner, 4, 16, 2, scaling, FLOW))


def test_the_record_is_told_its_number_and_time_and_nothing_else_is_touched():
    record, _ = draw(noise(1, 3, 16, 16), whole(16, 16))

    words = record[:HEADER_NBYTES].view(torch.int64).tolist()
    assert (words[SEQ_WORD], words[CAPTURE_WORD]) == (3, 1 << 40)
    luma, cb, cr = planes(record, 18, 18)
    rgb = rgb_planes(record, 18, 18)
    i420 = (luma[16:], luma[:, 16:], cb[8:], cb[:, 8:], cr[8:], cr[:, 8:])
    for outside in (*i420, rgb[:, 16:], rgb[:, :, 16:]):
        assert set(outside.flatten().tolist()) == {7}


@pytest.mark.parametrize("sides", [(7, 9), (8, 9), (7, 10)])
def test_an_odd_picture_is_padded_and_no_nonfinite_value_is_counted_twice(sides):
    pixels = noise(1, 3, *sides)
    pixels[0, 0, -1, -1] = torch.nan
    pixels[0, 1, -1, 0] = torch.inf

    check(pixels, whole(*sides))


@pytest.mark.parametrize("colormap", ["gray", "magma"])
def test_nan_wins_over_infinity_and_infinity_over_values(colormap):
    pixels = noise(1, 1, 12, 12)
    pixels[0, 0, 3, :4] = torch.tensor([torch.nan, torch.inf, -torch.inf, torch.nan])
    panel = PanelPlan(0, 0, 8, 8, 1, 1, 8, 8, 8, 8, 12, 12, 1, Scaling(), colormap)

    check(pixels, panel)


def test_a_tile_without_a_finite_value_has_no_range():
    pixels = torch.full((3, 1, 4, 4), torch.nan)
    pixels[1] = torch.inf
    pixels[2] = 5.0

    check(pixels, PanelPlan(0, 0, 4, 14, 3, 3, 4, 5, 4, 4, 4, 4, 1, Scaling(auto="tile"), "turbo"))


def test_values_beyond_any_range_are_the_nearest_end_of_it():
    largest = torch.finfo(torch.float32).max
    pixels = torch.tensor([-largest, largest, 0.0, 1.0]).repeat(1, 3, 8, 4)

    check(pixels, whole(8, 16))
    check(pixels, PanelPlan(0, 0, 4, 8, 1, 1, 4, 8, 4, 8, 8, 16, 3, Scaling(), "gray"))


def test_a_large_tile_is_measured_by_many_programs():
    pixels = noise(2, 1, 4, 9000)
    pixels[1] *= 3
    pixels[0, 0, 3, 8999] = -2.0
    for auto in ("tile", "frame"):
        scaling = Scaling(auto=auto)
        check(
            pixels, PanelPlan(0, 0, 12, 450, 2, 1, 6, 450, 4, 450, 4, 9000, 1, scaling, "viridis")
        )


@pytest.mark.parametrize(
    ("dtype", "sides"), [(torch.float32, (80, 90)), (torch.float64, (7, 9))], ids=str
)
def test_a_robust_range_is_that_of_the_cpu(dtype, sides):
    pixels = (noise(3, 1, *sides) * 200 - 100).to(dtype)
    pixels[0, 0, 0, 0] = 60_000
    pixels[0, 0, -1, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    pixels[1] = 5
    pixels[2] = torch.nan
    found = torch.zeros((3, 2), dtype=torch.float64, device=DEVICE)
    find_percentiles[(3,)](
        pixels.to(DEVICE),
        found,
        *sides,
        sides[0] * sides[1],
        *pixels.stride(),
        needs_float64=dtype == torch.float64,
        size=4096,
    )

    low, high = tile_ranges(pixels, "robust").double().unbind(1)
    half_span = torch.where(high > low, (high - low) / 2, 1.0)
    torch.testing.assert_close(found.cpu(), torch.stack((low / 2, 1 / half_span), 1))
    assert found[0, 1] > 1 / 100


def test_a_symmetric_range_has_zero_in_the_middle():
    values = noise(2, 1, 4, 4) - 0.7
    for pixels in (values, torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), torch.nan)):
        check(pixels, four_by_four(Scaling(auto="symmetric"), "coolwarm"))


def test_a_robust_range_is_drawn():
    check(noise(2, 1, 4, 4) * 7, four_by_four(Scaling(auto="robust"), "viridis"))


def four_by_four(scaling: Scaling, colormap: str) -> PanelPlan:
    """Return a panel of two tiles, pixel for pixel."""
    return PanelPlan(0, 0, 4, 8, 2, 2, 4, 4, 4, 4, 4, 4, 1, scaling, colormap)


def test_a_launch_has_no_more_programs_than_a_gpu_allows(monkeypatch):
    grids = []

    class Launched:
        def __getitem__(self, grid):
            grids.append(grid)
            return lambda *args, **options: None

    for name in ("find_minmax", "merge_minmax", "draw_panel"):
        monkeypatch.setattr(launch, name, Launched())
    n = 70_000  # as the whole of MNIST
    pixels = torch.zeros(1, 1, 1, 1).expand(n, 1, 100, 200)
    sides = 3840, 1600
    panel = PanelPlan(0, 0, *sides, n, 400, 4, 4, 2, 2, 100, 200, 1, Scaling(auto="tile"), "gray")
    record = torch.empty(record_nbytes(*sides), dtype=torch.uint8, device=DEVICE)
    PanelKernel(panel, *sides, record, torch.zeros(2, dtype=torch.int64)).draw(pixels, 1, 1)

    assert len(grids) == 3
    assert all(y <= 65_535 for _, *rest in grids for y in rest)


@pytest.mark.parametrize("sides", [(18, 30), (200, 310)])
@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS], ids=str)
def test_a_panel_with_a_fixed_range_is_measured_as_well(dtype, sides):
    pixels = noise(1, 3, *sides, dtype=dtype)
    expected = [pixels.double().min().item(), pixels.double().max().item()]
    if dtype.is_floating_point:
        pixels[0, 1, 2, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    record = torch.zeros(record_nbytes(*sides), dtype=torch.uint8, device=DEVICE)
    nonfinite = torch.zeros(2, dtype=torch.int64, device=DEVICE)
    kernel = PanelKernel(whole(*sides), *sides, record, nonfinite)
    extremes = torch.zeros(2, dtype=torch.float64, device=DEVICE)

    kernel.draw(pixels.to(DEVICE), 1, 1)
    before = record.clone()
    for _ in range(2):
        kernel.measure(pixels.to(DEVICE), extremes)

    assert extremes.tolist() == expected
    kernel.draw(pixels.to(DEVICE), 1, 1)
    assert torch.equal(record, before)


@pytest.mark.parametrize("auto", ["tile", "frame", "symmetric"])
@pytest.mark.parametrize("sides", [(18, 30), (200, 310)])
def test_a_panel_that_finds_its_range_is_measured_as_well(auto, sides):
    pixels = noise(1, 1, *sides, dtype=torch.float32)
    expected = [pixels.min().item(), pixels.max().item()]
    record = torch.zeros(record_nbytes(*sides), dtype=torch.uint8, device=DEVICE)
    nonfinite = torch.zeros(2, dtype=torch.int64, device=DEVICE)
    kernel = PanelKernel(whole(*sides, 1, Scaling(auto=auto)), *sides, record, nonfinite)
    extremes = torch.zeros(2, dtype=torch.float64, device=DEVICE)

    kernel.draw(pixels.to(DEVICE), 1, 1)
    before = record.clone()
    kernel.measure(pixels.to(DEVICE), extremes)

    assert extremes.tolist() == expected
    kernel.draw(pixels.to(DEVICE), 1, 1)
    assert torch.equal(record, before)


def test_a_panel_without_a_finite_value_has_no_extremes():
    record = torch.zeros(record_nbytes(18, 18), dtype=torch.uint8, device=DEVICE)
    nonfinite = torch.zeros(2, dtype=torch.int64, device=DEVICE)
    extremes = torch.zeros(2, dtype=torch.float64, device=DEVICE)

    PanelKernel(whole(18, 18), 18, 18, record, nonfinite).measure(
        torch.full((1, 3, 18, 18), torch.nan, device=DEVICE), extremes
    )

    assert extremes.tolist() == [np.inf, -np.inf]


def test_tensors_of_other_strides_and_dtypes_are_drawn_by_the_same_kernel():
    sides = 18, 18
    record = torch.zeros(record_nbytes(*sides), dtype=torch.uint8, device=DEVICE)
    kernel = PanelKernel(
        whole(*sides), *sides, record, torch.zeros_like(record[:16]).view(torch.int64)
    )
    pixels = noise(1, 3, *sides)
    kernel.draw(pixels.to(DEVICE), 1, 1)
    first = record.clone()
    for other in (pixels.to(memory_format=torch.channels_last), pixels.double()):
        record[HEADER_NBYTES:] = 0
        kernel.draw(other.to(DEVICE), 1, 1)
        assert torch.equal(record, first)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda pixels: pixels.flip(2).contiguous().flip(2),
        lambda pixels: pixels.transpose(2, 3).contiguous().transpose(2, 3),
        lambda pixels: pixels.repeat(1, 1, 2, 2)[:, :, ::2, ::2],
        lambda pixels: pixels[:, :1].expand(-1, 3, -1, -1),
        lambda pixels: pixels[:, :, :1].expand(-1, -1, 10, -1),
    ],
    ids=["flipped", "columns first", "every other", "one channel thrice", "one row"],
)
def test_any_strides_are_read(arrange):
    pixels = arrange(noise(1, 3, 10, 14).to(DEVICE))  # a copy to a device has other strides

    check(pixels, whole(10, 14))


@settings(max_examples=8)
@given(data=st.data())
def test_grids_of_any_shape_are_drawn_as_defined(data):
    tile = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    inner = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    n_tiles, columns = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3))
    gap = data.draw(st.integers(0, 3))
    cell = inner[0] + gap, inner[1] + gap
    rows = -(-n_tiles // columns)
    sides = [-(-n // 2) * 2 for n in (rows * cell[0], columns * cell[1])]
    channels = data.draw(st.sampled_from([1, 3]))
    dtype = data.draw(st.sampled_from([torch.uint8, torch.float16, torch.float32, torch.float64]))
    pixels = noise(n_tiles, channels, *tile, dtype=dtype, seed=data.draw(st.integers(0, 99)))
    if dtype.is_floating_point:
        with_nonfinite = data.draw(st.lists(st.integers(0, pixels.numel() - 1), max_size=4))
        pixels.view(-1)[with_nonfinite] = data.draw(
            st.sampled_from([torch.nan, torch.inf, -torch.inf])
        )
    scaling = data.draw(st.sampled_from([Scaling(0, 255), Scaling(auto="tile"), Scaling(-1, 2)]))
    colormap = data.draw(st.sampled_from(["gray", "coolwarm"]))
    at = 2 * data.draw(st.integers(0, 3)), 2 * data.draw(st.integers(0, 3))

    check(
        pixels,
        PanelPlan(*at, *sides, n_tiles, columns, *cell, *inner, *tile, channels, scaling, colormap),
    )


@settings(max_examples=8)
@given(
    tile=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    inner=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    nonfinite=st.sampled_from([None, torch.nan, torch.inf]),
    seed=st.integers(0, 99),
)
def test_a_picture_is_shrunk_and_grown_by_area(tile, inner, nonfinite, seed):
    pixels = noise(1, 3, *tile, seed=seed)
    if nonfinite is not None:
        pixels.view(-1)[seed % pixels.numel()] = nonfinite
    even = [n + n % 2 for n in inner]

    check(pixels, PanelPlan(2, 0, *even, 1, 1, *even, *inner, *tile, 3, Scaling(), "gray"))


def test_a_canvas_is_the_same_whoever_draws_on_it():
    colours = PanelPlan(24, 0, 32, 40, 1, 1, 32, 40, 32, 40, 32, 40, 3, Scaling(), "gray")
    maps = PanelPlan(24, 48, 20, 32, 5, 3, 10, 10, 8, 8, 4, 4, 1, Scaling(auto="tile"), "viridis")
    labels = Label("colours", 0, 0, 24, 40), Label("maps", 0, 48, 24, 32)
    picture = Plan(56, 80, (colours, maps), labels)
    parts = [noise(1, 3, 32, 40), noise(5, 1, 4, 4)]
    parts[0][0, 0, 5, 5] = torch.nan
    drawn = []
    for has_triton in (True, False):
        gpu = FakeGpu() if IS_INTERPRETED else Gpu(DEVICE)
        gpu.has_triton = has_triton
        nonfinite = gpu.zeros(2)
        canvas = Canvas(gpu, picture, nonfinite)
        tiles = [Tiles(part.to(DEVICE)) for part in parts]
        gpu.current_stream().run(lambda canvas=canvas, tiles=tiles: canvas.draw(tiles, 9, 1 << 40))
        if IS_INTERPRETED:
            gpu.finish()
        assert nonfinite.tolist() == [1, 0]
        drawn.append(canvas.record.cpu())

    assert torch.equal(drawn[0][:HEADER_NBYTES], drawn[1][:HEADER_NBYTES])
    difference = drawn[0][HEADER_NBYTES:].int() - drawn[1][HEADER_NBYTES:].int()
    assert difference.abs().max() <= 1
