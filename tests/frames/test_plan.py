"""Where everything goes in one picture: its size, its tiles and its panels."""

import math
from collections.abc import Iterator
from itertools import combinations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from gpuview.errors import FrameError
from gpuview.frames.picture.geometry import (
    BACKGROUND,
    LARGE_GRID_SIDE,
    LARGE_SIDE,
    MAX_PIXELS,
    MAX_SIDE,
    PanelLook,
    PanelPlan,
    Plan,
    Scaling,
    TileKind,
)
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.page_width import next_room
from gpuview.frames.picture.plan import plan
from gpuview.protocol.pixel_format import MIN_SIDE

Rectangle = tuple[int, int, int, int]

H264_BLOCKS = 36_864
"""The most macroblocks of 16 x 16 in a picture of level 5.2; H.264's table A-1."""


def kind(*sides: int, n=1, channels=3, dtype=torch.float32, content="picture") -> TileKind:
    return TileKind(n, channels, *sides, dtype, content)


def maps(*sides: int, n=1) -> TileKind:
    return kind(*sides, n=n, channels=1, content="map")


def alone(tile: TileKind, *, is_native=False, **look) -> Plan:
    return plan([tile], None, Look(**look), is_native=is_native)


def sides_and_inner(picture: Plan) -> tuple[tuple[int, int], tuple[int, int]]:
    (panel,) = picture.panels
    return (picture.height, picture.width), (panel.inner_height, panel.inner_width)


@given(
    height=st.integers(MIN_SIDE, MAX_PIXELS // LARGE_SIDE).map(lambda side: side - side % 2),
    width=st.integers(240, LARGE_SIDE).map(lambda side: side - side % 2),
)
def test_a_picture_of_even_sides_is_shown_pixel_for_pixel(height, width):
    picture = alone(kind(height, width))

    assert sides_and_inner(picture) == ((height, width), (height, width))
    assert picture.labels == ()
    assert picture.panels[0] == PanelPlan(
        y=0,
        x=0,
        height=height,
        width=width,
        n_tiles=1,
        columns=1,
        cell_height=height,
        cell_width=width,
        inner_height=height,
        inner_width=width,
        tile_height=height,
        tile_width=width,
        channels=3,
        scaling=Scaling(0, 1),
        colormap="gray",
    )


@pytest.mark.parametrize(
    ("tile", "sides", "inner"),
    [
        ((721, 1279), (722, 1280), (721, 1279)),
        ((28, 28), (252, 252), (252, 252)),
        ((1, 1), (240, 240), (239, 239)),
        ((239, 200), (240, 200), (239, 200)),
        ((4, 300), (16, 1200), (16, 1200)),
        ((8, 3000), (16, 3000), (16, 3000)),
        ((5000, 3000), (3840, 2304), (3840, 2304)),
        ((2160, 3842), (2158, 3840), (2158, 3840)),
        ((1, 4096), (16, 3840), (16, 3840)),
        ((8000, 8000), (3034, 3034), (3034, 3034)),
        ((2400, 3840), (2400, 3840), (2400, 3840)),
    ],
)
def test_small_pictures_are_enlarged_and_large_ones_are_shrunk(tile, sides, inner):
    assert sides_and_inner(alone(kind(*tile))) == (sides, inner)


@pytest.mark.parametrize(
    ("tile", "size", "sides", "inner"),
    [
        ((720, 1280), 640, (360, 640), (360, 640)),
        ((1000, 500), 721, (722, 362), (722, 362)),
        ((28, 28), 100, (100, 100), (100, 100)),
        ((720, 1280), (640, 640), (640, 640), (360, 640)),
        ((720, 1280), (2000, 720), (720, 2000), (720, 1280)),
        ((1, 4096), 640, (16, 640), (2, 640)),
        ((100, 1000), MAX_SIDE, (868, MAX_SIDE), (868, MAX_SIDE)),
        ((100, 200), MAX_SIDE, (2146, 4292), (2146, 4292)),
    ],
)
def test_a_size_scales_the_picture_and_keeps_its_aspect(tile, size, sides, inner):
    assert sides_and_inner(alone(kind(*tile), size=size)) == (sides, inner)


@pytest.mark.parametrize(
    ("tile", "inner"),
    [
        ((1, 4096), (240, 3840)),
        ((16, 11008), (240, 3840)),
        ((50257, 768), (3840, 294)),
        ((1, 1000), (63, 1000)),
        ((10, 32), (80, 256)),
    ],
)
def test_a_long_map_is_drawn_wider_until_it_can_be_seen(tile, inner):
    assert sides_and_inner(alone(maps(*tile)))[1] == inner


@pytest.mark.parametrize(
    ("tile", "inner"),
    [((4, 20_000), (240, 3840)), ((80, 3000), (240, 3000)), ((80, 1280), (80, 1280))],
)
def test_one_channel_is_drawn_wider_when_it_is_too_long_for_a_picture(tile, inner):
    assert sides_and_inner(alone(kind(*tile, channels=1)))[1] == inner


def test_a_long_row_of_values_leaves_the_pictures_beside_it_large():
    tiles = [kind(240, 320), kind(1, 4096, channels=1)]

    image, _ = plan(tiles, ["image", "sound"], Look(size=(640, 360))).panels

    assert image.inner_width > 200


@pytest.mark.parametrize(
    ("tiles", "columns", "inner", "sides"),
    [
        (maps(56, 56, n=64), 8, (56, 56), (462, 462)),
        (maps(7, 7, n=512), 27, (21, 21), (436, 620)),
        (maps(1, 1, n=512), 27, (21, 21), (436, 620)),
        (maps(28, 28, n=32), 8, (84, 84), (342, 686)),
        (maps(64, 64, n=3), 3, (192, 192), (192, 580)),
        (kind(32, 32, n=64), 8, (64, 64), (526, 526)),
        (kind(720, 1280, n=100), 10, (212, 376), (2184, 3824)),
        (kind(1, 1, n=2), 2, (319, 319), (320, 640)),
        (kind(10, 640, n=12), 1, (10, 640), (142, 640)),
    ],
)
def test_tiles_fill_a_grid_with_few_holes_near_4_to_3_and_small_tiles_are_enlarged(
    tiles, columns, inner, sides
):
    picture = alone(tiles)

    assert picture.panels[0].columns == columns
    assert sides_and_inner(picture) == (sides, inner)


def test_tiles_are_two_pixels_apart():
    (panel,) = alone(maps(56, 56, n=64)).panels

    assert (panel.cell_height, panel.cell_width) == (58, 58)


def test_a_grid_takes_the_aspect_of_its_size():
    wide = alone(kind(32, 32, n=64), size=(1600, 400)).panels[0]
    high = alone(kind(32, 32, n=64), size=(400, 1600)).panels[0]

    assert wide.columns == 16
    assert high.columns == 4


def test_a_grid_has_exactly_the_given_width_and_height():
    picture = alone(maps(7, 7, n=100), size=(640, 480))

    assert (picture.height, picture.width) == (480, 640)


@pytest.mark.parametrize("size", [64, 640, 1000])
def test_a_grid_ends_with_its_last_tile_and_has_no_strip_of_background_beyond(size):
    picture = alone(maps(7, 7, n=100), size=size)

    (panel,) = picture.panels
    assert (panel.height, panel.width) == (picture.height, picture.width)
    assert size - 2 * panel.columns < picture.width <= size


@given(n=st.integers(1, 3000), width=st.integers(1, 640))
def test_at_most_a_quarter_of_a_grid_are_holes(n, width):
    (panel,) = alone(maps(100, width, n=n)).panels

    rows = -(-n // panel.columns)
    assert rows * panel.columns <= 4 / 3 * n


@given(n=st.integers(2, 300), side=st.integers(1, 800))
def test_gaps_can_be_seen_in_a_notebook_cell(n, side):
    (panel,) = alone(maps(side, side, n=n)).panels

    gap = panel.cell_width - panel.inner_width
    assert gap == panel.cell_height - panel.inner_height
    assert gap >= 2
    assert gap + 1 > min(panel.width / 480, panel.inner_width / 16) - gap / 16


def test_gaps_are_no_reason_to_shrink_tiles_that_fit_without_them():
    panel = alone(maps(268, 478, n=64)).panels[0]

    assert 8 * 478 < LARGE_SIDE < panel.width <= LARGE_GRID_SIDE
    assert (panel.inner_height, panel.inner_width) == (268, 478)
    assert alone(maps(300, 520, n=64)).width <= LARGE_SIDE


def test_the_background_is_seen_beside_black_and_beside_white():
    def luminance(level: int) -> float:  # of WCAG 2.2
        return ((level / 255 + 0.055) / 1.055) ** 2.4

    red, green, blue = BACKGROUND
    grey = luminance(red) + 0.05
    assert red == green == blue
    assert grey / 0.05 >= 3
    assert 1.05 / grey >= 3


@pytest.mark.parametrize(("columns", "expected"), [(None, 8), (1, 1), (5, 5), (32, 32), (200, 32)])
def test_tiles_and_panels_are_arranged_in_the_columns_that_were_asked_for(columns, expected):
    look = Look(columns=columns)
    tiles, names = [kind(64, 64)] * 32, [str(i) for i in range(32)]

    assert alone(maps(64, 64, n=32), columns=columns).panels[0].columns == expected
    for is_native in (False, True):
        panels = plan(tiles, names, look, is_native=is_native).panels
        assert len({panel.x for panel in panels}) == expected


@pytest.mark.parametrize("sides", [(256, 256), (480, 640), (720, 1280), (64, 64)])
def test_three_panels_are_side_by_side(sides):
    panels = plan([kind(*sides)] * 3, ["a", "b", "c"], Look()).panels

    assert len({panel.y for panel in panels}) == 1


@pytest.mark.parametrize(("room", "columns"), [(960, 3), (680, 1), (480, 1), (320, 1)])
def test_wide_panels_stand_below_each_other_in_a_narrow_cell(room, columns):
    panels = plan([kind(360, 640)] * 3, ["a", "b", "c"], Look(room=room)).panels

    assert len({panel.x for panel in panels}) == columns


@given(
    st.lists(st.builds(kind, st.integers(32, 800), st.integers(32, 800)), min_size=1, max_size=9),
    st.sampled_from([960, 680, 480, 320]),
)
@example(
    [kind(*tile) for tile in [(32, 32), (32, 32), (32, 377), (32, 32), (335, 32)]]
    + [kind(*tile) for tile in [(32, 32), (32, 32), (581, 377)]],
    680,
)
def test_a_narrow_cell_has_no_more_columns_and_labels_of_the_same_height(tiles, room):
    names = [str(i) for i in range(len(tiles))]
    usual, picture = plan(tiles, names, Look()), plan(tiles, names, Look(room=room))

    def n_columns(picture: Plan) -> int:
        return len({label.x for label in picture.labels})

    assert n_columns(picture) <= n_columns(usual)
    shown = min(1, room / picture.width)
    least = min(24, min(label.width for label in picture.labels) * shown / 8)
    assert picture.labels[0].height * shown >= least - 2


@pytest.mark.parametrize("look", [{"size": 720}, {"size": (640, 480)}, {"columns": 2}], ids=str)
@pytest.mark.parametrize("room", [320, 480, 680])
def test_a_picture_whose_size_or_columns_are_given_does_not_follow_the_cell(look, room):
    tiles, names = [kind(360, 640)] * 3, ["a", "b", "c"]

    assert plan(tiles, names, Look(**look, room=room)) == plan(tiles, names, Look(**look))


@given(st.integers(1, 65_536), st.floats(0.96, 1.04), st.sampled_from([960, 680, 480, 320]))
def test_a_cell_that_wavers_by_a_few_pixels_keeps_its_arrangement(width, wavering, room):
    room = next_room(room, width)
    room = next_room(room, max(1, round(width * wavering)))

    assert next_room(room, width) == room


def test_the_room_of_a_cell_is_the_nearest_of_a_few():
    rooms = [next_room(960, width) for width in (1, 320, 500, 640, 920, 1000, 4000)]

    assert rooms == [320, 320, 480, 680, 960, 960, 960]


def test_too_many_tiles_for_the_size_are_refused():
    with pytest.raises(
        FrameError,
        match=r"(?s)512 tiles in 64 x 64 pixels.*4 x 4.*tensor\[:64\], or tensor\[:, :64\] of",
    ):
        alone(maps(7, 7, n=512), size=64)


def test_small_panels_are_enlarged_by_whole_numbers_to_half_of_the_largest():
    picture = plan([kind(1080, 1920), maps(28, 28)], ["input", "digit"], Look())

    large, small = picture.panels
    assert (large.inner_height, large.inner_width) == (1080, 1920)
    assert (small.inner_height, small.inner_width) == (19 * 28, 19 * 28)
    assert picture.width == 1920 + 8 + 19 * 28


def test_a_label_is_directly_above_its_panel_and_as_wide_as_its_column():
    picture = plan([kind(100, 300), kind(100, 100)], ["a", "b"], Look(size=(400, 800)))

    assert [label.text for label in picture.labels] == ["a", "b"]
    assert [label.width for label in picture.labels] == [400, 400]
    for label, panel in zip(picture.labels, picture.panels, strict=True):
        assert (label.y + label.height, label.x) == (panel.y, panel.x)


def test_a_long_row_of_values_does_not_make_the_others_tiny():
    picture = plan([kind(224, 224), maps(1, 4096)], ["input", "embedding"], Look())

    assert picture.width < 4 * picture.panels[0].width


def test_all_panels_are_scaled_alike_to_the_size():
    picture = plan([kind(480, 640)] * 4, "abcd", Look(size=1000))

    assert max(picture.height, picture.width) == 1000
    assert len({(panel.inner_height, panel.inner_width) for panel in picture.panels}) == 1


def test_too_many_panels_for_the_size_are_refused():
    with pytest.raises(FrameError, match=r"(?s)50 labelled panels in 100 x 100 pix.*show fewer"):
        plan([kind(480, 640)] * 50, [str(i) for i in range(50)], Look(size=100))


def test_an_empty_collection_is_refused():
    with pytest.raises(FrameError, match="an empty collection of tensors"):
        plan([], [], Look())


@pytest.mark.parametrize(
    ("tile", "look", "scaling"),
    [
        (kind(9, 9, dtype=torch.uint8), {}, Scaling(0, 255)),
        (kind(9, 9, dtype=torch.bool), {}, Scaling(0, 1)),
        (kind(9, 9, dtype=torch.bfloat16), {}, Scaling(0, 1)),
        (maps(9, 9), {}, Scaling(auto="tile")),
        (maps(9, 9)._replace(dtype=torch.int64), {}, Scaling(auto="tile")),
        (maps(9, 9)._replace(dtype=torch.bool), {}, Scaling(0, 1)),
        (maps(9, 9), {"value_range": "frame"}, Scaling(auto="frame")),
        (maps(9, 9), {"value_range": (-1, 1)}, Scaling(-1, 1)),
        (kind(9, 9, dtype=torch.int16), {"value_range": "auto"}, Scaling(auto="tile")),
        (kind(9, 9, dtype=torch.uint8), {"value_range": (0, 1)}, Scaling(0, 1)),
    ],
)
def test_the_dtype_decides_which_values_are_black_and_white_unless_the_user_does(
    tile, look, scaling
):
    assert alone(tile, **look).panels[0].scaling == scaling


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint16])
def test_a_picture_of_integers_needs_a_value_range(dtype):
    with pytest.raises(FrameError, match=rf'(?s)dtype = {dtype}.*value_range="auto"'):
        alone(kind(9, 9, dtype=dtype))


@pytest.mark.parametrize(
    ("tile", "asked", "colormap"),
    [
        (kind(9, 9, channels=1), None, "gray"),
        (kind(9, 9, channels=1), "magma", "magma"),
        (maps(9, 9), None, "viridis"),
        (maps(9, 9), "gray", "gray"),
        (kind(9, 9), "magma", "gray"),
        (kind(9, 9, content="map"), None, "gray"),
    ],
)
def test_by_default_maps_are_coloured_and_pictures_are_grey(tile, asked, colormap):
    assert alone(tile, colormap=asked).panels[0].colormap == colormap


@pytest.mark.parametrize("tiles", [kind(5, 7), maps(1, 4096), maps(3, 5, n=30), kind(5000, 9)])
def test_a_native_picture_shows_every_tile_pixel_for_pixel(tiles):
    (panel,) = alone(tiles, is_native=True, size=640).panels

    assert (panel.inner_height, panel.inner_width) == (tiles.height, tiles.width)


def test_native_panels_are_labelled_too():
    tiles = [kind(50, 70), maps(3, 5, n=30)]

    picture = plan(tiles, ["a", "b"], Look(size=640), is_native=True)

    assert [panel.inner_width for panel in picture.panels] == [70, 5]
    assert [label.text for label in picture.labels] == ["a", "b"]


@pytest.mark.parametrize(
    ("tiles", "size", "height"),
    [
        ([kind(240, 320)] * 2, None, 24),
        ([kind(720, 1280)] * 4, None, 64),
        ([kind(720, 1280)] * 4, 960, 24),
        ([kind(240, 320)] * 4, (1920, 1080), 32),
        ([kind(32, 32)] * 30, None, 32),
        ([kind(2160, 3840), kind(2160, 20)], None, 24),
    ],
    ids=["small", "large", "shrunk", "enlarged", "many", "narrow"],
)
def test_labels_can_be_read_in_a_notebook_cell_and_fit_into_a_column(tiles, size, height):
    names = [str(i) for i in range(len(tiles))]

    assert {label.height for label in plan(tiles, names, Look(size=size)).labels} == {height}


def test_an_error_says_which_panel_it_is_about():
    labels = kind(20, 30, channels=1, dtype=torch.int64)

    with pytest.raises(FrameError, match=r"dtype = torch\.int64, in panel 'labels'"):
        plan([kind(20, 30), labels], ["image", "labels"], Look())


def test_what_a_panel_sets_itself_holds_for_it_and_the_streams_look_for_the_others():
    tile = kind(20, 30, channels=1)
    own = tile._replace(own=PanelLook(value_range=(2.0, 3.0), colormap="magma"))

    panels = plan([tile, own], ["a", "b"], Look(value_range=(0, 9), colormap="turbo")).panels

    assert [each.scaling for each in panels] == [Scaling(0, 9), Scaling(2, 3)]
    assert [each.colormap for each in panels] == ["turbo", "magma"]


side = st.one_of(st.integers(1, 40), st.integers(1, 20_000))
kinds = st.builds(
    kind,
    side,
    side,
    n=st.one_of(st.just(1), st.integers(1, 3000)),
    channels=st.just(1),
    content=st.sampled_from(("picture", "map")),
)
long_side = st.integers(MIN_SIDE, MAX_SIDE)
sizes = st.one_of(
    st.none(),
    long_side,
    st.tuples(long_side, long_side).filter(lambda sides: math.prod(sides) <= MAX_PIXELS),
)


@given(tiles=st.lists(kinds, min_size=1, max_size=7), size=sizes, is_native=st.booleans())
def test_every_plan_of_panels_is_sound_or_says_how_to_show_less(tiles, size, is_native):
    names = [str(i) for i in range(len(tiles))]

    picture = plan_or_error(tiles, names, size, is_native)

    if isinstance(picture, FrameError):
        assert "select=" in picture.fix or "fewer" in picture.fix
    else:
        check_sound(picture, tiles, size, is_native)


@given(tile=kinds, size=sizes, is_native=st.booleans())
def test_every_plan_of_one_tensor_is_sound_or_has_too_many_tiles(tile, size, is_native):
    picture = plan_or_error([tile], None, size, is_native)

    if isinstance(picture, FrameError):
        assert tile.n_tiles > 1
        assert "select=" in picture.fix
    else:
        check_sound(picture, [tile], size, is_native)


def plan_or_error(tiles, names, size, is_native) -> Plan | FrameError:
    try:
        return plan(tiles, names, Look(size=size), is_native=is_native)
    except FrameError as exc:
        return exc


def check_sound(picture: Plan, tiles: list[TileKind], size: object, is_native: bool) -> None:
    if not is_native:
        check_encodable(picture, size)
    assert [panel.n_tiles for panel in picture.panels] == [each.n_tiles for each in tiles]
    for panel in picture.panels:
        check_tiles(panel)
    rectangles = list(rectangles_of(picture))
    for y, x, height, width in rectangles:
        assert not (y | x | height | width) & 1
        assert y + height <= picture.height
        assert x + width <= picture.width
    assert not any(overlap(a, b) for a, b in combinations(rectangles, 2))


def check_encodable(picture: Plan, size: object) -> None:
    sides = (picture.height, picture.width)
    assert min(sides) >= MIN_SIDE
    assert max(sides) <= MAX_SIDE
    assert math.prod(-(-side // 16) for side in sides) <= H264_BLOCKS
    if size is None:
        is_grid = not picture.labels and picture.panels[0].n_tiles > 1
        assert max(sides) <= (LARGE_GRID_SIDE if is_grid else LARGE_SIDE)
    elif isinstance(size, int):
        wanted = size + size % 2
        assert max(sides) <= wanted
        if not picture.labels and wanted**2 <= MAX_PIXELS:
            (panel,) = picture.panels
            n_longest = max(panel.columns, -(-panel.n_tiles // panel.columns))
            assert max(sides) >= wanted - 3 * n_longest * (panel.n_tiles > 1)
    else:
        assert sides == tuple(each + each % 2 for each in reversed(size))


def check_tiles(panel: PanelPlan) -> None:
    assert 1 <= panel.inner_height <= panel.cell_height
    assert 1 <= panel.inner_width <= panel.cell_width
    assert 1 <= panel.columns <= panel.n_tiles
    last_row = (panel.n_tiles - 1) // panel.columns
    bottom = last_row * panel.cell_height + panel.inner_height
    right = (panel.columns - 1) * panel.cell_width + panel.inner_width
    assert panel.height - bottom in (0, 1)
    assert panel.width - right in (0, 1)


def rectangles_of(picture: Plan) -> Iterator[Rectangle]:
    for each in (*picture.panels, *picture.labels):
        yield each.y, each.x, each.height, each.width


def overlap(a: Rectangle, b: Rectangle) -> bool:
    is_apart_vertically = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0]
    is_apart_horizontally = a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
    return not (is_apart_vertically or is_apart_horizontally)
