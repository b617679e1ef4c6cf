"""What the cell says of the ranges that are found in the values, and of the classes there."""

import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuview.frames.cpu.measure import launch_present_rows, present_rows, share_outside
from gpuview.frames.hint_reporter import Found, HintReporter
from gpuview.frames.picture.colormap import NO_CLASS_ROW, palette
from gpuview.frames.picture.frame import read_frame
from gpuview.frames.picture.geometry import Scaling
from gpuview.frames.picture.legend import Bar, Meaning, has_legend
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.panel import Panel
from gpuview.frames.writer import FrameWriter
from tests.frames.discard import DiscardingSink
from tests.frames.dtypes import FLOATS

WAIT_S = 30


class Legends:
    """A writer, its clock, and the legends that it has told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.told: list[tuple[Meaning, ...]] = []
        self.writer = FrameWriter(DiscardingSink(), on_legend=self.told.append)
        monkeypatch.setattr("time.monotonic_ns", lambda: int(self.now_s * 1e9))

    def after(self, frame: object, **look: object) -> list[str]:
        self.writer.write(frame, Look(**look))
        return [meaning.text for meaning in self.told[-1]] if self.told else []


@pytest.fixture
def legends(monkeypatch):
    return Legends(monkeypatch)


def spread(low: float, high: float, *shape: int) -> torch.Tensor:
    shape = shape or (20, 30)
    n = torch.Size(shape).numel()
    return torch.linspace(low, high, n, dtype=torch.float64).reshape(shape).float()


def flow(speed: float) -> torch.Tensor:
    return torch.stack((torch.zeros(20, 30), spread(-speed, speed / 2)))


def one_off(value: float) -> torch.Tensor:
    """Return values of 0 to 1, and one that is no finite one or an outlier."""
    pixels = spread(0, 1)
    pixels[3, 4] = value
    return pixels


@pytest.mark.parametrize(
    ("frame", "look", "text"),
    [
        (spread(0.5234, 79.84), {"value_range": "auto"}, "0.523 … 79.8 (gray)"),
        (spread(-1e-5, 12345), {"value_range": "auto"}, "-1e-05 … 12345 (gray)"),
        (spread(1000.2, 1001.7), {"value_range": "auto"}, "1000 … 1002 (gray)"),
        (spread(1000.2, 1000.4), {"value_range": "auto"}, "1000.2 … 1000.4 (gray)"),
        (spread(0, 9, 8, 20, 30), {"value_range": "frame"}, "0 … 9 (viridis)"),
        (
            spread(0, 9, 8, 20, 30),
            {},
            "each of 8 tiles by its own range, within 0 … 9 (viridis)",
        ),
        (spread(-2, 3), {"value_range": "symmetric"}, "-3 … 3 (coolwarm)"),
        (spread(-4, 3), {"value_range": "symmetric", "colormap": "turbo"}, "-4 … 4 (turbo)"),
        (torch.zeros(20, 30), {"value_range": "symmetric"}, "-1 … 1 (coolwarm)"),
        (spread(-0.0, 3), {"value_range": "auto"}, "0 … 3 (gray)"),
        (-torch.zeros(20, 30), {"value_range": "auto"}, "0 … 0 (gray)"),
        (one_off(1000), {"value_range": "robust"}, "0.01 … 0.992, without outliers (gray)"),
        (one_off(torch.nan), {"value_range": "auto"}, "0 … 1 (gray)"),
        (one_off(-torch.inf), {"value_range": "auto"}, "0 … 1 (gray)"),
        (flow(3), {}, "speeds up to 3"),
        (spread(1, 2, 3, 20, 30), {"value_range": "auto"}, "1 … 2"),
        (spread(0, 1) > 0.5, {"value_range": "auto"}, "0 … 1 (gray)"),
    ],
)
def test_a_range_that_is_found_in_the_values_can_be_read(legends, frame, look, text):
    assert legends.after(frame, **look) == [text]


@pytest.mark.parametrize(
    ("frame", "look"),
    [
        (spread(0, 1, 3, 20, 30), {}),
        (spread(0, 9), {"value_range": (0, 9)}),
        (flow(3), {"value_range": (0, 9)}),
        (torch.full((8, 20, 30), torch.nan), {}),
        (torch.full((8, 20, 30), torch.nan), {"value_range": "robust"}),
        (torch.full((2, 20, 30), torch.inf), {}),
    ],
)
def test_there_is_no_legend_where_nothing_is_scaled_or_finite(legends, frame, look):
    assert legends.after(frame, **look) == []


def bars(legends: Legends, frame: object, **look: object) -> list[Bar | None]:
    legends.after(frame, **look)
    return [meaning.bar for meaning in legends.told[-1]] if legends.told else []


def ends(bar: Bar) -> tuple[str, str, str, str]:
    return bar.low, bar.middle, bar.high, bar.note


@pytest.mark.parametrize(
    ("frame", "look", "expected"),
    [
        (spread(0.5234, 79.84), {"value_range": (-1.5, 80)}, ("-1.5", "", "80", "")),
        (spread(0, 9), {}, ("0", "", "1", "")),
        (spread(0, 9, 1, 20, 30).to(torch.uint8), {}, ("0", "", "255", "")),
        (spread(0, 1) > 0.5, {}, ("0", "", "1", "")),
        (spread(0.5234, 79.84), {"value_range": "auto"}, ("0.523", "", "79.8", "")),
        (spread(0, 9, 8, 20, 30), {"value_range": "frame"}, ("0", "", "9", "")),
        (spread(-2, 3), {"value_range": "symmetric"}, ("-3", "0", "3", "")),
        (spread(-2, 3), {"value_range": (-1, 1)}, ("-1", "0", "1", "")),
        (torch.zeros(20, 30), {"value_range": "auto"}, ("0", "", "0", "")),
        (one_off(1000), {"value_range": "robust"}, ("0.01", "", "0.992", "without outliers")),
        (spread(0, 9, 8, 20, 30), {}, ("min", "", "max", "of each of 8 tiles, within 0 … 9")),
    ],
)
def test_a_bar_has_the_ends_of_its_range(legends, frame, look, expected):
    (bar,) = bars(legends, frame, **{"colormap": "turbo", **look})
    assert ends(bar) == expected


@pytest.mark.parametrize("name", ["viridis", "coolwarm", "hot"])
def test_the_colours_of_a_bar_are_the_maps_from_end_to_end_with_one_in_the_middle(legends, name):
    (bar,) = bars(legends, spread(0, 9), colormap=name)
    rows = [f"#{bytes(row).hex()}" for row in palette(name, torch.device("cpu"))[:256].tolist()]
    assert (bar.colours[0], bar.colours[8], bar.colours[-1]) == (rows[0], rows[127], rows[255])
    assert list(bar.colours) == sorted(bar.colours, key=rows.index)


@pytest.mark.parametrize(
    ("frame", "look"),
    [
        (spread(0, 9), {"value_range": "auto"}),
        (spread(0, 1, 3, 20, 30), {"colormap": "viridis", "value_range": "auto"}),
        (flow(3), {}),
        (torch.arange(600).reshape(20, 30).clamp(max=5), {}),
        (spread(0, 9), {"colormap": "tab10"}),
    ],
)
def test_greys_colours_flows_and_labels_have_no_bar(legends, frame, look):
    assert not any(bars(legends, frame, **look))


def test_bars_have_their_panels_names_and_the_words_say_the_same(legends):
    depth = Panel(spread(0, 9), value_range=(0, 80))
    error = Panel(spread(-1, 2), value_range="symmetric")
    found = bars(legends, {"image": spread(0, 1, 3, 20, 30), "depth": depth, "error": error})
    assert [(each.name, *ends(each)) for each in found] == [
        ("depth", "0", "", "80", ""),
        ("error", "-2", "0", "2", ""),
    ]
    assert [each.text for each in legends.told[-1]] == [
        "depth: 0 … 80 (viridis)",
        "error: -2 … 2 (coolwarm)",
    ]


def test_a_bar_of_a_fixed_range_comes_at_once_goes_at_once_and_is_told_once(legends):
    for _ in range(5):
        assert legends.after(spread(0, 9), colormap="viridis") == ["0 … 1 (viridis)"]
    assert legends.after(spread(0, 1, 3, 20, 30), colormap="viridis") == []
    assert legends.after(spread(0, 9), colormap="viridis") == ["0 … 1 (viridis)"]
    assert len(legends.told) == 3


def test_for_a_fixed_range_no_values_are_measured(legends, monkeypatch):
    monkeypatch.setattr("gpuview.frames.writer.measured", lambda *_: pytest.fail("measured"))
    for n in range(30):
        legends.now_s += 0.1
        assert legends.after(spread(0, n), value_range=(0, 9), colormap="viridis")


def test_a_range_stands_beside_the_name_of_its_panel(legends):
    frame = {"image": spread(0, 1, 3, 20, 30), "depth\n": spread(0, 80), "b" * 50: spread(0, 9)}
    assert legends.after(frame) == [
        "depth: 0 … 80 (viridis)",
        f"{'b' * 36} ...: 0 … 9 (viridis)",
    ]


@pytest.mark.parametrize(
    ("n_panels", "last"),
    [
        (6, "5: 0 … 9 (viridis)"),
        (7, "and 1 more panel"),
        (9, "and 3 more panels"),
    ],
)
def test_of_many_panels_six_ranges_are_told_and_the_others_counted(legends, n_panels, last):
    told = legends.after([spread(0, 9)] * n_panels)
    assert told[:2] == ["0: 0 … 9 (viridis)", "1: 0 … 9 (viridis)"]
    assert len(told) == min(n_panels, 7)
    assert told[-1] == last


def test_each_of_some_frames_that_are_pushed_at_once_has_its_own_range(legends):
    for n in range(1, 21):
        assert legends.after(spread(0, n), value_range="auto") == [f"0 … {n} (gray)"]


def test_the_legend_goes_with_the_first_frame_that_is_not_scaled(legends):
    legends.after(spread(0, 9), value_range="auto")
    assert legends.after(spread(0, 9)) == []
    assert legends.after(spread(0, 9), value_range="auto") == ["0 … 9 (gray)"]


def test_a_fast_source_is_measured_ten_times_a_second(legends):
    for n in range(1100):
        legends.now_s += 0.01
        legends.after(spread(0, n + 1), value_range="auto")
    assert 110 <= len(legends.told) <= 130
    assert legends.told[-1] != legends.told[-2]


def test_the_same_legend_is_told_once(legends):
    for _ in range(10):
        legends.after(spread(0, 9), value_range="auto")
    assert len(legends.told) == 1


def test_a_hint_of_one_panel_stands_beside_the_range_of_another(legends):
    hints: list[str] = []
    legends.writer = FrameWriter(DiscardingSink(), hints.append, legends.told.append)
    frame = {"image": spread(0, 255, 3, 20, 30), "depth": spread(0, 80)}
    assert legends.after(frame) == ["depth: 0 … 80 (viridis)"]
    assert hints == [
        "'image': values reach 255, 99 % of them outside 0 … 1: Panel(..., value_range=(0, 255))"
    ]


def test_pictures_are_not_measured_for_a_legend():
    _, tiles = read_frame(torch.rand(8, 3, 20, 30))
    assert not has_legend(tiles[0].kind, Look())


def test_while_a_device_is_busy_the_newest_frame_waits_to_be_reported():
    told: list[tuple[Meaning, ...]] = []
    reporter = HintReporter(lambda _: None, told.append)
    has_begun, is_ready = threading.Event(), threading.Event()

    def find_first() -> Found:
        has_begun.set()
        assert is_ready.wait(WAIT_S)
        return Found(legend=(Meaning("first"),))

    reporter.report_later(find_first, Look(), 10**12)
    assert has_begun.wait(WAIT_S)
    assert reporter.admit(Look(), 10**12 + 1, has_legend=True)
    for n in range(3):
        found = Found(legend=(Meaning(f"later {n}"),))
        reporter.report_later(lambda found=found: found, Look(), 10**12 + 1 + n)
    is_ready.set()
    for thread in threading.enumerate():
        if thread.name == "gpuview-hint":
            thread.join(WAIT_S)

    assert told == [(Meaning("first"),), (Meaning("later 2"),)]


def test_what_was_found_in_an_older_frame_is_not_told():
    told: list[tuple[Meaning, ...]] = []
    reporter = HintReporter(lambda _: None, told.append)
    reporter.report_found(Found(legend=(Meaning("new"),)), Look(), 10**12)
    reporter.report_found(Found(legend=(Meaning("old"),)), Look(), 10**12 - 1)
    assert told == [(Meaning("new"),)]


def classes(*indices: int, side: int = 20) -> torch.Tensor:
    return torch.tensor(indices).repeat_interleave(side).repeat(side, 1)


def meanings(legends: Legends, frame: object, **look: object) -> list[Meaning]:
    legends.after(frame, **look)
    return list(legends.told[-1]) if legends.told else []


def test_the_classes_that_are_there_are_told_with_their_colours(legends):
    rows = palette("tab10", torch.device("cpu"))
    ignored, other = (f"#{bytes(rows[row].tolist()).hex()}" for row in (255, NO_CLASS_ROW))
    assert meanings(legends, classes(0, 3, 255, -100, 12, -1), colormap="tab10") == [
        Meaning("classes"),
        Meaning("0", "#1f77b4"),
        Meaning("3", "#d62728"),
        Meaning("255 ignored", ignored),
        Meaning("-100 ignored", ignored),
        Meaning("no class", other),
    ]


def test_the_legend_stands_for_an_image_and_its_labels(legends):
    frame = {"image": spread(0, 1, 3, 20, 60), "mask": classes(2, 1, 0), "guess": classes(2, 5, 0)}
    assert legends.after(frame) == ["classes", "0", "1", "2", "5"]
    frame["depth"] = spread(0, 9)
    assert legends.after(frame) == ["depth: 0 … 9 (viridis)", "classes", "0", "1", "2", "5"]


@pytest.mark.parametrize(
    ("n", "last"), [(12, "11"), (13, "and 1 more class"), (200, "and 188 more classes")]
)
def test_of_many_classes_twelve_are_told_and_the_others_counted(legends, n, last):
    told = legends.after(classes(*range(n), side=2))
    assert told[: min(n, 12) + 1] == ["classes", *map(str, range(12))]
    assert told[-1] == last


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.float32])
def test_classes_of_any_dtype_are_found_and_no_number_is_no_class(legends, dtype):
    frame = classes(0, 1).to(dtype)
    if dtype.is_floating_point:
        frame[:2, 0] = torch.tensor([torch.nan, torch.inf])
    assert legends.after(frame, colormap="labels") == ["classes", "0", "1"]


@given(
    n_tiles=st.integers(1, 5),
    side=st.integers(1, 900),
    row=st.integers(0, 899),
    column=st.integers(0, 899),
)
def test_a_class_is_found_that_covers_a_square_of_a_few_pixels(n_tiles, side, row, column):
    indices = torch.zeros((n_tiles, 1, side, side), dtype=torch.uint8)
    step = max(1, math.ceil(math.sqrt(indices.numel() / 2**17)))
    top, left = min(row, side - step), min(column, side - step)
    indices[-1, 0, top : top + step, left : left + step] = 9

    rows = present_rows(indices)

    assert bool(rows[9])
    assert int(rows.sum()) == 1 + bool((indices == 0).any())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_speeds_of_a_flow_are_those_that_are_finite(legends, dtype):
    arrows = torch.zeros((2, 200, 300), dtype=dtype)
    arrows[:, 150, 7] = torch.tensor([3, -4])
    arrows[0, 3, :2] = torch.tensor([torch.nan, torch.inf])
    assert legends.after(arrows) == ["speeds up to 5"]


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, *FLOATS], ids=str)
def test_a_device_finds_the_same_classes(dtype):
    indices = torch.tensor([0, 3, 255, -100, 12, -1, 256]).repeat(8).reshape(1, 1, 8, 7).to(dtype)
    if dtype.is_floating_point:
        indices[0, 0, 0, :2] = torch.tensor([torch.nan, torch.inf])
    found = launch_present_rows(indices).numpy()
    assert found.sum() == 6
    assert np.array_equal(found, present_rows(indices))


@given(share=st.floats(0, 1), n_tiles=st.sampled_from([1, 3, 64, 5000]))
def test_the_share_outside_is_within_a_few_percent_of_the_true_one(share, n_tiles):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand((n_tiles, 1, 16, 16 * max(1, 64 // n_tiles)), generator=generator)

    outside = float(share_outside(values, Scaling(0, 1 - share) if share < 1 else Scaling(-1, 0)))

    assert outside == pytest.approx(share, abs=0.04)


def test_without_a_finite_value_none_is_outside():
    assert float(share_outside(torch.full((1, 1, 8, 8), torch.nan), Scaling())) == 0
