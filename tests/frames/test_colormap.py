"""The colours of values, and those of NaN and Inf."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch

from gpuview.errors import FrameError
from gpuview.frames.picture.colormap import (
    BUILT_IN,
    FLOW,
    IGNORED_ROW,
    INF_ROW,
    NAN_ROW,
    NO_CLASS_ROW,
    check_colormap,
    n_classes,
    palette,
)
from gpuview.frames.picture.geometry import BACKGROUND
from gpuview.frames.picture.special_colours import FAR, distances, oklab
from gpuview.frames.picture.wheel import wheel_colours

CPU = torch.device("cpu")
ALL_MAPS = sorted({*BUILT_IN, *matplotlib.colormaps})
QUALITATIVE = [name for name in ALL_MAPS if n_classes(name) is not None]


def without_matplotlib(statement: str) -> subprocess.CompletedProcess[str]:
    """Run Python code where matplotlib cannot be imported."""
    code = f"import sys; sys.modules['matplotlib'] = None\n{statement}"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "labels"])
def test_a_built_in_map_has_the_colours_that_matplotlib_paints(name: str) -> None:
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    if name == "gray":  # matplotlib rounds down, so a few of its greys are one level darker
        expected = np.arange(256)[:, None].repeat(3, axis=1)
    assert np.array_equal(palette(name, CPU)[:256].numpy(), expected)


def test_a_map_of_matplotlib_is_found_by_its_name() -> None:
    expected = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    assert np.array_equal(palette("inferno", CPU)[:256].numpy(), expected)


@pytest.mark.parametrize(("name", "n"), [("tab10", 10), ("tab20", 20), ("Set1", 9), ("Accent", 8)])
def test_a_map_of_few_colours_has_one_for_each_class(name: str, n: int) -> None:
    rows = palette(name, CPU)
    expected = matplotlib.colormaps[name](np.arange(n), bytes=True)[:, :3]
    assert n_classes(name) == n
    assert np.array_equal(rows[:n].numpy(), expected)
    assert len(np.unique(rows[:n], axis=0)) == n
    assert (rows[n:255] == rows[NO_CLASS_ROW]).all()
    assert (rows[255] == rows[IGNORED_ROW]).all()


def test_maps_of_values_have_no_classes() -> None:
    assert [name for name in BUILT_IN if n_classes(name) is not None] == ["labels"]
    assert n_classes("twilight") is None
    assert n_classes("PuOr") is None


def test_the_classes_of_labels_can_be_told_apart() -> None:
    rows = palette("labels", CPU).numpy()
    looks = oklab(rows[:255])
    apart = np.linalg.norm(looks[:, None] - looks, axis=2)
    np.fill_diagonal(apart, np.inf)

    assert n_classes("labels") == 255
    assert rows[0].tolist() == [0, 0, 0]
    assert apart.min() > 0.04  # twice what people begin to see
    assert apart[:21, :21].min() > 0.12
    assert np.diag(apart, 1).min() >= 0.25  # a class and the next one
    assert distances(rows[:255], rows[256:]).min() >= FAR
    assert distances(rows[:255], np.array([BACKGROUND], np.uint8)).min() > 0.04


def test_a_map_that_the_user_registered_is_found() -> None:
    red_only = matplotlib.colors.ListedColormap([(1.0, 0.0, 0.0)], name="gpuview_red")
    matplotlib.colormaps.register(red_only)
    try:
        check_colormap("gpuview_red")
        assert palette("gpuview_red", CPU)[0].tolist() == [255, 0, 0]
    finally:
        matplotlib.colormaps.unregister("gpuview_red")


@pytest.mark.parametrize("name", ALL_MAPS)
def test_nan_and_inf_look_like_no_value_of_any_map(name: str) -> None:
    rows = palette(name, CPU).numpy()
    colours = rows[: n_classes(name) or 256]
    others = np.concatenate((colours, np.array([BACKGROUND], np.uint8)))
    assert distances(rows[[NAN_ROW, INF_ROW]], others).min() >= FAR
    assert distances(rows[[NAN_ROW]], rows[[INF_ROW]]).min() >= FAR


@pytest.mark.parametrize("name", QUALITATIVE)
def test_what_is_no_class_looks_like_no_class(name: str) -> None:
    rows = palette(name, CPU).numpy()
    classes, special = rows[: n_classes(name)], rows[NAN_ROW:]
    assert distances(special, classes).min() >= FAR
    for at in range(len(special)):
        assert distances(special[[at]], np.delete(special, at, axis=0)).min() >= FAR


def test_nan_and_inf_look_like_no_flow() -> None:
    special = palette(FLOW, CPU)[NAN_ROW : INF_ROW + 1].numpy()
    others = np.concatenate((wheel_colours(), np.array([BACKGROUND], np.uint8)))
    assert distances(special, others).min() >= FAR
    assert distances(special[:1], special[1:]).min() >= FAR
    with pytest.raises(FrameError, match="colormap = 'flow'"):
        check_colormap(FLOW)


def test_a_distance_is_that_of_oklab() -> None:
    # Its author's own examples, in XYZ, lead to these values for white and red.
    white_and_red = np.array([[255, 255, 255], [255, 0, 0]], np.uint8)
    np.testing.assert_allclose(oklab(white_and_red)[0], (1, 0, 0), atol=1e-3)
    np.testing.assert_allclose(oklab(white_and_red)[1], (0.628, 0.225, 0.126), atol=1e-3)


@pytest.mark.parametrize("name", ["gray", "viridis", "magma", "cividis"])
def test_nan_is_magenta_and_inf_is_cyan_if_the_map_is_far_from_both(name: str) -> None:
    assert palette(name, CPU)[NAN_ROW].tolist() == [255, 0, 255]
    assert palette(name, CPU)[INF_ROW].tolist() == [0, 255, 255]


def test_inf_is_not_among_the_greens_of_turbo() -> None:
    assert palette("turbo", CPU)[INF_ROW].tolist() == [255, 255, 255]


def test_a_palette_is_made_only_once() -> None:
    assert palette("turbo", CPU) is palette("turbo", CPU)


def test_an_unknown_name_is_answered_with_the_closest_ones() -> None:
    with pytest.raises(FrameError, match="colormap = 'virids'") as caught:
        check_colormap("virids")
    assert caught.value.fix.startswith("colormap='viridis'")
    with pytest.raises(FrameError, match=r"colormap='Blues'"):
        check_colormap("blues")
    with pytest.raises(FrameError, match=r"try: +colormap='viridis'$"):
        check_colormap("?")
    with pytest.raises(FrameError, match=r"try: +colormap='jet'"):
        check_colormap(matplotlib.colormaps["jet"])  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="colormap = 'virids'"):
        palette("virids", CPU)


@pytest.mark.parametrize("name", [None, 3, ["gray"], b"gray"])
def test_an_object_that_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(FrameError, match="cannot colour values"):
        check_colormap(name)  # type: ignore[arg-type]


def test_only_the_maps_that_are_not_built_in_need_matplotlib() -> None:
    names = f"for name in {BUILT_IN}: check_colormap(name); palette(name, torch.device('cpu'))"
    done = without_matplotlib(
        "import torch\n"
        f"from gpuview.frames.picture.colormap import check_colormap, palette\n{names}\n"
        "print('made')\n"
        "check_colormap('Spectral')"
    )
    assert done.stdout == "made\n", done.stderr
    assert "more with matplotlib, which is not installed" in done.stderr
    assert "pip install matplotlib" in done.stderr
