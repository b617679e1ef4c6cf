"""The colours of values, and those of NaN and Inf."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch

from gpuview.errors import FrameError
from gpuview.frames.picture.colormap import BUILT_IN, INF_ROW, NAN_ROW, check_colormap, palette

CPU = torch.device("cpu")
ALL_MAPS = sorted({*BUILT_IN, *matplotlib.colormaps})
VISIBLE = 75  # of 441. Over all of matplotlib's maps, the least distance is 78, and the median 170


def without_matplotlib(statement: str) -> subprocess.CompletedProcess[str]:
    """Run Python code where matplotlib cannot be imported."""
    code = f"import sys; sys.modules['matplotlib'] = None\n{statement}"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_map_has_the_colours_that_matplotlib_paints(name: str) -> None:
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    if name == "gray":  # matplotlib rounds down, so a few of its greys are one level darker
        expected = np.arange(256)[:, None].repeat(3, axis=1)
    assert np.array_equal(palette(name, CPU)[:256].numpy(), expected)


def test_a_map_of_matplotlib_is_found_by_its_name() -> None:
    expected = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    assert np.array_equal(palette("inferno", CPU)[:256].numpy(), expected)


def test_a_map_of_few_colours_has_stripes_of_equal_width() -> None:
    stripes = palette("Accent", CPU)[:256].numpy().reshape(8, 32, 3)  # 8 colours
    assert (stripes == stripes[:, :1]).all()
    assert len(np.unique(stripes[:, 0], axis=0)) == 8


def test_a_map_that_the_user_registered_is_found() -> None:
    red_only = matplotlib.colors.ListedColormap([(1.0, 0.0, 0.0)], name="gpuview_red")
    matplotlib.colormaps.register(red_only)
    try:
        check_colormap("gpuview_red")
        assert (palette("gpuview_red", CPU)[:256] == torch.tensor([255, 0, 0])).all()
    finally:
        matplotlib.colormaps.unregister("gpuview_red")


@pytest.mark.parametrize("name", ALL_MAPS)
def test_nan_and_inf_have_colours_far_from_those_of_all_values(name: str) -> None:
    rows = palette(name, CPU).double()
    colours, nan, inf = rows[:256], rows[NAN_ROW], rows[INF_ROW]
    assert (colours - nan).norm(dim=1).min() >= VISIBLE
    assert (colours - inf).norm(dim=1).min() >= VISIBLE
    assert (nan - inf).norm() >= VISIBLE


@pytest.mark.parametrize("name", ["gray", "viridis", "magma", "coolwarm"])
def test_nan_is_magenta_and_inf_is_cyan_if_the_map_is_far_from_both(name: str) -> None:
    assert palette(name, CPU)[NAN_ROW].tolist() == [255, 0, 255]
    assert palette(name, CPU)[INF_ROW].tolist() == [0, 255, 255]


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
