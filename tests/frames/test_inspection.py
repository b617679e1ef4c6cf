"""The values of a frame where a person looks."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gpuview.errors import FrameError
from gpuview.frames.inspection import Inspection
from gpuview.frames.picture.geometry import BACKGROUND
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.panel import Panel
from gpuview.frames.picture.picture_map import Box, Rectangle
from gpuview.frames.pushed_frame import PushedFrame
from gpuview.frames.snapshot import snapshot
from gpuview.frames.statistics import N_BINS
from tests.frames.dtypes import FLOATS, INTEGERS

WHOLE = Rectangle(0, 0, 1, 1)


def inspected(frame: object, select=None, **options: object) -> Inspection:
    return Inspection(PushedFrame(frame, select, 1, 0), Look(**options), {})  # type: ignore[arg-type]


def place_of(inspection: Inspection, panel: int, tile: int, row: int, column: int):
    part = inspection.map.place(Box(panel, tile, range(row, row + 1), range(column, column + 1)))
    return part.x + part.width / 2, part.y + part.height / 2


@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS, *FLOATS])
def test_a_value_is_read_as_python_reads_it(dtype):
    tensor = (torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1)) * 99).to(dtype)
    shown = inspected(tensor, value_range=(0, 99))
    found = shown.element(*place_of(shown, 0, 0, 7, 11))

    assert found is not None
    assert (found.index, found.row, found.column) == ("[:, 7, 11]", 7, 11)
    assert found.dtype == str(dtype).removeprefix("torch.")
    exact = tensor[:, 7, 11].tolist()
    if dtype.is_floating_point:
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        read = torch.tensor([float(value) for value in found.values], dtype=wide).tolist()
        assert read == exact
    else:
        assert found.values == tuple(map(str, exact))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**53 + 1])
def test_a_large_integer_keeps_all_digits(value):
    found = inspected(torch.tensor([[value, 0]]), value_range=(0, 1)).element(0.2, 0.5)

    assert found is not None
    assert found.values == (str(value),)


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-0.0, "-0.0")])
def test_what_is_no_number_is_named(value, text):
    found = inspected(torch.full((4, 4), value)).element(0.5, 0.5)

    assert found is not None
    assert found.values == (text,)


def test_all_channels_are_read_with_alpha_and_flow():
    shown = inspected(torch.arange(4 * 9 * 9, dtype=torch.uint8).view(9, 9, 4))
    alpha = shown.element(*place_of(shown, 0, 0, 1, 2))
    flow = inspected(torch.stack((torch.zeros(9, 9), torch.full((9, 9), 3.0))))

    assert alpha is not None
    assert alpha.values == ("44", "45", "46", "47")
    vector = flow.element(0.5, 0.5)
    assert vector is not None
    assert vector.values == ("0.0", "3.0")
    assert (vector.low, vector.high) == ("-3", "3")


def test_panels_have_names_ranges_and_selections_of_their_own():
    frame = {
        "one": Panel(torch.rand(5, 8, 8), value_range=(-1, 2), select=3, layout="HW"),
        "<b>two": torch.arange(4 * 64.0).view(4, 8, 8),
        "classes": torch.arange(64).view(8, 8),
    }
    shown = inspected(frame)
    one = shown.element(*place_of(shown, 0, 0, 4, 5))
    two = shown.element(*place_of(shown, 1, 1, 4, 5))
    classes = shown.element(*place_of(shown, 2, 0, 4, 5))

    assert one is not None
    assert two is not None
    assert classes is not None
    assert (one.panel, one.index, one.low, one.high) == ("one", "[4, 5]", "-1", "2")
    assert one.values == (str(frame["one"].source[3, 4, 5].numpy()),)
    assert (two.panel, two.index, two.values) == ("<b>two", "[1, 4, 5]", ("101.0",))
    assert (two.low, two.high) == ("64", "127")
    assert (classes.values, classes.low, classes.high) == (("37",), "", "")


def test_the_value_is_that_of_what_select_picks():
    tensor = torch.rand(6, 4, 10, 10)
    shown = inspected(tensor, select=lambda each: each[2])
    found = shown.element(*place_of(shown, 0, 3, 1, 2))

    assert found is not None
    assert (found.index, found.values) == ("[3, 1, 2]", (str(tensor[2, 3, 1, 2].numpy()),))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 1.0, 1e300])
def test_nothing_is_found_outside(bad):
    shown = inspected(torch.rand(8, 8))

    assert shown.element(bad, 0.5) is None
    # A box that begins outside is of the tile that it leads into.
    assert (shown.statistics(bad, 0.5, 0.6, 0.6) is None) == (bad not in (-1.0, 1.0))
    assert shown.png(Rectangle(bad, 0, 0.1, 0.1), 10, 10) == b"" or bad in (-1.0, 1.0)
    assert shown.png(Rectangle(0, 0, bad, 0.1), 10, 10) == b"" or bad == 1.0


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(FrameError, match="complex"):
        inspected(torch.zeros(4, 4, dtype=torch.complex64))


# --- boxes


def reference(values: Tensor) -> dict[str, float]:
    finite = values.double()[values.double().isfinite()]
    return {
        "least": finite.min().item(),
        "greatest": finite.max().item(),
        "mean": finite.mean().item(),
        "std": finite.std(correction=0).item(),
    }


@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS, *FLOATS])
def test_a_box_has_the_statistics_of_its_values(dtype):
    tensor = (torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(2)) * 9).to(dtype)
    shown = inspected(tensor, value_range=(0, 9))
    begin, end = place_of(shown, 0, 0, 10, 50), place_of(shown, 0, 0, 39, 20)
    found = shown.statistics(*begin, *end)

    assert found is not None
    box = tensor[:, 10:40, 20:51]
    assert found.index == "[:, 10:40, 20:51]"
    assert (found.n, found.n_nan, found.n_inf) == (box.numel(), 0, 0)
    for name, exact in reference(box).items():
        assert float(getattr(found, name)) == pytest.approx(exact, rel=1e-5, abs=1e-9), name
    assert (len(found.counts), sum(found.counts)) == (N_BINS, box.numel())
    spread = reference(box)
    bins = np.histogram(box.double(), N_BINS, (spread["least"], spread["greatest"]))[0]
    assert np.abs(np.cumsum(bins) - np.cumsum(found.counts)).max() <= box.numel() * 0.3


def test_nan_and_inf_are_counted_apart():
    tensor = torch.ones(16, 16)
    tensor[0, :3], tensor[1, :5], tensor[2, 0] = math.nan, math.inf, -math.inf
    found = inspected(tensor).statistics(0, 0, 1, 1)

    assert found is not None
    assert (found.n, found.n_nan, found.n_inf) == (256, 3, 6)
    assert (found.least, found.greatest, found.mean, found.std) == ("1", "1", "1", "0")
    assert sum(found.counts) == 256 - 9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_without_a_finite_value_there_are_no_statistics(value):
    found = inspected(torch.full((8, 8), value)).statistics(0.2, 0.2, 0.7, 0.7)

    assert found is not None
    assert (found.least, found.mean, found.counts) == ("", "", ())


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_the_largest_numbers_do_not_overflow(scale):
    tensor = torch.linspace(-1, 1, 256, dtype=torch.float64).view(16, 16) * scale
    found = inspected(tensor).statistics(0, 0, 1, 1)

    assert found is not None
    assert float(found.std) == pytest.approx(scale * 0.5796, rel=1e-3)
    assert set(found.counts) == {8}


def test_a_box_of_many_blocks_is_one_box():
    tensor = torch.rand(1500, 1500, dtype=torch.float64)
    found = inspected(tensor, value_range=(0, 1)).statistics(0, 0, 2, 2)

    assert found is not None
    assert found.n == tensor.numel()
    assert float(found.mean) == pytest.approx(tensor.mean().item(), rel=1e-5)


# --- regions


def pixels(shown: Inspection, part: Rectangle, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(shown.png(part, height, width))))


@pytest.mark.parametrize(
    ("frame", "options"),
    [
        (torch.randint(0, 256, (40, 60, 3), dtype=torch.uint8), {}),
        (torch.randn(40, 60), {"colormap": "viridis", "value_range": "auto"}),
        (torch.randn(2, 40, 60), {"value_range": (-1, 1)}),
        (torch.randint(0, 9, (40, 60)), {}),
        (torch.full((40, 60), math.nan), {}),
        (torch.full((40, 60), 5.0), {"value_range": "auto"}),
    ],
)
def test_a_zoomed_element_has_its_colour_in_the_picture(frame, options):
    shown = inspected(frame, **options)
    exact = np.asarray(snapshot(frame, Look(**options), {}).convert("RGB"))
    part = shown.map.place(Box(0, 0, range(10, 20), range(30, 45)))

    assert np.array_equal(pixels(shown, part, 10, 15), exact[10:20, 30:45])
    enlarged = pixels(shown, part, 40, 60)
    assert np.array_equal(enlarged, exact[10:20, 30:45].repeat(4, 0).repeat(4, 1))


def test_a_region_shows_panels_labels_and_gaps():
    frame = {"a": torch.zeros(3, 64, 64), "b": torch.ones(3, 64, 64)}
    shown = inspected(frame)
    plan = shown.map.plan
    drawn = pixels(shown, WHOLE, plan.height, plan.width)
    exact = np.asarray(snapshot(frame, Look(), {}).convert("RGB"))

    assert {0, 255} <= set(np.unique(drawn))
    assert (drawn == BACKGROUND).all(2).any()
    label = plan.labels[0]
    text = drawn[label.y : label.y + label.height, label.x : label.x + label.width]
    assert text.max() > 200
    assert exact.ndim == drawn.ndim


def test_a_large_map_is_averaged_where_its_elements_have_no_room():
    tensor = torch.zeros(4096, 4096)
    tensor[:, ::2] = 1
    drawn = pixels(inspected(tensor, value_range=(0, 1)), WHOLE, 64, 64)

    assert np.abs(drawn.astype(int) - 128).max() <= 3


def test_no_answer_is_too_large():
    noise = torch.randint(0, 256, (2500, 2500, 3), dtype=torch.uint8)
    png = inspected(noise).png(WHOLE, 4096, 4096)

    assert 0 < len(png) <= 2_000_000


# --- what is kept


def test_kept_values_stay_when_the_tensor_is_overwritten():
    tensor = torch.zeros(2, 5, 20, 20)
    shown, kept = inspected(tensor), inspected(tensor)
    kept.keep()
    tensor.fill_(1)

    for each, value in ((shown, "1.0"), (kept, "0.0")):
        found = each.element(*place_of(each, 0, 1, 2, 3))
        assert found is not None
        assert found.values == (value,)
        assert pixels(each, Rectangle(0, 0, 0.1, 0.1), 5, 5)[0, 0].tolist() is not None
