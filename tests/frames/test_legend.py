"""What the cell says of the ranges that are found in the values."""

import threading

import pytest
import torch

from gpuview.frames.hint_reporter import Found, HintReporter
from gpuview.frames.picture.frame import read_frame
from gpuview.frames.picture.legend import Meaning, has_legend
from gpuview.frames.picture.look import Look
from gpuview.frames.writer import FrameWriter
from gpuview.protocol.ring import PixelFormat

WAIT_S = 30


class Sink:
    """Takes frames, and keeps none."""

    def begin(self, nbytes: int) -> memoryview:
        return memoryview(bytearray(nbytes))

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        pass


class Legends:
    """A writer, its clock, and the legends that it has told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.told: list[tuple[Meaning, ...]] = []
        self.writer = FrameWriter(Sink(), on_legend=self.told.append)
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
        (spread(-1e-5, 12345), {"value_range": "auto"}, "-1e-05 … 1.23e+04 (gray)"),
        (spread(0, 9, 8, 20, 30), {"value_range": "frame"}, "0 … 9 (viridis)"),
        (
            spread(0, 9, 8, 20, 30),
            {},
            "each of 8 its own range, within 0 … 9 (viridis)",
        ),
        (spread(-2, 3), {"value_range": "symmetric"}, "-3 … 3 (coolwarm)"),
        (spread(-4, 3), {"value_range": "symmetric", "colormap": "turbo"}, "-4 … 4 (turbo)"),
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
        (spread(0, 9, 8, 20, 30), {"value_range": (0, 9)}),
        (flow(3), {"value_range": (0, 9)}),
        (torch.full((8, 20, 30), torch.nan), {}),
        (torch.full((8, 20, 30), torch.nan), {"value_range": "robust"}),
        (torch.full((2, 20, 30), torch.inf), {}),
    ],
)
def test_there_is_no_legend_where_nothing_is_scaled_or_finite(legends, frame, look):
    assert legends.after(frame, **look) == []


def test_a_range_stands_beside_the_name_of_its_panel(legends):
    frame = {"image": spread(0, 1, 3, 20, 30), "depth\n": spread(0, 80), "b" * 50: spread(0, 9)}
    assert legends.after(frame) == [
        "depth: 0 … 80 (viridis)",
        f"{'b' * 36} ...: 0 … 9 (viridis)",
    ]


@pytest.mark.parametrize(
    ("n_panels", "last"),
    [
        (3, "2: 0 … 9 (viridis)"),
        (4, "and 1 more panel"),
        (6, "and 3 more panels"),
    ],
)
def test_of_many_panels_three_ranges_are_told_and_the_others_counted(legends, n_panels, last):
    told = legends.after([spread(0, 9)] * n_panels)
    assert told[:2] == ["0: 0 … 9 (viridis)", "1: 0 … 9 (viridis)"]
    assert len(told) == min(n_panels, 4)
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
    legends.writer = FrameWriter(Sink(), hints.append, legends.told.append)
    frame = {"image": spread(0, 255, 3, 20, 30), "depth": spread(0, 80)}
    assert legends.after(frame) == ["depth: 0 … 80 (viridis)"]
    assert hints == ["'image': values reach 255: Panel(..., value_range=(0, 255))"]


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
    assert reporter.is_due(Look(), 10**12 + 1, has_legend=True)
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
