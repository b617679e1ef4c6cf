"""Which looks are accepted, and how all others are refused."""

import math

import numpy as np
import pytest
import torch

from gpuview.errors import FrameError
from gpuview.frames.picture.colormap import FLOW
from gpuview.frames.picture.geometry import MAX_SIDE, Scaling, TileKind
from gpuview.frames.picture.look import Look


@pytest.mark.parametrize(
    ("value_range", "kept"),
    [
        (None, None),
        ("auto", "auto"),
        ("frame", "frame"),
        ("symmetric", "symmetric"),
        ("robust", "robust"),
        ((-1, 1), (-1.0, 1.0)),
        ([0, 0.5], (0.0, 0.5)),
        ((np.float32(0.25), np.int64(4)), (0.25, 4.0)),
    ],
)
def test_a_value_range_is_a_name_or_two_floats(value_range, kept):
    assert Look(value_range=value_range).value_range == kept


@pytest.mark.parametrize(
    ("value_range", "fix"),
    [
        ((1, 0), r"swap them: value_range=\(0, 1\)"),
        ((1, 1), 'value_range="auto"'),
        ((0, math.nan), 'value_range="auto"'),
        ((0, math.inf), 'value_range="auto"'),
        ((-1e308, 1e308), 'value_range="auto"'),
        ((0, 10**400), 'value_range="auto"'),
        ((-(10**400), 0), 'value_range="auto"'),
        (b"ab", r"value_range=\(0, 1\)"),
        ((0,), r"value_range=\(0, 1\)"),
        ((0, 1, 2), r"value_range=\(0, 1\)"),
        ((0, "1"), r"value_range=\(0, 1\)"),
        ((0, 1j), r"value_range=\(0, 1\)"),
        (255, r"value_range=\(0, 1\)"),
        ("Frames", "value_range='frame'"),
        ("minmax", "value_range='auto'"),
        ("symetric", "value_range='symmetric'"),
    ],
)
def test_a_value_range_that_scales_nothing_is_refused(value_range, fix):
    with pytest.raises(FrameError, match=f"(?s)cannot scale values with value_range = .*{fix}"):
        Look(value_range=value_range)


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        (None, None),
        (720, 720),
        (721, 722),
        (np.int64(16), 16),
        (MAX_SIDE, MAX_SIDE),
        ((1279, 720), (1280, 720)),
        ([640, 360], (640, 360)),
        ((3840, 2400), (3840, 2400)),
    ],
)
def test_the_sides_of_a_size_become_even(size, kept):
    assert Look(size=size).size == kept


@pytest.mark.parametrize(
    "size",
    [
        0,
        -720,
        15,
        MAX_SIDE + 1,
        720.0,
        True,
        "720",
        (640,),
        (640, 15),
        (3842, 2400),
        (1, 2, 3),
        (),
        ("a",),
        b"ab",
    ],
)
def test_a_size_that_no_codec_takes_is_refused(size):
    with pytest.raises(FrameError, match=r"(?s)cannot encode a picture with size = .*try: +size="):
        Look(size=size)


@pytest.mark.parametrize("columns", [0, -1, 257, 2.0, True, "4", (2,)])
def test_a_number_of_columns_that_arranges_nothing_is_refused(columns):
    with pytest.raises(
        FrameError, match=r"(?s)cannot arrange a picture with columns = .*columns=4"
    ):
        Look(columns=columns)


def test_an_unknown_layout_or_colour_map_is_refused_when_the_look_is_made():
    with pytest.raises(FrameError, match="layout = 'HCW'"):
        Look(layout="HCW")
    with pytest.raises(FrameError, match="virids"):
        Look(colormap="virids")


def test_equal_looks_have_equal_hashes():
    assert len({Look(value_range=(0, 1), size=720), Look(value_range=[0.0, 1.0], size=719)}) == 1


def test_classes_of_any_type_need_no_range():
    kinds = [
        TileKind(1, 1, 8, 8, dtype)
        for dtype in (torch.int64, torch.uint8, torch.bool, torch.float32)
    ]
    assert {Look(colormap="tab10").scaling_of(kind) for kind in kinds} == {Scaling()}
    with pytest.raises(FrameError, match="cannot guess the value range"):
        Look(colormap="viridis").scaling_of(kinds[0])
    with pytest.raises(FrameError, match="cannot guess the value range"):
        Look(colormap="tab10").scaling_of(kinds[0]._replace(channels=3))


def test_labels_are_classes_whatever_range_their_stream_has():
    kind = TileKind(1, 1, 8, 8, torch.int64, "labels")
    assert (Look().colormap_of(kind), Look().scaling_of(kind)) == ("labels", Scaling())
    assert Look(value_range=(-1, 1)).scaling_of(kind) == Scaling()
    assert Look(colormap="Set1").colormap_of(kind) == "Set1"
    assert Look(colormap="magma").scaling_of(kind) == Scaling(auto="tile")


def test_signed_values_are_coloured_from_both_ends():
    kind = TileKind(1, 1, 8, 8, torch.float32)
    assert Look(value_range="symmetric").scaling_of(kind) == Scaling(auto="symmetric")
    assert Look(value_range="symmetric").colormap_of(kind) == "coolwarm"
    assert Look(value_range="symmetric").colormap_of(kind._replace(channels=3)) == "gray"
    assert Look(value_range="symmetric", colormap="gray").colormap_of(kind) == "gray"
    assert Look(value_range="robust").scaling_of(kind) == Scaling(auto="robust")
    assert Look(value_range="robust").colormap_of(kind._replace(content="map")) == "viridis"


def test_the_range_of_a_flow_is_its_largest_speed():
    kind = TileKind(1, 2, 8, 8, torch.float32, "flow")
    for value_range in (None, "auto", "frame", "robust", (-2, -1)):
        look = Look(value_range=value_range, colormap="magma")
        assert (look.scaling_of(kind), look.colormap_of(kind)) == (Scaling(auto="symmetric"), FLOW)
    assert Look(value_range=(0, 20)).scaling_of(kind) == Scaling(-20, 20)
