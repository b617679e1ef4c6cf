"""What the cell is told when a picture may not be what was meant."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuview import FrameError, Panel
from gpuview.frames.cpu.extremes import finite_extremes
from gpuview.frames.hint_reporter import Found, HintReporter
from gpuview.frames.picture.frame import read_frame
from gpuview.frames.picture.geometry import TileKind
from gpuview.frames.picture.hints import range_hint
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.measured import Measured
from gpuview.frames.picture.tensor_layout import Values
from gpuview.frames.writer import FrameWriter
from tests.frames.discard import DiscardingSink
from tests.frames.dtypes import FLOATS, INTEGERS

WAIT_S = 30


class Hints:
    """A writer, its clock, and the hints that it has given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.told: list[str] = []
        self.writer = FrameWriter(DiscardingSink(), self.told.append)
        monkeypatch.setattr("time.monotonic_ns", lambda: int(self.now_s * 1e9))

    def after(self, frame: object, **look: object) -> str:
        self.writer.write(frame, Look(**look))
        return self.told[-1] if self.told else ""


@pytest.fixture
def hints(monkeypatch):
    return Hints(monkeypatch)


def spread(low: float, high: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.linspace(low, high, 20 * 30, dtype=torch.float64).reshape(1, 20, 30).to(dtype)


@pytest.mark.parametrize(
    ("frame", "hint"),
    [
        (spread(0, 255), "values reach 255, 99 % of them outside 0 … 1: value_range=(0, 255)"),
        (spread(0, 254.7), "values reach 255, 99 % of them outside 0 … 1: value_range=(0, 255)"),
        (
            spread(0, 255).expand(3, 20, 30),
            "values reach 255, 99 % of them outside 0 … 1: value_range=(0, 255)",
        ),
        (
            spread(0, 255).half(),
            "values reach 255, 99 % of them outside 0 … 1: value_range=(0, 255)",
        ),
        (spread(0, 40), "values reach 40, 98 % of them outside 0 … 1: value_range=(0, 40)"),
        (
            spread(0, 1234),
            "values reach 1.23e+03, 99 % of them outside 0 … 1: value_range=(0, 1300)",
        ),
        (
            spread(-1, 1),
            "values reach from -1 to 1, 50 % of them outside 0 … 1: value_range=(-1, 1)",
        ),
        (
            spread(-2.117, 2.64),
            "values reach from -2.12 to 2.64, 79 % of them outside 0 … 1: value_range=(-2.2, 2.7)",
        ),
        (
            spread(-3, -1),
            "values reach from -3 to -1, 100 % of them outside 0 … 1: value_range=(-3, 0)",
        ),
        (spread(0, 0.004), "values reach only 0.004: value_range=(0, 0.004)"),
        (
            spread(-0.01, 0.02),
            "values reach only from -0.01 to 0.02, 33 % of them outside 0 … 1: "
            "value_range=(-0.01, 0.02)",
        ),
        (spread(0, 2, torch.uint8), "values reach only 2: value_range=(0, 2)"),
        (spread(0, 20, torch.uint8), "values reach only 20: value_range=(0, 20)"),
        (
            np.ma.masked_equal(spread(0, 3, torch.uint8).numpy(), 3),
            "values reach only 2: value_range=(0, 2)",
        ),
        (
            [spread(0, 255), spread(0, 255)],
            "'0': values reach 255, 99 % of them outside 0 … 1: value_range=(0, 255)",
        ),
        (
            {"image": spread(0, 200, torch.uint8), "mask": spread(0, 2, torch.uint8)},
            "'mask': values reach only 2: Panel(..., value_range=(0, 2))",
        ),
        (
            [spread(0, 255), spread(-1, 1), spread(0, 1)],
            "'0': values reach 255, 99 % of them outside 0 … 1: Panel(..., value_range=(0, 255)); "
            "'1': values reach from -1 to 1, 50 % of them outside 0 … 1: "
            "Panel(..., value_range=(-1, 1))",
        ),
        (
            {"a" * 50: spread(0, 9)},
            f"'{'a' * 36} ...': values reach 9, 89 % of them outside 0 … 1: value_range=(0, 9)",
        ),
        # What needs no hint:
        (spread(0, 1), ""),
        (spread(-0.2, 1.2), ""),
        (spread(0, 0.2), ""),
        (spread(0, 0), ""),
        (spread(0, 0, torch.uint8), ""),
        (spread(0, 100, torch.uint8), ""),
        (spread(0, 1).bool(), ""),
        (torch.full((20, 30), torch.nan), ""),
        (spread(0, 1e39, torch.float64), ""),
        (torch.randn(8, 20, 30) * 100, ""),
        (Values(spread(0, 255)), ""),
    ],
)
def test_a_range_that_hides_the_values_is_answered_with_the_argument(hints, frame, hint):
    assert hints.after(frame) == hint


def test_a_few_values_outside_are_less_than_a_percent(hints):
    pixels = spread(0, 1)
    pixels[0, 3, 4] = 40

    assert hints.after(pixels) == (
        "values reach 40, less than 1 % of them outside 0 … 1: value_range=(0, 40)"
    )


@pytest.mark.parametrize("value_range", [(0, 1), (0, 255), "auto", "frame"])
def test_a_range_that_was_asked_for_is_not_questioned(hints, value_range):
    assert hints.after(spread(0, 1000), value_range=value_range) == ""


@given(low=st.floats(-1e30, 1e30), high=st.floats(-1e30, 1e30), n_panels=st.integers(1, 3))
def test_following_a_hint_ends_it(low, high, n_panels):
    frame = {str(n): spread(min(low, high), max(low, high)) for n in range(n_panels)}
    told: list[str] = []
    writer = FrameWriter(DiscardingSink(), told.append)
    writer.write(frame, Look())
    if not told:
        return

    value_range = eval(told[-1].partition("value_range=")[2])
    writer.write(frame, Look(value_range=value_range))

    assert told[-1] == ""
    tolerance = 0.011 * (value_range[1] - value_range[0])
    assert value_range[0] - tolerance <= min(low, high)
    assert value_range[1] + tolerance >= max(low, high)


def test_a_hint_goes_with_the_first_frame_for_which_it_does_not_hold(hints):
    hints.after(spread(0, 255))
    hints.now_s += 0.01

    assert hints.after(spread(0, 1)) == ""


def test_a_hint_goes_when_the_look_is_changed_and_comes_back_with_it(hints):
    hints.after(spread(0, 255))
    assert hints.after(spread(0, 255), value_range=(0, 255)) == ""
    assert (
        hints.after(spread(0, 255))
        == "values reach 255, 99 % of them outside 0 … 1: value_range=(0, 255)"
    )


def test_frames_are_measured_once_a_second(hints):
    hints.after(spread(0, 1))
    hints.now_s += 0.9
    assert hints.after(spread(0, 255)) == ""
    hints.now_s += 0.1
    assert (
        hints.after(spread(0, 255))
        == "values reach 255, 99 % of them outside 0 … 1: value_range=(0, 255)"
    )


def test_the_words_change_at_most_once_a_second(hints):
    for greatest in range(10, 40):
        hints.after(spread(0, greatest))
        hints.now_s += 0.1

    assert hints.told == [
        f"values reach {greatest}, {percent} % of them outside 0 … 1: value_range=(0, {greatest})"
        for greatest, percent in ((10, 90), (20, 95), (30, 97))
    ]


def test_a_stack_that_is_read_as_before_says_so(hints):
    stack, last = torch.rand(16, 20, 30), torch.rand(3, 20, 30)
    hints.after(stack)

    hint = hints.after(last)

    assert hint == "read as NHW, like the frames before: layout='CHW' for the other reading"
    assert hints.after(stack) == ""
    hints.after({"heads": stack})
    assert hints.after({"heads": last}).startswith("'heads': read as NHW")
    assert hints.after({"heads": last}, layout="CHW") == ""


def test_two_channels_that_may_be_two_maps_say_so(hints):
    flow = torch.rand(2, 20, 30)

    assert hints.after(flow) == "read as a flow (x, y): layout='NHW' for two maps"
    assert hints.after(flow, layout="CHW") == ""
    assert hints.after(flow.movedim(0, -1)) == ""


def test_a_panel_whose_name_says_flow_needs_no_hint(hints):
    flow = torch.rand(2, 20, 30)

    assert hints.after({"a": flow}).startswith("'a': read as a flow")
    assert hints.after({"optical Flow": flow}) == ""


def test_a_reading_is_told_for_a_while_and_told_again_when_it_comes_back(hints):
    flow = torch.rand(2, 20, 30)
    for _ in range(19):
        assert hints.after(flow) != ""
        hints.now_s += 1
    hints.now_s += 1

    assert hints.after(flow) == ""
    hints.now_s += 1
    assert hints.after(flow) == ""
    hints.after(torch.rand(3, 20, 30))
    assert hints.after(flow) != ""


def test_both_hints_are_given_at_once(hints):
    hints.after(spread(0, 2, torch.uint8).expand(16, 20, 30))

    hint = hints.after(spread(0, 2, torch.uint8).expand(3, 20, 30))

    assert hint.startswith("read as NHW")
    assert hint.endswith("; values reach only 2: value_range=(0, 2)")


@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS, *FLOATS])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_the_extremes_are_those_of_all_finite_values(dtype, order):
    pixels = (torch.arange(2 * 3 * 400 * 70) % 100).reshape(2, 3, 400, 70).to(dtype).permute(order)
    expected = (float(pixels.double().min()), float(pixels.double().max()))
    if dtype.is_floating_point:
        pixels[0, 0, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
        pixels[1] = torch.nan

    assert finite_extremes(pixels) == expected


def test_there_are_no_extremes_without_a_finite_value():
    assert finite_extremes(torch.full((1, 3, 20, 30), torch.inf)) is None


class LaterHints:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.has_told = threading.Event()
        self.reporter = HintReporter(self.tell)

    def tell(self, hint: str) -> None:
        self.told.append(hint)
        self.has_told.set()


def end_of_hint_thread() -> None:
    for thread in threading.enumerate():
        if thread.name == "gpuview-hint":
            thread.join(WAIT_S)


def test_a_hint_that_waits_for_a_device_is_reported_later_and_no_frame_is_due_meanwhile():
    later, is_measured = LaterHints(), threading.Event()

    def find() -> Found:
        assert is_measured.wait(WAIT_S)
        return Found("too dark")

    later.reporter.report_later(find, Look(), 10**12)
    assert not later.reporter.admit(Look(), 10**13)
    is_measured.set()
    end_of_hint_thread()

    assert later.told == ["too dark"]
    assert later.reporter.admit(Look(), 10**12)


def test_a_device_that_fails_while_it_is_measured_ends_nothing():
    later = LaterHints()

    def find() -> Found:
        raise RuntimeError("CUDA error: unspecified launch failure")

    later.reporter.report_later(find, Look(), 10**12)
    end_of_hint_thread()

    assert later.told == []
    assert later.reporter.admit(Look(), 10**12)


def test_a_hint_for_one_of_many_panels_names_it():
    frame = {"a": spread(0, 1), "b": torch.randn(8, 20, 30), "c": spread(0, 7)}
    names, tiles = read_frame(frame)
    kinds = [each.kind for each in tiles]

    hint = range_hint(names, kinds, Look(), [Measured((0, 1)), Measured(), Measured((0, 7))])

    assert hint == "'c': values reach 7: Panel(..., value_range=(0, 7))"


def test_of_many_panels_three_are_named():
    names, kinds = [f"p{n}" for n in range(9)], [TileKind(1, 1, 20, 30, torch.float32)] * 9

    hint = range_hint(names, kinds, Look(), [Measured((0, 10 + n)) for n in range(9)])

    assert hint.startswith("'p0': values reach 10: Panel(..., value_range=(0, 10)); 'p1': ")
    assert hint.endswith(
        "; 'p2': values reach 12: Panel(..., value_range=(0, 12)); and 6 more panels"
    )


def classes(*indices: int) -> torch.Tensor:
    return torch.tensor(indices).repeat(200).reshape(-1, 20)


@pytest.mark.parametrize(
    ("frame", "colormap", "hint"),
    [
        (classes(0, 3, 254), "labels", ""),
        (classes(0, 3, 255, -100), "labels", ""),
        (classes(0, 9, 255), "tab10", ""),
        (classes(0, 9).float(), "tab10", ""),
        (classes(0, 1).bool(), "tab10", ""),
        (classes(0, -1, 2), "labels", "the class -1 has no colour: -100 or 255 to ignore it"),
        (
            classes(0, 12),
            "tab10",
            'classes reach 12, and there are colours for 0 to 9: colormap="labels"',
        ),
        (
            classes(0, 999),
            "labels",
            "classes reach 999, and there are colours for 0 to 254: labels % 255",
        ),
        (
            {"image": spread(0, 1), "labels": classes(0, 12)},
            "tab10",
            "'labels': classes reach 12, and there are colours for 0 to 9: "
            'Panel(..., colormap="labels")',
        ),
    ],
)
def test_a_class_without_a_colour_is_named(hints, frame, colormap, hint):
    assert hints.after(frame, colormap=colormap) == hint


DEPTH_MM = torch.arange(20 * 30).reshape(20, 30) * 5


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("name", [None, "depth"])
def test_the_first_integers_that_are_no_labels_are_refused_with_the_fix(hints, dtype, name):
    frame = DEPTH_MM.to(dtype)
    where = "" if name is None else ", in panel 'depth'"
    with pytest.raises(FrameError) as refused:
        hints.after(frame if name is None else {name: frame})

    assert str(refused.value) == (
        f"integers up to 2995 are no labels{where}\n"
        "  expected: 0 to 255, where 255 and -100 are ignored; or what other integers are\n"
        '  try:      value_range=(0, 3000); or colormap="labels" if they are classes'
    )


def test_following_either_half_of_that_fix_shows_the_integers(hints):
    hints.after(DEPTH_MM, value_range=(0, 3000))
    hints.after(DEPTH_MM, colormap="labels")
    hints.after({"depth": Panel(DEPTH_MM, value_range=(0, 3000))})


@pytest.mark.parametrize(
    ("indices", "is_refused"),
    [
        ((0, 255), False),
        ((0, 254, 255, -100, -1), False),
        ((0, 256), True),
        ((0, -2), True),
        ((-100, -50), True),
        ((300, 301), True),
    ],
)
def test_labels_are_few_numbers_from_0_and_those_that_are_ignored(hints, indices, is_refused):
    if is_refused:
        with pytest.raises(FrameError, match="are no labels"):
            hints.after(classes(*indices))
    else:
        hints.after(classes(*indices))


def test_a_frame_that_nobody_sees_is_refused_in_the_same_way():
    with pytest.raises(FrameError, match="are no labels"):
        FrameWriter(DiscardingSink()).check(DEPTH_MM, Look())


def test_values_do_not_end_a_loop_whose_first_labels_were_good(hints):
    hints.after(classes(0, 3))
    hints.now_s += 1

    assert hints.after(classes(0, 300)) == (
        "integers up to 300 are no labels: value_range=(0, 300)"
    )
    hints.now_s += 0.01
    assert hints.after(classes(0, 3)) == ""


def test_negative_integers_are_no_labels(hints):
    hints.after(classes(0, 3))
    hints.now_s += 1

    assert hints.after(classes(-9, 3)) == (
        "integers from -9 to 3 are no labels: value_range=(-9, 3)"
    )
    hints.now_s += 1
    assert hints.after(classes(-1, 3)) == "the class -1 has no colour: -100 or 255 to ignore it"


def test_of_labels_and_other_integers_the_panel_is_named(hints):
    frame = {"mask": classes(0, 3), "depth": classes(0, 3)}
    hints.after(frame)
    hints.now_s += 1

    assert hints.after(frame | {"depth": classes(-9, 3000)}) == (
        "'depth': integers from -9 to 3000 are no labels: Panel(..., value_range=(0, 3000))"
    )
