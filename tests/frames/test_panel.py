"""A look of its own for each panel of a picture."""

import numpy as np
import pytest
import torch

from gpuview import FrameError, Panel
from gpuview.frames.picture.frame import read_frame
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.plan import plan
from gpuview.frames.snapshot import extremes, snapshot

GREY = torch.linspace(0, 100, 20 * 30).reshape(1, 20, 30)


def shot(frame: object, **look: object) -> np.ndarray:
    return np.asarray(snapshot(frame, Look(**look), {}).convert("RGB"))


def test_a_panel_alone_is_shown_as_a_stream_with_its_options():
    panel = Panel(GREY, value_range=(0, 50), colormap="magma")

    assert np.array_equal(shot(panel), shot(GREY, value_range=(0, 50), colormap="magma"))


def test_each_panel_is_shown_with_its_own_options_and_the_streams_for_the_rest():
    frame = {
        "plain": GREY,
        "ranged": Panel(GREY, value_range=(0, 50)),
        "coloured": Panel(GREY, colormap="viridis"),
    }

    names, tiles = read_frame(frame)
    look = Look(value_range=(0, 100), colormap="turbo")
    panels = plan([each.kind for each in tiles], names, look).panels

    assert [(each.scaling.high, each.colormap) for each in panels] == [
        (100, "turbo"),
        (50, "turbo"),
        (100, "viridis"),
    ]


def test_a_panel_has_a_layout_and_a_selection_of_its_own():
    batch = torch.rand(5, 3, 8, 9)
    frame = [batch, Panel(batch, select=2), Panel(batch[0], layout="NHW")]

    _, tiles = read_frame(frame)

    assert [tuple(each.pixels.shape) for each in tiles] == [
        (5, 3, 8, 9),
        (1, 3, 8, 9),
        (3, 1, 8, 9),
    ]
    assert torch.equal(tiles[1].pixels[0], batch[2])


def test_the_values_of_what_a_panel_selects_are_counted():
    frame = {"a": Panel(torch.arange(12.0).reshape(3, 2, 2), select=slice(0, 1))}

    assert extremes(frame, Look(), {}) == (0, 3)


def test_an_error_of_a_panels_selection_names_the_panel():
    with pytest.raises(FrameError, match=r"select raised IndexError.*in panel 'b'"):
        read_frame({"b": Panel(GREY, select=7)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colormap": "virids"}, "(?s)colormap = 'virids'.*viridis"),
        ({"value_range": (1, 0)}, r"swap them: value_range=\(0, 1\)"),
        ({"layout": "HCW"}, "layout = 'HCW'"),
        ({"select": 0.5}, "cannot select with an object of type float"),
        (
            {"cmap": "gray"},
            r"(?s)no option cmap='gray'.*Panel\(tensor, colormap=...\)",
        ),
        ({"size": 64}, r"(?s)no option size=64.*for all panels: GPUStream\(..., size=...\)"),
    ],
)
def test_an_option_that_is_wrong_is_refused_where_the_panel_is_made(options, message):
    with pytest.raises(FrameError, match=message):
        Panel(GREY, **options)


def test_a_panel_in_a_panel_is_refused():
    with pytest.raises(FrameError, match=r"a panel into a panel\n.*\n.*all options to one of them"):
        Panel(Panel(GREY))


@pytest.mark.parametrize("collection", [{"a": GREY}, [GREY], {}, []])
def test_a_panel_of_several_tensors_is_refused(collection):
    with pytest.raises(FrameError, match=r"(?s)as one panel.*\"a\": Panel\(a\)"):
        Panel(collection)


def test_a_panel_does_not_change():
    with pytest.raises(AttributeError, match=r"(?s)cannot set colormap.*Panel\(tensor, colormap="):
        Panel(GREY).colormap = "gray"


def test_panels_that_are_made_again_with_equal_options_are_alike():
    def made() -> Panel:
        return Panel(GREY, value_range=(0, 9), select=0)

    assert made().options == made().options
    assert hash(made().options) == hash(made().options)
    assert made().options != Panel(GREY, value_range=(0, 9)).options
