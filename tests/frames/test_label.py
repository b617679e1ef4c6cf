"""The name of a panel, drawn as pixels."""

import subprocess
import sys

import pytest
import torch

from gpuview.frames.picture.geometry import BACKGROUND
from gpuview.frames.picture.label import label_image


def ink_columns(image: torch.Tensor) -> list[int]:
    """Return the columns in which something is drawn."""
    is_drawn = (image != torch.tensor(BACKGROUND, dtype=torch.uint8)).any(dim=2).any(dim=0)
    return is_drawn.nonzero().flatten().tolist()


def test_a_label_is_light_text_on_the_background() -> None:
    image = label_image("input", 24, 200)
    assert image.shape == (24, 200, 3)
    assert image.dtype == torch.uint8
    assert image.amax() > 200
    assert image.flatten(0, 1).mode(dim=0).values.tolist() == list(BACKGROUND)


def test_text_begins_at_the_left_and_stays_off_all_edges() -> None:
    image = label_image("gj|ÅQ_", 24, 200)
    columns = ink_columns(image)
    assert 3 <= columns[0] <= 12
    assert not ink_columns(image[:2])
    assert not ink_columns(image[-2:])


def test_a_longer_text_is_a_longer_line() -> None:
    two, three = (ink_columns(label_image(text, 24, 200)) for text in ("ab", "abc"))
    assert two[-1] < three[-1]


def test_a_text_that_is_too_long_ends_in_an_ellipsis_inside_the_label() -> None:
    text = "layer3.0.conv1"
    long = label_image(text, 24, 80)
    assert ink_columns(long)[-1] <= 80 - 6
    assert any(torch.equal(long, label_image(f"{text[:end]}…", 24, 80)) for end in range(6, 13))


def test_nothing_is_drawn_if_not_even_the_ellipsis_fits() -> None:
    assert not ink_columns(label_image("layer", 24, 14))


@pytest.mark.parametrize("text", ["", " ", "\n\t\x00"])
def test_an_empty_text_is_an_empty_label(text: str) -> None:
    assert not ink_columns(label_image(text, 24, 100))


@pytest.mark.parametrize(
    "text", ["größe", "名前", "مرحبا", "👩\u200d👧", "\ud800", "\u0301", "\U0010ffff"]
)
def test_any_text_can_be_drawn(text: str) -> None:
    assert ink_columns(label_image(text, 24, 100))


@pytest.mark.parametrize("letter", "äßéσμ∇→²")
def test_accents_greek_and_arrows_are_drawn_as_letters_not_as_boxes(letter: str) -> None:
    box = label_image("\U0010ffff", 24, 100)
    assert not torch.equal(label_image(letter, 24, 100), box)


def test_without_matplotlib_a_label_is_drawn_in_pillows_font() -> None:
    run_in_a_new_process(
        "import sys; sys.modules['matplotlib'] = None\n"
        "from gpuview.frames.picture.label import label_image\n"
        "assert label_image('input', 24, 100).amax() > 200"
    )


def test_the_font_of_matplotlib_is_used_without_importing_matplotlib() -> None:
    run_in_a_new_process(
        "import sys\n"
        "from gpuview.frames.picture.label import label_image\n"
        "label_image('input', 24, 100)\n"
        "assert 'matplotlib' not in sys.modules"
    )


def test_a_line_break_is_a_space() -> None:
    assert torch.equal(label_image("a\n b", 24, 100), label_image("a b", 24, 100))


@pytest.mark.parametrize("size", [(2, 2), (2, 100), (24, 2), (500, 1000)])
def test_a_label_of_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    assert label_image("conv", *size).shape == (*size, 3)


def test_a_very_long_text_costs_no_more_than_the_label_is_wide() -> None:
    assert torch.equal(label_image("x" * 1_000_000, 24, 100), label_image("x" * 100, 24, 100))


def test_a_label_is_drawn_only_once() -> None:
    assert label_image("input", 24, 200) is label_image("input", 24, 200)


def run_in_a_new_process(code: str) -> None:
    """Run Python in a process that has imported nothing yet."""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
