"""Which frames are accepted, how they are read, and how all others are refused."""

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from gpuview.errors import FrameError
from gpuview.frames.picture.frame import read_frame, read_part, readings_of
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.panel import Panel
from gpuview.frames.picture.tensor_layout import Reading, Values, read_tiles
from tests.frames.dtypes import FLOATS, INTEGERS


def tiles_shape(*shape: int, layout=None) -> tuple[int, ...]:
    return tuple(read_tiles(torch.zeros(shape), layout).pixels.shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 30), (1, 1, 20, 30)),
        ((3, 3), (1, 1, 3, 3)),
        ((3, 20, 30), (1, 3, 20, 30)),
        ((20, 30, 3), (1, 3, 20, 30)),
        ((20, 5, 3), (1, 3, 20, 5)),
        ((20, 4, 3), (20, 1, 4, 3)),
        ((1, 20, 30), (1, 1, 20, 30)),
        ((20, 30, 1), (1, 1, 20, 30)),
        ((4, 20, 30), (4, 1, 20, 30)),
        ((8, 4, 20, 30), (4, 1, 20, 30)),
        ((20, 30, 4), (1, 3, 20, 30)),
        ((8, 20, 30, 4), (8, 3, 20, 30)),
        ((3, 20, 3), (1, 3, 20, 3)),
        ((2, 20, 30), (1, 2, 20, 30)),
        ((64, 3, 3), (64, 1, 3, 3)),
        ((8, 3, 20, 30), (8, 3, 20, 30)),
        ((8, 1, 20, 30), (8, 1, 20, 30)),
        ((8, 20, 30, 3), (8, 3, 20, 30)),
        ((8, 64, 20, 30), (64, 1, 20, 30)),
        ((8, 2, 20, 30), (8, 2, 20, 30)),
        ((8, 64, 3, 3), (64, 1, 3, 3)),
        ((8, 512, 4, 4), (512, 1, 4, 4)),
        ((8, 512, 1, 1), (512, 1, 1, 1)),
        ((480, 640, 2), (1, 2, 480, 640)),
        ((16, 16, 2), (1, 2, 16, 16)),
        ((15, 16, 2), (15, 1, 16, 2)),
        ((64, 64, 8), (8, 1, 64, 64)),
        ((8, 480, 640, 2), (8, 2, 480, 640)),
        ((3, 480, 640, 2), (3, 2, 480, 640)),
        ((12, 197, 64), (12, 1, 197, 64)),
        ((512, 400, 80), (512, 1, 400, 80)),
        ((3, 2, 480, 640), (3, 2, 480, 640)),
        ((3, 64, 7, 7), (64, 1, 7, 7)),
        ((16, 3, 64, 64), (16, 3, 64, 64)),
    ],
)
def test_the_layout_is_guessed_from_the_shape(shape, expected):
    assert tiles_shape(*shape) == expected


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((3, 20, 3), "HWC", (1, 3, 3, 20)),
        ((3, 20, 3), "CHW", (1, 3, 20, 3)),
        ((20, 30), "HW", (1, 1, 20, 30)),
        ((3, 20, 30), "NHW", (3, 1, 20, 30)),
        ((2, 20, 30), "CHW", (1, 2, 20, 30)),
        ((2, 20, 30), "NHW", (2, 1, 20, 30)),
        ((20, 30, 7), "HWC", (7, 1, 20, 30)),
        ((3, 3, 3, 3), "NHWC", (3, 3, 3, 3)),
        ((5, 20, 30, 64), "NHWC", (64, 1, 20, 30)),
        ((5, 64, 20, 3), "NCHW", (64, 1, 20, 3)),
    ],
)
def test_a_given_layout_is_not_second_guessed(shape, layout, expected):
    assert tiles_shape(*shape, layout=layout) == expected


@given(
    sides=st.tuples(st.integers(5, 20), st.integers(5, 20)),
    channels=st.sampled_from([1, 3, 4]),
    order=st.sampled_from(list(itertools.permutations(range(4)))),
    steps=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    layout=st.sampled_from(["NHWC", "NCHW"]),
)
def test_any_strides_give_the_same_tiles(sides, channels, order, steps, layout):
    sizes = dict(zip("NCHW", (2, channels, *sides), strict=True))
    shape = [sizes[axis] for axis in layout]
    plain = torch.arange(2 * channels * sides[0] * sides[1]).to(torch.uint8).reshape(shape)
    strided = torch.empty([shape[axis] for axis in order], dtype=torch.uint8)
    strided = strided.permute([order.index(axis) for axis in range(4)])
    strided.copy_(plain)
    rows, columns = (slice(None, None, step) for step in steps)

    shown = read_tiles(strided, layout).pixels[..., rows, columns]

    batch = plain if layout == "NCHW" else plain.permute(0, 3, 1, 2)
    assert torch.equal(shown, batch[:, :3, rows, columns])


def test_a_batch_of_features_shows_its_first_item():
    features = torch.arange(2 * 5 * 6 * 7).reshape(2, 5, 6, 7)

    assert torch.equal(read_tiles(features).pixels[:, 0], features[0])


@pytest.mark.parametrize(
    ("frame", "content"),
    [
        (torch.zeros(20, 30), "map"),
        (torch.zeros(3, 20, 30), "picture"),
        (torch.zeros(8, 1, 20, 30), "picture"),
        (torch.zeros(8, 20, 30), "map"),
        (torch.zeros(8, 64, 20, 30), "map"),
        (torch.zeros(8, 20, 30, dtype=torch.uint8), "picture"),
        (torch.zeros(8, 20, 30, dtype=torch.bool), "picture"),
        (torch.zeros(8, 20, 30, dtype=torch.int64), "labels"),
        (torch.zeros(20, 30, dtype=torch.int64), "labels"),
        (torch.zeros(1, 20, 30, dtype=torch.int32), "labels"),
        (torch.zeros(8, 1, 20, 30, dtype=torch.int8), "labels"),
        (np.zeros((20, 30), np.int16), "labels"),
        (torch.zeros(20, 30, dtype=torch.uint16), "map"),
        (torch.zeros(1, 20, 30, dtype=torch.uint16), "picture"),
        (torch.zeros(3, 20, 30, dtype=torch.int64), "picture"),
        (torch.zeros(20, 30, dtype=torch.uint8), "picture"),
        (torch.zeros(20, 30, dtype=torch.bool), "picture"),
        (torch.zeros(4, 20, 30), "map"),
        (torch.zeros(2, 20, 30), "flow"),
        (torch.zeros(8, 2, 20, 30, dtype=torch.float16), "flow"),
        (torch.zeros(32, 40, 2), "flow"),
        (torch.zeros(2, 20, 30, dtype=torch.uint8), "picture"),
        (Values(torch.zeros(1, 2, 20, 30)), "map"),
        (torch.zeros(4, 4, 20, 30), "map"),
        (torch.zeros(4, 20, 30, dtype=torch.uint8), "picture"),
        (torch.zeros(20, 30, 4), "picture"),
        (torch.nn.Parameter(torch.zeros(20, 30)), "map"),
        (torch.nn.Parameter(torch.zeros(64, 3, 7, 7)), "map"),
        (Values(torch.zeros(20, 30)), "map"),
        (Values(torch.zeros(20, 30, dtype=torch.uint8)), "map"),
        (Values(torch.zeros(8, 1, 20, 30)), "map"),
        (Values(torch.zeros(8, 3, 20, 30)), "picture"),
        (Values(np.zeros((20, 30))), "map"),
    ],
)
def test_a_tensor_is_pictures_if_it_has_channels_and_maps_if_it_has_none(frame, content):
    assert read_tiles(frame).content == content


@pytest.mark.parametrize("look", [{"value_range": (0, 9)}, {"colormap": "viridis"}])
def test_integers_are_no_labels_if_a_range_or_a_colour_map_says_what_they_are(look):
    mask = torch.zeros(20, 30, dtype=torch.int64)

    assert read_part(mask, Look(**look)).content == "map"
    assert read_part(Panel(mask, **look)).content == "map"
    assert read_part(mask, Look(size=64)).content == "labels"


def test_two_channels_are_maps_if_a_colour_map_says_so():
    flow = torch.zeros(2, 20, 30)

    assert read_part(flow, Look(colormap="coolwarm")).content == "map"
    assert read_part(Panel(flow, colormap="coolwarm")).content == "map"
    assert read_part(Panel(flow, value_range=(0, 9))).content == "flow"


def test_labelled_heads_look_as_in_a_stack():
    heads = torch.rand(4, 20, 30)
    stack = read_tiles(heads).kind

    _, tiles = read_frame({f"head {i}": head for i, head in enumerate(heads)})

    assert {each.kind for each in tiles} == {stack._replace(n_tiles=1)}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 4, 20, 30), (4, 1, 20, 30)),
        ((4, 20, 30), (4, 1, 20, 30)),
        ((20, 30, 3), (20, 1, 30, 3)),
        ((8, 16, 30, 3), (16, 1, 30, 3)),
    ],
)
def test_values_have_no_alpha_and_no_channels_at_the_end(shape, expected):
    assert tuple(read_tiles(Values(torch.zeros(shape))).pixels.shape) == expected


def test_equal_tensors_have_equal_kinds_that_can_be_hashed():
    kind = read_tiles(torch.zeros(8, 64, 20, 30)).kind

    assert kind == (64, 1, 20, 30, torch.float32, "map", None)
    assert len({kind, read_tiles(torch.ones(8, 64, 20, 30)).kind}) == 1


@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS, *FLOATS])
def test_a_frame_is_not_copied(dtype):
    frame = torch.zeros(20, 30, 3, dtype=dtype)

    pixels = read_tiles(frame).pixels

    assert pixels.data_ptr() == frame.data_ptr()
    assert pixels.dtype == dtype


@pytest.mark.parametrize("is_parameter", [False, True])
def test_a_frame_that_requires_grad_is_shown_without_its_graph(is_parameter):
    frame = torch.zeros(20, 30, requires_grad=True)

    pixels = read_tiles(torch.nn.Parameter(frame) if is_parameter else frame * 2).pixels

    assert not pixels.requires_grad
    assert type(pixels) is torch.Tensor


def test_no_code_of_a_subclass_runs():
    class Loud(torch.Tensor):
        @classmethod
        def __torch_function__(cls, *_):
            raise AssertionError("the subclass ran")

    frame = torch.zeros(20, 30).as_subclass(Loud)

    assert type(read_tiles(frame).pixels) is torch.Tensor


def test_a_pending_negation_is_carried_out():
    frame = torch.full((20, 30), 1 + 0.5j).conj().imag

    assert frame.is_neg()
    assert read_tiles(frame).pixels[0, 0, 4, 5] == -0.5
    assert not read_tiles(frame).pixels.is_neg()


def test_a_numpy_array_is_shared():
    array = np.zeros((20, 30, 3), dtype=np.float32)

    pixels = read_tiles(array).pixels
    array[4, 5, 1] = 0.5

    assert pixels[0, 1, 4, 5] == 0.5


def test_a_layout_that_is_an_array_is_refused():
    with pytest.raises(FrameError, match=r"(?s)layout = array\(.*layout='CHW'"):
        read_tiles(torch.zeros(3, 20, 30), np.zeros(3))


@pytest.mark.parametrize("make", ["readonly", "flipped", "field"])
def test_a_numpy_array_that_torch_cannot_share_is_copied(make):
    array = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    if make == "readonly":
        array.flags.writeable = False
    elif make == "flipped":
        array = array[::-1, :, ::-1]
    else:  # of a record of 5 bytes
        records = np.zeros(array.shape, [("index", np.uint8), ("value", np.float32)])
        records["value"] = array
        array = records["value"]

    pixels = read_tiles(array).pixels

    np.testing.assert_array_equal(pixels[0].permute(1, 2, 0).numpy(), array)


class OtherArray:
    """An array of another library, which torch can read only through DLPack."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def test_an_array_of_another_library_is_shared_through_dlpack():
    array = np.zeros((20, 30, 3), dtype=np.float32)

    pixels = read_tiles(OtherArray(array)).pixels
    array[4, 5, 1] = 0.5

    assert pixels[0, 1, 4, 5] == 0.5


def test_an_array_that_dlpack_cannot_share_is_refused_with_the_reason():
    with pytest.raises(FrameError, match=r"(?s)OtherArray through DLPack \(BufferError: .*asarray"):
        read_tiles(OtherArray(np.zeros((20, 30), dtype=object)))


def test_a_mapping_is_read_by_name_and_a_list_by_number():
    picture, values = torch.zeros(3, 20, 30), torch.zeros(1, 5, 20, 30)

    names, tiles = read_frame({"input": picture, "features": Values(values)})
    numbers, _ = read_frame([picture, values])

    assert names == ("input", "features")
    assert [each.kind.n_tiles for each in tiles] == [1, 5]
    assert numbers == ("0", "1")
    assert read_frame(picture)[0] is None


def test_names_that_look_alike_are_kept_apart():
    names, tiles = read_frame({1: torch.zeros(20, 30), "1": torch.zeros(40, 50)})

    assert names == ("1", "1")
    assert [each.kind.height for each in tiles] == [20, 40]


def test_an_error_names_the_panel():
    with pytest.raises(FrameError, match=r"object of type NoneType, in panel 'output'"):
        read_frame({"input": torch.zeros(20, 30), "output": None})


@pytest.mark.parametrize("shape", [(0, 30), (3, 0, 30), (0, 3, 20, 30), (2, 0, 20, 30)])
def test_a_shape_without_elements_is_refused(shape):
    with pytest.raises(FrameError, match=r"(?s)cannot show a tensor without .*shape = .*became"):
        read_tiles(torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((), (1, 1, 1, 1)),
        ((30,), (1, 1, 1, 30)),
        ((1, 1, 3, 20, 30), (1, 3, 20, 30)),
        ((2, 8, 3, 20, 30), (8, 3, 20, 30)),
        ((2, 8, 20, 30, 3), (8, 3, 20, 30)),
        ((2, 3, 20, 30, 3), (3, 3, 20, 30)),
        ((2, 1, 1, 3, 20, 30), (1, 3, 20, 30)),
        ((1, 3, 16, 64, 64), (16, 3, 64, 64)),
        ((2, 3, 4, 64, 64), (4, 3, 64, 64)),
        ((1, 2, 3, 16, 64, 64), (16, 3, 64, 64)),
        ((2, 5, 6, 7, 8), (6, 1, 7, 8)),
        ((3, 16, 64, 64), (16, 3, 64, 64)),
        ((3, 5, 16, 16), (5, 3, 16, 16)),
    ],
)
def test_the_advice_for_a_shape_that_is_refused_works(shape, shown):
    tensor = torch.zeros(shape)
    with pytest.raises(
        FrameError, match=r"cannot (show|tell what) a tensor with shape ="
    ) as caught:
        read_tiles(tensor)

    advice = re.search(r"tensor[.\[].*?(?= for |$)", caught.value.fix)[0]

    assert tuple(read_tiles(eval(advice, {"tensor": tensor})).pixels.shape) == shown


def test_what_may_be_a_video_is_shown_by_its_layout_or_as_values():
    tensor = torch.zeros(3, 16, 64, 64)
    with pytest.raises(FrameError, match=r"(?s)a video of 16 frames.*3 items of 16.*\"NCHW\""):
        read_tiles(tensor)

    assert read_tiles(tensor, "NCHW").kind.n_tiles == 16
    assert read_tiles(Values(tensor)).kind.n_tiles == 16


def shown_after(*shapes: tuple[int, ...], name: str | None = None) -> tuple[int, ...]:
    """Return the shape of the tiles of the last tensor of a stream."""
    readings: dict[str | None, Reading] = {}
    for shape in shapes:
        tensor = torch.zeros(shape)
        frame = tensor if name is None else {"other": torch.zeros(5, 5), name: tensor}
        names, tiles = read_frame(frame, before=readings)
        readings = readings_of(names, tiles)
    return tuple(tiles[-1].pixels.shape)


@pytest.mark.parametrize("name", [None, "maps"])
@pytest.mark.parametrize("last", [1, 3, 4])
def test_a_stack_of_maps_stays_one_whatever_the_size_of_its_last_batch(last, name):
    stack, end = (16, 20, 30), (last, 20, 30)

    assert shown_after(stack, end, name=name) == (last, 1, 20, 30)
    assert shown_after(end, stack, end, name=name) == (last, 1, 20, 30)
    assert shown_after(stack, end, end, name=name) == (last, 1, 20, 30)


def test_features_stay_features_when_the_last_batch_could_be_a_video():
    assert shown_after((8, 16, 64, 64), (3, 16, 64, 64)) == (16, 1, 64, 64)


@pytest.mark.parametrize("shapes", [((16, 20, 30), (3, 40, 30)), ((20, 30, 3), (3, 20, 30))])
def test_a_picture_of_another_size_is_read_by_its_own_shape(shapes):
    assert shown_after(*shapes) == (1, *shapes[-1])


def test_a_layout_that_was_given_does_not_bind_later_frames():
    names, tiles = read_frame(torch.zeros(3, 20, 30), Look(layout="NHW"))

    assert readings_of(names, tiles) == {}


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((3, 20, 30), "HW", "2 dimensions for layout = 'HW'"),
        ((20, 30), "CHW", "3 dimensions for layout = 'CHW'"),
        ((3, 20, 30), "NCHW", "4 dimensions for layout = 'NCHW'"),
    ],
)
def test_a_shape_that_contradicts_its_layout_is_refused(shape, layout, expected):
    with pytest.raises(FrameError, match=expected):
        read_tiles(torch.zeros(shape), layout)


@pytest.mark.parametrize(
    ("layout", "guess"), [("hxc", "HWC"), ("NCWH", "NCHW"), ("nhwc", "NHWC"), (3, "CHW")]
)
def test_an_unknown_layout_is_answered_with_the_closest_one(layout, guess):
    with pytest.raises(FrameError, match=rf"(?s)layout = {layout!r}.*'NHWC', or.*layout='{guess}'"):
        read_tiles(torch.zeros(3, 20, 30), layout)


@pytest.mark.parametrize(
    ("dtype", "fix"),
    [
        (torch.complex64, r"tensor.abs\(\)"),
        (torch.float8_e4m3fn, r"tensor.float\(\)"),
        (torch.uint4, r"tensor.to\(torch.int16\)"),
    ],
)
def test_other_dtypes_are_refused_with_a_fix(dtype, fix):
    with pytest.raises(FrameError, match=f"(?s)cannot show a tensor with dtype = {dtype}.*{fix}"):
        read_tiles(torch.empty(3, 20, 30, dtype=dtype))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantized_tensor_is_refused():
    frame = torch.quantize_per_tensor(torch.zeros(3, 20, 30), 0.1, 0, torch.quint8)

    with pytest.raises(FrameError, match=r"(?s)quantized.*tensor\.dequantize\(\)"):
        read_tiles(frame)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_a_sparse_tensor_is_refused(layout):
    with pytest.raises(FrameError, match=rf"(?s)tensor\.layout = {layout}.*to_dense"):
        read_tiles(torch.zeros(20, 30).to_sparse(layout=layout))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("layout", "problem"),
    [(torch.strided, "a nested tensor.*unbind"), (torch.jagged, "a NestedTensor, .*plain tensor")],
)
def test_a_nested_tensor_is_refused(layout, problem):
    parts = [torch.zeros(2, 3), torch.zeros(4, 3)]

    with pytest.raises(FrameError, match=f"(?s)cannot show {problem}"):
        read_tiles(torch.nested.nested_tensor(parts, layout=layout))


def test_a_meta_tensor_is_refused():
    with pytest.raises(FrameError, match=r"(?s)tensor\.device = device.*'meta'.*real device"):
        read_tiles(torch.zeros(20, 30, device="meta"))


def test_a_fake_tensor_is_refused():
    with FakeTensorMode():
        frame = torch.zeros(20, 30)

    with pytest.raises(FrameError, match=r"(?s)FakeTensor, which has no memory"):
        read_tiles(frame)


def test_a_parameter_of_a_module_that_was_never_called_is_refused():
    with pytest.raises(FrameError, match=r"(?s)no shape yet.*model\(x\)"):
        read_tiles(torch.nn.LazyLinear(5).weight)


def test_a_tensor_inside_a_transform_is_refused():
    with pytest.raises(FrameError, match=r"(?s)torch\.func transform.*returns"):
        torch.func.vmap(read_tiles)(torch.zeros(2, 20, 30))


def test_a_tensor_whose_memory_was_freed_is_refused():
    frame = torch.zeros(20, 30)
    frame.untyped_storage().resize_(0)

    with pytest.raises(FrameError, match=r"(?s)\(20, 30\) whose memory was freed.*clone"):
        read_tiles(frame)


@pytest.mark.parametrize("frame", [None, "a picture", [[0, 1]], 3])
def test_an_object_that_is_no_tensor_is_refused(frame):
    with pytest.raises(FrameError, match=f"object of type {type(frame).__name__}"):
        read_tiles(frame)


@pytest.mark.parametrize("dtype", ["object", ">f4", "longdouble"])
def test_an_array_of_a_dtype_that_torch_does_not_have_is_refused(dtype):
    with pytest.raises(FrameError, match=r"(?s)array\.dtype = dtype\(.*astype"):
        read_tiles(np.zeros((20, 30), dtype=dtype))


class BadArray:
    @property
    def __array_interface__(self):
        return {"shape": (2, 2), "typestr": "<f4", "data": "nowhere", "version": 3}


class RaisingArray:
    @property
    def __array_interface__(self):
        raise ValueError("not yet")


class RaisingDlpack:
    def __getattr__(self, name):
        raise LookupError(name)


class RaisingClass:
    @property
    def __class__(self):
        raise ValueError("no class")


class RaisingArrayMethod(np.ndarray):
    @property
    def strides(self):
        raise ZeroDivisionError


class UnreadableError(Exception):
    def __str__(self):
        raise RuntimeError


class RaisingKey:
    def __str__(self):
        raise UnreadableError


class RaisingMapping(dict):
    def items(self):
        raise KeyError("lazy")


class RaisingList(list):
    def __iter__(self):
        raise RecursionError


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (BadArray(), TypeError),
        (RaisingArray(), ValueError),
        (RaisingDlpack(), LookupError),
        (RaisingClass(), ValueError),
        (np.zeros((3, 4)).view(RaisingArrayMethod), ZeroDivisionError),
        ({RaisingKey(): torch.zeros(3, 4)}, UnreadableError),
        (RaisingMapping(a=torch.zeros(3, 4)), KeyError),
        (RaisingList([torch.zeros(3, 4)]), RecursionError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_object_raises_when_it_is_read_is_the_cause_of_a_frame_error(frame, cause):
    with pytest.raises(FrameError, match=r"(?s)cannot show the frame: reading .* raised") as caught:
        read_frame(frame)

    assert isinstance(caught.value.__cause__, cause)


def itself(make):
    frame = make()
    if isinstance(frame, dict):
        frame["self"] = frame
    else:
        frame.append(frame)
    return frame


@pytest.mark.parametrize("make", [list, dict])
def test_a_frame_that_contains_itself_is_refused(make):
    with pytest.raises(FrameError, match=f"object of type {make.__name__}, in panel"):
        read_frame(itself(make))
