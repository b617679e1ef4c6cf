"""What is accepted as a frame, how it is read, and what is said about everything else."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import FrameError
from gpuview.frames.layout import MAX_SIDE, describe, fit
from gpuview.wire.ring import MIN_SIDE

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def planes_shape(*shape: int, layout=None) -> tuple[int, ...]:
    return tuple(describe(torch.zeros(shape), layout).planes.shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 30), (1, 20, 30)),
        ((3, 20, 30), (3, 20, 30)),
        ((20, 30, 3), (3, 20, 30)),
        ((1, 20, 30), (1, 20, 30)),
        ((20, 30, 1), (1, 20, 30)),
        ((4, 20, 30), (3, 20, 30)),
        ((20, 30, 4), (3, 20, 30)),
        ((3, 20, 3), (3, 20, 3)),
        ((3, 3), (1, 3, 3)),
    ],
)
def test_the_layout_is_guessed_from_the_shape(shape, expected):
    assert planes_shape(*shape) == expected


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((3, 20, 3), "HWC", (3, 3, 20)),
        ((3, 20, 3), "CHW", (3, 20, 3)),
        ((20, 30), "HW", (1, 20, 30)),
    ],
)
def test_a_given_layout_is_not_second_guessed(shape, layout, expected):
    assert planes_shape(*shape, layout=layout) == expected


@given(
    sides=st.tuples(st.integers(5, 40), st.integers(5, 40)),
    channels=st.sampled_from([1, 3, 4]),
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    steps=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    layout=st.sampled_from(["HWC", "CHW"]),
)
def test_any_strides_give_the_same_planes(sides, channels, order, steps, layout):
    height, width = sides
    shape = {"HWC": (height, width, channels), "CHW": (channels, height, width)}[layout]
    plain = torch.arange(height * width * channels).to(torch.uint8).reshape(shape)
    strided = torch.empty([shape[axis] for axis in order], dtype=torch.uint8)
    strided = strided.permute([order.index(axis) for axis in range(3)])
    strided.copy_(plain)
    rows, columns = (slice(None, None, step) for step in steps)

    shown = describe(strided, layout).planes[:, rows, columns]

    planes = plain if layout == "CHW" else plain.permute(2, 0, 1)
    assert torch.equal(shown, planes[:3, rows, columns])


@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS])
def test_a_frame_is_looked_at_and_not_copied(dtype):
    frame = torch.zeros(20, 30, 3, dtype=dtype)

    planes = describe(frame).planes

    assert planes.data_ptr() == frame.data_ptr()
    assert planes.dtype == dtype


def test_a_frame_that_requires_grad_is_shown_without_its_graph():
    frame = torch.zeros(20, 30, requires_grad=True) * 2

    assert not describe(frame).planes.requires_grad


def test_a_numpy_array_is_shared():
    array = np.zeros((20, 30, 3), dtype=np.float32)

    planes = describe(array).planes
    array[4, 5, 1] = 0.5

    assert planes[1, 4, 5] == 0.5


@pytest.mark.parametrize("make", ["readonly", "flipped"])
def test_a_numpy_array_that_torch_cannot_share_is_copied(make):
    array = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    if make == "readonly":
        array.flags.writeable = False
    else:
        array = array[::-1, :, ::-1]

    planes = describe(array).planes

    np.testing.assert_array_equal(planes.permute(1, 2, 0).numpy(), array)


@pytest.mark.parametrize(
    ("shape", "fix"),
    [
        ((), "give it the shape"),
        ((30,), "give it the shape"),
        ((2, 20, 30), "show one channel"),
        ((20, 30, 5), "show one channel"),
        ((1, 3, 20, 30), r"tensor\[0\]"),
        ((1, 1, 3, 20, 30), "give it the shape"),
        ((0, 30), "give it the shape"),
        ((3, 0, 30), "show one channel"),
    ],
)
def test_a_shape_that_is_no_picture_is_refused(shape, fix):
    with pytest.raises(FrameError, match=f"(?s)cannot show a tensor with shape = .*{fix}"):
        describe(torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((3, 20, 30), "HW", "2 dimensions for layout = 'HW'"),
        ((20, 30), "CHW", "3 dimensions for layout = 'CHW'"),
        ((3, 20, 30), "HWC", "1, 3 or 4 channels for layout = 'HWC'"),
    ],
)
def test_a_shape_that_contradicts_its_layout_is_refused(shape, layout, expected):
    with pytest.raises(FrameError, match=expected):
        describe(torch.zeros(shape), layout)


def test_an_unknown_layout_is_answered_with_the_closest_one():
    with pytest.raises(FrameError, match=r"(?s)layout = 'wch'.*'HW', 'HWC', 'CHW'.*layout='\w+'"):
        describe(torch.zeros(3, 20, 30), "wch")


@pytest.mark.parametrize(
    ("dtype", "fix"),
    [
        (torch.int64, r"tensor.to\(torch.uint8\)"),
        (torch.int8, r"tensor.to\(torch.uint8\)"),
        (torch.bool, r"tensor.float\(\)"),
        (torch.complex64, r"tensor.abs\(\)"),
        (torch.float8_e4m3fn, r"tensor.float\(\)"),
    ],
)
def test_another_dtype_is_refused_with_the_way_out(dtype, fix):
    with pytest.raises(FrameError, match=f"(?s)cannot show a tensor with dtype = {dtype}.*{fix}"):
        describe(torch.zeros(3, 20, 30, dtype=dtype))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantized_tensor_is_refused():
    frame = torch.quantize_per_tensor(torch.zeros(3, 20, 30), 0.1, 0, torch.quint8)

    with pytest.raises(FrameError, match=r"(?s)quantized.*tensor\.dequantize\(\)"):
        describe(frame)


def test_a_sparse_tensor_is_refused():
    with pytest.raises(FrameError, match=r"(?s)tensor\.layout = torch.sparse_coo.*to_dense"):
        describe(torch.zeros(20, 30).to_sparse())


def test_a_tensor_without_data_is_refused():
    with pytest.raises(FrameError, match=r"(?s)tensor\.device = device.*'meta'.*real device"):
        describe(torch.zeros(20, 30, device="meta"))


@pytest.mark.parametrize("frame", [None, "a picture", [[0, 1]], 3])
def test_what_is_no_tensor_is_refused(frame):
    with pytest.raises(FrameError, match=f"object of type {type(frame).__name__}"):
        describe(frame)


def test_an_array_of_a_type_that_torch_does_not_have_is_refused():
    with pytest.raises(FrameError, match=r"(?s)array\.dtype = dtype\('O'\).*astype"):
        describe(np.zeros((20, 30), dtype=object))


def test_a_picture_that_fits_is_not_copied():
    planes = torch.zeros(3, 16, 18)

    assert fit(planes) is planes


@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_fitted_sides_are_even_and_long_enough_and_keep_the_picture(height, width):
    planes = torch.arange(height * width).reshape(1, height, width)

    fitted = fit(planes)

    factor = max(1, -(-MIN_SIDE // min(height, width)))
    rows, columns = fitted.shape[1:]
    assert rows % 2 == columns % 2 == 0
    assert min(rows, columns) >= MIN_SIDE
    assert rows - height * factor in (0, 1)
    assert columns - width * factor in (0, 1)
    assert torch.equal(fitted[:, : height * factor : factor, : width * factor : factor], planes)


def test_an_odd_side_is_completed_by_its_last_row_and_column():
    planes = torch.rand(3, 17, 19)

    fitted = fit(planes)

    assert fitted.shape == (3, 18, 20)
    assert torch.equal(fitted[:, 17, :19], planes[:, 16])
    assert torch.equal(fitted[:, :17, 19], planes[:, :, 18])


def test_a_side_that_no_codec_has_is_refused():
    with pytest.raises(FrameError, match=r"(?s)1 x 2000 pixels.*sides of at most"):
        fit(torch.zeros(1, 1, 2000))


def test_the_longest_side_is_even():
    assert fit(torch.zeros(1, 16, MAX_SIDE - 1)).shape == (1, 16, MAX_SIDE)
