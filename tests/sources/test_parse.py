"""How a user's source is understood."""

import collections
import functools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from gpuview.errors import FrameError
from gpuview.sources.context import FrameContext, FrameContexts
from gpuview.sources.parse import parse_source


class Renderer(nn.Module):
    def forward(self) -> torch.Tensor:
        return torch.full((4, 4), 2.0)


class Zooming(nn.Module):
    def forward(self, zoom: float | None = None, **options: object) -> torch.Tensor:
        return torch.full((4, 4), zoom)


class Classifier(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


CONTEXT = FrameContexts().next()


def model() -> nn.Sequential:
    return nn.Sequential(
        collections.OrderedDict(stem=nn.Linear(2, 2), layer3=nn.Sequential(nn.ReLU(), nn.ReLU()))
    )


def only(parsed):
    """Return the poll or the module of a single source."""
    assert parsed.names is None
    (each,) = [*parsed.polled.values(), *parsed.tapped.values()]
    return each


def test_a_stream_without_a_source_polls_and_taps_nothing():
    parsed = parse_source(None)

    assert (parsed.polled, parsed.tapped, parsed.names) == ({}, {}, None)


class Picture:
    """An image that NumPy can read and PyTorch cannot."""

    __array_interface__ = np.full((4, 4), 2.0).__array_interface__

    def __getitem__(self, index: object) -> float:
        return 2.0


class Exported:
    """Another library's array."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.__dlpack__ = tensor.__dlpack__
        self.__dlpack_device__ = tensor.__dlpack_device__

    def __getitem__(self, index: object) -> float:
        return 2.0


@pytest.mark.parametrize(
    "source",
    [
        Renderer(),
        lambda: torch.full((4, 4), 2.0),
        lambda *args, **options: torch.full((4, 4), 2.0),
        functools.partial(torch.full, (4, 4), 2.0),
        torch.full((4, 4), 2.0),
        nn.Parameter(torch.full((4, 4), 2.0)),
        np.full((4, 4), 2.0),
        Picture(),
        Exported(torch.full((4, 4), 2.0)),
        (torch.full((4, 4), 2.0) for _ in range(1)),
        collections.deque([torch.full((4, 4), 2.0)]),
    ],
    ids=[
        "module",
        "function",
        "variadic",
        "partial",
        "tensor",
        "parameter",
        "array",
        "image",
        "dlpack",
        "generator",
        "iterable",
    ],
)
def test_a_source_gives_a_frame(source):
    next_frame = only(parse_source(source))

    assert next_frame(CONTEXT)[0, 0] == 2.0


def test_a_module_runs_without_a_graph_and_a_callable_with_one():
    linear = nn.Linear(2, 2)
    linear.forward = lambda: linear.weight * 2
    from_module, from_callable = only(parse_source(linear)), only(parse_source(linear.forward))

    assert not from_module(CONTEXT).requires_grad
    assert not from_module(CONTEXT).is_inference()
    assert from_callable(CONTEXT).requires_grad


def test_a_module_that_needs_its_graph_is_told_how_to_keep_it():
    linear = nn.Linear(2, 2)
    linear.forward = lambda: linear.weight.sum().backward()

    with pytest.raises(FrameError, match=r"(?s)does not require grad.*GPUStream\(lambda"):
        only(parse_source(linear))(CONTEXT)


def test_a_tensor_is_given_again_and_again_as_it_changes_in_place():
    frame = torch.zeros(4, 4)
    next_frame = only(parse_source(frame))

    assert next_frame(CONTEXT) is frame
    assert next_frame(CONTEXT) is frame


def frames_of(model: object) -> Iterator[torch.Tensor]:
    yield torch.zeros(4, 4)


class Zoomed:
    def __call__(self, context: FrameContext, zoom: float = 2.0) -> FrameContext:
        return context


@pytest.mark.parametrize("source", [lambda context: context, Zoomed()], ids=["function", "object"])
def test_a_callable_with_one_argument_takes_the_context_of_its_frame(source):
    assert only(parse_source(source))(CONTEXT) is CONTEXT


def one_frame() -> Iterator[torch.Tensor]:
    yield torch.zeros(4, 4)


@pytest.mark.parametrize("source", [one_frame(), one_frame], ids=["generator", "its function"])
def test_an_iterable_stops_at_its_end(source):
    next_frame = only(parse_source(source))

    assert next_frame(CONTEXT).shape == (4, 4)

    with pytest.raises(StopIteration):
        next_frame(CONTEXT)


@pytest.mark.parametrize(
    "source",
    [Classifier(), nn.Sequential(nn.ReLU()), nn.DataParallel(Classifier())],
    ids=["module", "sequential", "wrapper"],
)
def test_a_module_that_needs_an_input_is_tapped(source):
    assert only(parse_source(source)) is source


def test_a_module_whose_inputs_are_all_optional_is_undecided():
    zooming = Zooming()
    parsed = parse_source({"a": zooming, "b": torch.zeros(4, 4)})

    assert parsed.undecided == {"a": zooming}
    assert list(parsed.polled) == ["b"]
    assert list(parsed.decided(["a"]).polled) == ["b", "a"]
    assert parsed.decided([]).tapped == {"a": zooming}
    assert parsed.decided([]).names == parsed.names


@pytest.mark.parametrize(
    ("source", "kind"), [(Renderer(), "polled"), (Classifier(), "tapped"), (Zooming(), "undecided")]
)
def test_a_compiled_module_is_treated_as_the_original(source, kind):
    parsed = parse_source(torch.compile(source, backend="eager"))

    assert getattr(parsed, kind)


@pytest.mark.parametrize(
    "source",
    [
        lambda image, mask: image,
        lambda *, image: image,
        nn.Linear(2, 2).forward,
        frames_of,
        3,
        "a picture",
    ],
    ids=["two arguments", "keyword", "forward", "generator function", "number", "text"],
)
def test_an_object_that_makes_no_frames_is_refused(source):
    with pytest.raises(FrameError, match=r"(?s)cannot get frames.*stream\.push\(model\(x\)\)"):
        parse_source(source)


# --- panels ------------------------------------------------------------------------------------


def test_a_dict_mixes_polled_sources_and_tapped_modules():
    classifier = Classifier()
    parsed = parse_source({"input": torch.zeros(4, 4), "output": classifier, 3: Renderer()})

    assert parsed.names == ("input", "output", "3")
    assert list(parsed.polled) == ["input", "3"]
    assert parsed.tapped == {"output": classifier}


def test_the_sources_of_a_list_are_named_by_their_index():
    assert parse_source([Renderer(), torch.zeros(4, 4)]).names == ("0", "1")


@pytest.mark.parametrize("source", [{}, [], ()])
def test_an_empty_collection_is_refused(source):
    with pytest.raises(FrameError, match="source is empty"):
        parse_source(source)


@pytest.mark.parametrize("inner", [3, [torch.zeros(4, 4)], {"a": torch.zeros(4, 4)}])
def test_a_collection_cannot_hold_another_collection(inner):
    with pytest.raises(FrameError, match="cannot get frames from an object of type"):
        parse_source({"a": inner})


# --- layers ------------------------------------------------------------------------------------


def test_a_dotted_name_is_a_layer():
    network = model()

    assert only(parse_source(network, "layer3.1")) is network.layer3[1]


def test_a_named_layer_is_tapped_even_in_a_module_that_needs_no_input():
    renderer = Renderer()
    renderer.shader = nn.ReLU()
    parsed = parse_source(renderer, "shader")

    assert only(parsed) is renderer.shader
    assert not parsed.polled


def test_several_layers_are_panels():
    network = model()
    parsed = parse_source(network, ["layer3.0", "stem"])

    assert parsed.names == ("layer3.0", "stem")
    assert parsed.tapped == {"layer3.0": network.layer3[0], "stem": network.stem}


@pytest.mark.parametrize(
    ("layer", "problem", "fix"),
    [
        ("layer3.3", "no layer 'layer3.3' in Sequential", "layer='layer3.1' or 'layer3.0'"),
        ("stm", "no layer 'stm'", "layer='stem'"),
        ("1", "no layer '1'", "layer='layer3.1'"),
        (1, "no layer 1", "layer='layer3.1'"),
        (nn.ReLU(), "no layer ReLU in", r"GPUStream\(layer\)"),
        ("", "no layer ''", "leave layer out"),
        ("xyz", "no layer 'xyz'", r"print\(\*dict\(model\.named_modules"),
        ("stem.weight", "no layer 'stem.weight'", r"GPUStream\(model.get_parameter\('stem.weight'"),
        (["stem", "head"], "no layer 'head'", "list all names"),
        ([], "layer is empty", "leave layer out"),
    ],
)
def test_an_unknown_layer_is_answered_with_the_closest_names(layer, problem, fix):
    with pytest.raises(FrameError, match=f"(?s){problem}.*try: .*{fix}"):
        parse_source(model(), layer)


def test_a_layer_of_a_model_without_layers_is_refused():
    with pytest.raises(FrameError, match=r"(?s)no layer 'stem' in ReLU.*leave layer out"):
        parse_source(nn.ReLU(), "stem")


@pytest.mark.parametrize(
    ("layer", "fix"),
    [("blocks", "layer='blocks.0'"), (None, r"GPUStream\(modules, layer='blocks'")],
)
def test_a_module_that_nobody_calls_is_refused(layer, fix):
    blocks = nn.ModuleDict({"blocks": nn.ModuleList([nn.ReLU()])})

    with pytest.raises(FrameError, match=f"(?s)has no forward.*{fix}"):
        parse_source(blocks, layer)


@pytest.mark.parametrize("source", [None, torch.zeros(4, 4), {"a": model()}])
def test_a_layer_of_another_object_is_refused(source):
    with pytest.raises(FrameError, match="cannot look for layer = 'stem' in an object of type"):
        parse_source(source, "stem")


def test_a_layer_inside_compiled_code_is_refused():
    compiled = torch.compile(model(), backend="eager")

    with pytest.raises(FrameError, match=r"(?s)torch\.compile.*leave layer out"):
        parse_source(compiled, "stem")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("layer", [None, "stem"])
def test_torchscript_is_refused_because_it_calls_no_hooks(layer):
    scripted = torch.jit.trace(model(), torch.zeros(2))

    with pytest.raises(FrameError, match=r"(?s)TorchScript calls no hooks.*stream\.push"):
        parse_source(scripted, layer)
