"""Knobs: what their values may be, and what a read costs."""

from __future__ import annotations

import timeit
from typing import Any

import pytest

from gpuview.errors import SettingsError
from gpuview.interaction.knobs import Button, Choice, Knob, Slider, Toggle


def slider(low: float = 0.0, high: float = 1.0, **options: Any) -> Slider:
    options = {"value": None, "step": None, "log": False} | options
    return Slider(options.pop("name", "lr"), low, high, **options)


KNOBS: list[tuple[Knob, list[Any], list[Any]]] = [
    (slider(1e-5, 1e-1, value=1e-3, log=True), [1e-5, 0.1, 0.05], [0, 0.2, -1, "1", True, None]),
    (slider(0, 10, value=3), [0, 10, 4.0], [11, -1, 3.5, "3", False]),
    (slider(value=[0.1, 0.2]), [[0, 1], (0.5, 0.5)], [0.5, [0.1], [0.1, 2], ["a", "b"], "ab"]),
    (Toggle("on", False), [True, False], [1, 0, "True", None]),
    (Choice("mode", ["a", "b"], None), ["b", "a"], ["c", 0, None, ["a"]]),
    (Button("go"), [1, 7], [-1, True, 1.5, "x"]),
]
BAD_NUMBERS = [float("nan"), float("inf"), 10**400, 1e400, [float("nan")] * 2]


@pytest.mark.parametrize(("knob", "good", "bad"), KNOBS, ids=lambda each: type(each).__name__)
def test_value_in_range_is_taken_and_any_other_raises_and_changes_nothing(
    knob: Knob, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        knob.value = value
        assert knob.value == (tuple(value) if isinstance(value, list) else value)
    before = knob.value
    for value in [*bad, *BAD_NUMBERS]:
        with pytest.raises(SettingsError, match="cannot set the knob"):
            knob.value = value
        assert knob.value == before
        assert type(knob.value) is type(before)


def test_whole_numbers_stay_whole() -> None:
    knob = slider(0, 10, value=3)
    knob.take(7)
    assert (knob.value, type(knob.value)) == (7, int)
    assert type(slider(0, 10, value=3.0).value) is float


def test_what_a_page_has_rounded_is_within_the_range() -> None:
    knob = slider(0.0, 0.1)
    knob.take(0.1 + 1e-12)
    assert knob.value == 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda: slider(1.0, 0.0),
        lambda: slider(0.0, 1.0, log=True),
        lambda: slider(0.0, float("inf")),
        lambda: slider("a", "b"),  # type: ignore[arg-type]
        lambda: slider(step=0),
        lambda: slider(step=2),
        lambda: slider(value=[]),
        lambda: slider(value=[0.5] * 17),
        lambda: slider(value=2),
        lambda: slider(name=""),
        lambda: slider(name="a\nb"),
        lambda: slider(name=7),
        lambda: slider(name="x" * 101),
        lambda: Toggle("on", "yes"),  # type: ignore[arg-type]
        lambda: Choice("mode", [], None),
        lambda: Choice("mode", "ab", None),
        lambda: Choice("mode", ["a", "a"], None),
        lambda: Choice("mode", ["a", 1], None),  # type: ignore[list-item]
        lambda: Choice("mode", ["a"], "b"),
    ],
)
def test_knob_that_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(SettingsError):
        make()


def test_only_the_value_can_be_set() -> None:
    knob = slider()
    with pytest.raises(AttributeError, match="cannot set high"):
        knob.high = 7  # type: ignore[misc]


def test_each_press_of_a_page_counts_whatever_it_says() -> None:
    button = Button("go")
    for value in (1, 1, "x"):
        button.take(value)
    assert button.value == 3


def test_values_are_told_as_text() -> None:
    texts = [each.text for each in (slider(1e-5, 0.1, value=1e-3, log=True), Toggle("on", True))]
    assert texts == ["lr = 0.001", "on = on"]
    assert slider(value=[0.1, 0.25]).text == "lr = (0.1, 0.25)"
    assert (Choice("mode", ["a", "b"], "b").text, Button("go").text) == ("mode = b", "")


def test_value_is_read_as_fast_as_any_attribute() -> None:
    class Plain:
        value = 0.0

    plain = Plain()
    plain.value = 1.0
    names = {"knob": slider(), "plain": plain}

    def best_s(expression: str) -> float:
        return min(timeit.repeat(expression, globals=names, number=20_000, repeat=15))

    assert best_s("knob.value") < 3 * best_s("plain.value")
