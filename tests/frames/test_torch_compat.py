"""Each of PyTorch's private names means what we take it for, and nothing changes without it."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import symbolic_trace
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gpuview.frames import torch_compat
from gpuview.frames.torch_compat import (
    has_memory,
    is_traced,
    opaque_to_dynamo,
    outside_transforms,
    register_host_memory,
)

TRANSFORMS = {
    "grad": lambda work: torch.func.grad(lambda x: work(x).sum())(torch.rand(3)),
    "functionalize": lambda work: torch.func.functionalize(work)(torch.rand(3)),
    "vmap": lambda work: torch.func.vmap(work)(torch.rand(2, 3)),
}


@pytest.fixture(params=["as it is", "names gone"], autouse=True)
def names(request, monkeypatch) -> str:
    if request.param == "names gone":
        for name in (
            "_DisableFuncTorch",
            "_DisableTorchFunction",
            "_count_dispatch_modes",
            "_maybe_current_level",
            "_eval_frame",
            "_disable_dynamo",
        ):
            monkeypatch.setattr(torch_compat, name, None)
        monkeypatch.setattr(torch_compat, "_is_fx_tracing", lambda: None)
    return request.param


def test_this_release_has_all_names(names):
    is_known = [
        torch_compat._DisableFuncTorch is not None,
        torch_compat._DisableTorchFunction is not None,
        torch_compat._count_dispatch_modes is not None,
        torch_compat._maybe_current_level is not None,
        torch_compat._is_fx_tracing() is not None,
        torch_compat._eval_frame is not None,
        torch_compat._disable_dynamo is not None,
    ]
    assert is_known == [names == "as it is"] * 7


def test_releases_before_2_7_import_dynamo_at_the_first_call(monkeypatch):
    monkeypatch.setattr(torch_compat, "_eval_frame", None)
    assert opaque_to_dynamo(lambda x: x + 1)(torch.ones(1)).tolist() == [2]


def test_compiled_code_calls_an_opaque_function_with_real_tensors_and_traces_nothing_in_it():
    graphs, seen = [], []

    def look_inside(x: torch.Tensor) -> list[float]:
        seen.append(torch.compiler.is_compiling())
        return (x - 1).tolist()

    @opaque_to_dynamo
    def look(x: torch.Tensor) -> None:
        seen.append(look_inside(x))

    def backend(graph, _inputs):
        graphs.append([node.name for node in graph.graph.nodes if node.op == "call_function"])
        return graph.forward

    def work(x: torch.Tensor) -> torch.Tensor:
        doubled = x * 2
        look(doubled)
        return doubled + 1

    compiled = torch.compile(work, backend=backend)
    assert compiled(torch.ones(1)).tolist() == [3]
    assert compiled(torch.zeros(1)).tolist() == [1]
    assert seen == [False, [1], False, [-1]]
    assert graphs == [["doubled"], ["add"]]


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_no_transform_applies_to_work_outside_transforms(transform):
    plain = torch.arange(4)
    found = []

    def work(x: torch.Tensor) -> torch.Tensor:
        found.append(outside_transforms(lambda: (plain + torch.ones(4)).numpy().tolist()))
        return x * 2

    transform(work)
    assert found == [[1, 2, 3, 4]]


class Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise ZeroDivisionError


class Function(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise ZeroDivisionError


@pytest.mark.parametrize("mode", [Dispatch, Function, FakeTensorMode, lambda: torch.device("meta")])
def test_no_mode_sees_work_outside_transforms(mode):
    plain = torch.arange(4)

    def work() -> list[float]:
        return (plain + torch.ones(4)).tolist()

    with mode():
        assert outside_transforms(work) == [1, 2, 3, 4]


def test_what_work_outside_transforms_raises_comes_out_of_it():
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outside_transforms(work)


def test_the_fall_back_keeps_the_callers_streams(names, monkeypatch):
    current = threading.local()
    current.streams = {0: "a", 1: "b"}

    def set_stream(stream: str) -> None:
        current.__dict__.setdefault("order", []).append(stream)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current.streams[device])
    monkeypatch.setattr(torch.cuda, "set_stream", set_stream)

    order = outside_transforms(lambda: current.__dict__.get("order"))

    assert order == (None if names == "as it is" else ["b", "a"])


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_tensor_has_no_memory_inside_a_transform(transform):
    found = []

    def work(x: torch.Tensor) -> torch.Tensor:
        found.append(has_memory(x))
        return x * 2

    transform(work)
    assert found == [False]
    assert has_memory(torch.rand(3))
    assert has_memory(torch.rand(0))


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_is_seen(transform):
    found = []

    def work(x: torch.Tensor) -> torch.Tensor:
        found.append(is_traced([x]))
        return x * 2

    transform(work)
    assert found == [True]
    assert not is_traced([torch.rand(3)])


@pytest.mark.parametrize("trace", [symbolic_trace, lambda work: make_fx(work)(torch.rand(3))])
def test_fx_is_seen(names, trace):
    if names == "names gone" and not hasattr(proxy_tensor, "get_proxy_mode"):
        pytest.skip("this release, PyTorch 2.4, has the flag")
    found = []

    def work(x: torch.Tensor) -> torch.Tensor:
        found.append(is_traced([x]))
        return x * 2

    graph = trace(work)
    assert found == [True]
    assert [node.op for node in graph.graph.nodes] == ["placeholder", "call_function", "output"]
    assert not is_traced([torch.rand(3)])


def test_memory_is_not_registered_where_the_name_is_gone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "cudart", SimpleNamespace)
    assert not register_host_memory(torch.zeros(8))
