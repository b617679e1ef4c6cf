"""From a place in the picture to the tensor's element, against what the CPU really draws there."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpuview.frames.picture.frame import read_frame
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.panel import Panel
from gpuview.frames.picture.picture_map import Box, PictureMap, Rectangle, Spot
from gpuview.frames.picture.plan import plan
from gpuview.frames.picture.tensor_layout import ElementIndex
from gpuview.frames.writer import FrameWriter
from gpuview.media.encode.convert import copied_without_loss
from tests.frames.dtypes import FLOATS, INTEGERS
from tests.frames.ring import RingSink

NOWHERE = -1
N_PIXELS = 1000
DTYPES = (torch.bool, *INTEGERS, *FLOATS)

SHAPES = {
    "HW": lambda n, c, h, w: (h, w),
    "NHW": lambda n, c, h, w: (n, h, w),
    "CHW": lambda n, c, h, w: (c, h, w),
    "HWC": lambda n, c, h, w: (h, w, c),
    "NCHW": lambda n, c, h, w: (n, c, h, w),
    "NHWC": lambda n, c, h, w: (n, h, w, c),
}


def drawn(frame: object, look: Look) -> tuple[npt.NDArray[np.uint8], PictureMap]:
    """Return the picture that the media process gets, ``(H, W, 3)``, and its map."""
    with RingSink() as sink:
        writer = FrameWriter(sink)
        writer.write(frame, look)
        picture = copied_without_loss(sink.newest())
        assert picture is not None
        assert writer.map is not None
        return picture.to_ndarray(format="rgb24"), writer.map


def numbered(shape: tuple[int, ...], layout: str, first: int) -> Tensor:
    """Return a number for each element; the channels of a pixel in colour have the same one."""
    n_channels = shape[layout.index("C")] if "C" in layout else 1
    if n_channels not in (1, 3, 4):  # each becomes a tile
        return torch.arange(math.prod(shape)).view(shape) + first
    axis = layout.find("C")
    sides = [side for at, side in enumerate(shape) if at != axis]
    numbers = torch.arange(math.prod(sides)).view(sides) + first
    return numbers if axis < 0 else numbers.unsqueeze(axis).expand(shape)


def read_back(numbers: dict[str, tuple[Tensor, str]], dtypes: list, look: Look):
    """Draw the numbers bit by bit, and return those of each pixel; `NOWHERE` where there is none.

    Also where a pixel shows several elements that differ.
    """
    n_bits = max(int(each.max()) for each, _ in numbers.values()).bit_length() + 1
    found: npt.NDArray[np.int64] | None = None
    shown = None
    for bit in range(n_bits):
        frame = {
            name: Panel((each >> bit & 1).to(dtype), layout=layout)
            for (name, (each, layout)), dtype in zip(numbers.items(), dtypes, strict=True)
        }
        rgb, shown = drawn(frame if len(frame) > 1 else frame.popitem()[1], look)
        level = rgb.astype(np.int64)
        is_pure = ((level == 0) | (level == 255)).all(2) & (level == level[..., :1]).all(2)
        found = np.zeros(is_pure.shape, np.int64) if found is None else found
        found = np.where(is_pure & (found >= 0), found | (level[..., 0] // 255) << bit, NOWHERE)
    assert found is not None
    assert shown is not None
    is_number = (found > 0) & (found < 1 << n_bits - 1)  # the text of labels is white
    return np.where(is_number, found, NOWHERE), shown


def value_at(tensor: Tensor, index: ElementIndex) -> int:
    """Return the one number that all channels of an element have."""
    values = tensor[tuple(slice(None) if at is None else at for at in index)]
    return int(values.unique())


def mapped(
    shown: PictureMap, numbers: list[Tensor], pixels: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the number of the element that each pixel maps to, for ``(n, 2)`` rows and columns."""
    height, width = shown.plan.height, shown.plan.width
    spots = [shown.at((x + 0.5) / width, (y + 0.5) / height) for y, x in pixels.tolist()]
    return np.array(
        [
            NOWHERE if spot is None else value_at(numbers[spot.panel], shown.index(spot))
            for spot in spots
        ]
    )


tensors = st.tuples(
    st.sampled_from(sorted(SHAPES)),
    st.integers(1, 5),
    st.sampled_from((1, 2, 3, 4, 5)),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(DTYPES),
)


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(tensors, min_size=1, max_size=3),
    columns=st.sampled_from((None, 1, 2, 3)),
    size=st.sampled_from((None, None, 300, (320, 256), (256, 320))),
)
def test_each_pixel_maps_to_the_element_that_is_drawn_there(parts, columns, size):
    first, numbers = 1, {}
    for at, (layout, *sides, _) in enumerate(parts):
        each = numbered(SHAPES[layout](*sides), layout, first)
        numbers[f"panel {at}"] = (each, layout)
        first = int(each.max()) + 1
    look = Look(value_range=(0, 1), colormap="gray", columns=columns, size=size)
    pictured, shown = read_back(numbers, [dtype for *_, dtype in parts], look)

    pixels = np.random.default_rng(first).integers(0, pictured.shape, (N_PIXELS, 2))
    named = mapped(shown, [each for each, _ in numbers.values()], pixels)
    seen = pictured[tuple(pixels.T)]
    is_number = seen != NOWHERE
    assert np.array_equal(named[is_number], seen[is_number])
    # Where the picture shows no tensor, nothing is named; what is shrunk is no number there.
    if size is None:
        assert np.array_equal(named != NOWHERE, is_number)


def map_of(frame: object, **options: object) -> PictureMap:
    look = Look(**options)  # type: ignore[arg-type]
    names, tiles = read_frame(frame, look)
    picture = plan([each.kind for each in tiles], names, look)
    return PictureMap(picture, names, tuple(each.axes for each in tiles))


def centre(part: Rectangle) -> tuple[float, float]:
    return part.x + part.width / 2, part.y + part.height / 2


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 3000), st.integers(1, 3000)), min_size=1
    ).filter(lambda shapes: len(shapes) <= 4),
    data=st.data(),
)
def test_an_element_is_found_where_it_is_shown_however_small(shapes, data):
    frame = {str(at): torch.empty(1).expand(shape) for at, shape in enumerate(shapes)}
    shown = map_of(frame, layout="NHW", value_range=(0, 1))
    for panel, (n, height, width) in enumerate(shapes):
        tile, row, column = (data.draw(st.integers(0, side - 1)) for side in (n, height, width))
        spot = Spot(panel, tile, row, column)
        box = Box(panel, tile, range(row, row + 1), range(column, column + 1))
        place = shown.place(box)

        assert shown.at(*centre(place)) == spot
        assert shown.index(spot) == (tile, row, column)
        assert shown.name(panel) == str(panel)
        corner = (place.x + place.width * 0.9, place.y + place.height * 0.9)
        assert shown.box(*centre(place), *corner) == box


def test_a_box_ends_with_the_tile_that_it_begins_in():
    shown = map_of(torch.zeros(4, 1, 10, 20), columns=2)
    whole = Box(0, 0, range(10), range(20))
    x, y = centre(shown.place(Box(0, 0, range(3, 4), range(5, 6))))

    assert shown.box(x, y, 7, 9) == Box(0, 0, range(3, 10), range(5, 20))
    assert shown.box(x, y, -1e300, -2) == Box(0, 0, range(4), range(6))
    assert shown.box(0, 0, 0.499, 0.499) == whole
    assert shown.box(x, y, x, y) == Box(0, 0, range(3, 4), range(5, 6))


def test_a_box_of_all_that_is_seen_is_of_a_tile_near_the_middle():
    labelled = map_of({"a": torch.zeros(40, 60), "b": torch.zeros(40, 60)})
    assert labelled.at(0, 0) is None
    assert labelled.at(0.5, 0.5) is None
    assert labelled.box(0, 0, 1, 1) == Box(0, 0, range(40), range(60))

    grid = map_of(torch.zeros(9, 1, 10, 20), columns=3)
    x, y = centre(grid.place(Box(0, 4, range(10), range(20))))
    assert grid.box(x - 0.01, y - 0.01, x + 0.01, y + 0.01).tile == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1.0, 1e300, -1e-9])
def test_there_is_nothing_outside_of_the_picture(bad):
    shown = map_of(torch.zeros(8, 8))

    assert shown.at(bad, 0.5) is None
    assert shown.at(0.5, bad) is None
    assert (shown.box(bad, 0.5, 0.5, 0.5) is None) == (not -1 < bad < 2)
    assert (shown.box(0.5, 0.5, bad, 0.5) is None) == (not math.isfinite(bad))


def test_the_row_that_makes_a_side_even_is_the_last_one():
    shown = map_of(torch.zeros(3, 241, 321), value_range=(0, 1))

    assert (shown.plan.height, shown.plan.width) == (242, 322)
    assert shown.at(0.9999, 0.9999) == Spot(0, 0, 240, 320)


def test_there_is_nothing_in_labels_and_gaps():
    shown = map_of({"a": torch.zeros(3, 64, 64), "b": torch.zeros(3, 64, 64)})
    first, second = (shown.place(Box(at, 0, range(64), range(64))) for at in (0, 1))

    assert shown.at(first.x + 0.01, first.y - 1e-3) is None
    assert shown.at((first.x + first.width + second.x) / 2, first.y + 0.1) is None


@pytest.mark.parametrize(
    ("shape", "layout", "index"),
    [
        ((6, 8), "HW", (2, 3)),
        ((5, 6, 8), "NHW", (1, 2, 3)),
        ((3, 6, 8), "CHW", (None, 2, 3)),
        ((5, 6, 8), "CHW", (1, 2, 3)),
        ((6, 8, 4), "HWC", (2, 3, None)),
        ((6, 8, 5), "HWC", (2, 3, 1)),
        ((4, 3, 6, 8), "NCHW", (1, None, 2, 3)),
        ((4, 5, 6, 8), "NCHW", (0, 1, 2, 3)),
        ((4, 6, 8, 1), "NHWC", (1, 2, 3, None)),
        ((4, 6, 8, 7), "NHWC", (0, 2, 3, 1)),
        ((4, 2, 6, 8), "NCHW", (1, None, 2, 3)),
    ],
)
def test_an_index_has_the_dimensions_of_the_tensor(shape, layout, index):
    shown = map_of(torch.zeros(shape), layout=layout)
    tile = 0 if shown.plan.panels[0].n_tiles == 1 else 1

    assert shown.index(Spot(0, tile, 2, 3)) == index
