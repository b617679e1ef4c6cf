"""Hooks on a model: the outputs that they show, and that the model is not affected."""

import copy
import gc
import pickle
import threading
import weakref
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.fx.experimental.proxy_tensor import make_fx

from gpuview.errors import FrameError
from gpuview.sources.parse import parse_source
from gpuview.sources.select import as_select
from gpuview.sources.tap import Tap, first_tensor
from tests.sources.recorder import TIMEOUT_S, Recorder

OFTEN = 1e9
ONCE = 1e-9

# --- first_tensor --------------------------------------------------------------------------------


@dataclass
class Output:
    loss: object
    logits: object


@pytest.mark.parametrize(
    "output",
    [
        torch.ones(2),
        (None, torch.ones(2), torch.zeros(2)),
        [[3, {"a": (torch.ones(2),)}], torch.zeros(2)],
        {"a": "text", "b": torch.ones(2)},
        Output(None, torch.ones(2)),
    ],
    ids=["tensor", "tuple", "nested", "dict", "dataclass"],
)
def test_the_first_tensor_is_found_depth_first(output):
    assert first_tensor(output).tolist() == [1, 1]


@pytest.mark.parametrize("output", [None, 3, "text", {}, (), Output, object()])
def test_an_output_without_a_tensor_has_no_first_one(output):
    assert first_tensor(output) is None


# --- Tap -----------------------------------------------------------------------------------------


class Model(nn.Module):
    """Adds one, then doubles in place: the second layer overwrites the first one's output."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.first = Plus()
        self.second = Double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) * self.scale


class Plus(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Double(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(2)


class NoTensor(nn.Module):
    def forward(self, x: torch.Tensor) -> None:
        return None


class Rig(Recorder):
    """A tapped model, and the frames that its taps pushed."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.pushed: list[dict[str, torch.Tensor]] = []
        self.taps: list[Tap] = []

    def tap(self, layer=None, *, fps=OFTEN, select=None, is_watched=True, later=False) -> Tap:
        tap = Tap(
            parse_source(self.model, layer).tapped,
            self.push,
            is_read_later=later,
            select=as_select(select),
            fps=fps,
            errors=self.errors,
            on_captured=lambda: self.reports.put("captured"),
        )
        self.taps.append(tap)
        tap.watch(is_watched)
        return tap

    def push(self, outputs) -> None:
        self.pushed.append({name: output.values().tensor for name, output in outputs.items()})

    def call(self, value: float = 0.0) -> torch.Tensor:
        return self.model(torch.full((2,), value))

    def values(self) -> list[dict[str, float]]:
        """Return the first value of each output that was pushed."""
        return [
            {name: output[0].item() for name, output in outputs.items()} for outputs in self.pushed
        ]


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    for tap in rig.taps:
        tap.close()


def test_a_models_output_is_shown_each_time_it_is_called(rig):
    rig.tap()
    rig.call(0)
    rig.call(1)

    assert rig.values() == [{"": 4}, {"": 8}]


def test_a_named_layer_is_shown_during_its_call_and_without_a_copy(rig):
    given = []
    rig.push = lambda outputs: given.extend(each.tensor.data_ptr() for each in outputs.values())
    rig.tap("first")
    outputs = []
    rig.model.first.register_forward_hook(lambda *call: outputs.append(call[2].data_ptr()))
    rig.call()

    assert given == outputs


def test_several_layers_are_shown_together_as_they_were_during_their_calls(rig):
    rig.tap(["first", "second"])
    rig.call(0)
    rig.call(1)

    assert rig.values() == [{"first": 1, "second": 2}, {"first": 2, "second": 4}]


def test_an_output_that_is_read_later_is_copied(rig):
    rig.tap("first", later=True)
    rig.call(0)

    assert rig.values() == [{"": 1}]


def test_between_due_frames_no_output_is_shown(rig):
    rig.tap(fps=ONCE)
    for value in range(3):
        rig.call(value)

    assert rig.values() == [{"": 4}]


def test_the_very_first_output_is_shown_although_nobody_watches(rig):
    rig.tap(["first", "second"], is_watched=False)
    for value in range(3):
        rig.call(value)

    assert rig.values() == [{"first": 1, "second": 2}]


def test_the_next_output_is_due_at_once_when_somebody_watches(rig):
    tap = rig.tap(fps=ONCE)
    rig.call(0)
    tap.watch(False)
    rig.call(1)
    tap.watch(True)
    rig.call(2)

    assert rig.values() == [{"": 4}, {"": 12}]


def test_the_output_does_not_keep_autograds_graph(rig):
    rig.tap()
    loss = rig.call().sum()
    loss.backward()

    assert not rig.pushed[0][""].requires_grad
    assert rig.model.scale.grad.item() == 4


def test_an_output_of_several_tensors_shows_the_first(rig):
    rig.tap(select=lambda output: {"mask": None, "logits": output})
    rig.call()

    assert rig.values() == [{"": 4}]


def test_select_picks_from_the_output(rig):
    rig.tap(select=slice(1, None))
    rig.call()

    assert rig.pushed[0][""].shape == (1,)


def test_an_output_without_a_tensor_is_reported_and_the_model_goes_on(rig):
    rig.tap(select=lambda output: None)
    output = rig.call()

    assert "no tensor in the output of the tapped module" in rig.report().problem
    assert output.tolist() == [4, 4]
    assert rig.pushed == []


def test_no_error_reaches_the_model_and_the_next_good_frame_ends_it(rig):
    fails = [True, False]

    def push(outputs):
        if fails.pop(0):
            raise RuntimeError("out of memory")

    rig.push = push
    tap = rig.tap()
    rig.call()
    assert rig.report().problem == "the tap raised RuntimeError: out of memory"

    tap.watch(False)  # so that the next frame is due at once
    tap.watch(True)
    rig.call()
    assert rig.report() == "recovered"


def test_a_layer_that_keeps_failing_is_reported_once_while_the_others_are_shown(rig):
    rig.model.first = nn.Identity()
    rig.model.second = NoTensor()
    tap = rig.tap(["first", "second"])
    for _ in range(3):
        with pytest.raises(TypeError):  # the model's own, after the layer
            rig.call()
        tap.due_s = float("-inf")  # half a second later

    assert rig.values()
    assert "no tensor" in rig.report().problem
    assert rig.reports.empty()


def test_no_error_of_a_listener_reaches_the_model(rig, caplog):
    def fail(error):
        raise OSError("the kernel has gone")

    rig.reports.put = fail
    rig.tap(select=lambda output: None)

    assert rig.call().tolist() == [4, 4]
    assert "the kernel has gone" in caplog.text


def test_an_error_without_a_text_is_reported_and_the_model_goes_on(rig):
    class OddError(Exception):
        def __str__(self):
            raise RuntimeError

    def select(output):
        raise OddError

    rig.tap(select=select)

    assert rig.call().tolist() == [4, 4]
    assert "OddError" in rig.report().problem


def test_a_hook_returns_at_once_while_another_thread_is_in_the_tap(rig):
    entered, release = threading.Event(), threading.Event()

    def push(outputs):
        entered.set()
        assert release.wait(TIMEOUT_S)

    rig.push = push
    rig.tap()
    other = threading.Thread(target=rig.call)
    other.start()
    assert entered.wait(TIMEOUT_S)

    assert rig.call().tolist() == [4, 4]
    release.set()
    other.join()


def test_watching_and_closing_do_not_wait_for_a_frame(rig):
    entered, release = threading.Event(), threading.Event()

    def push(outputs):
        entered.set()
        assert release.wait(TIMEOUT_S)

    rig.push = push
    tap = rig.tap()
    other = threading.Thread(target=rig.call)
    other.start()
    assert entered.wait(TIMEOUT_S)

    tap.watch(False)
    tap.close()
    release.set()
    other.join()
    assert repr(tap) == "<Tap idle modules=1>"


def test_a_tapped_module_that_was_not_called_has_no_frame(rig):
    with pytest.raises(FrameError, match="the tapped module has not been called"):
        rig.tap().ensure_frame()


# --- the model is untouched ----------------------------------------------------------------------


def test_closing_removes_the_hooks(rig):
    tap = rig.tap(["first", "second"])
    tap.close()
    tap.close()
    rig.call()

    assert rig.pushed == []
    assert not any(module._forward_hooks for module in rig.model.modules())


def test_a_closed_tap_keeps_no_output(rig):
    tap = rig.tap(["first", "second"])
    rig.model.second.register_forward_pre_hook(lambda *_: tap.close())
    part = []
    rig.model.first.register_forward_hook(
        lambda *_: part.append(weakref.ref(tap._assembler._outputs["first"].tensor))
    )
    rig.call()
    gc.collect()

    assert part[0]() is None


def test_state_dict_and_output_are_those_of_the_model_alone(rig):
    state, output = str(rig.model.state_dict()), rig.call(3)
    rig.tap(["first", "second"])

    assert str(rig.model.state_dict()) == state
    assert torch.equal(rig.call(3), output)


@pytest.mark.filterwarnings("ignore:You are using `torch.load`:FutureWarning")
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "pickle"],
)
def test_a_copy_of_a_tapped_model_is_not_tapped(rig, copied):
    rig.tap("first")
    assert b"gpuview" not in pickle.dumps(rig.model.first._forward_hooks)
    twin = copied(rig.model)

    assert twin(torch.zeros(2)).tolist() == [4, 4]
    assert rig.pushed == []
    rig.call()
    assert len(rig.pushed) == 1


def test_a_model_does_not_keep_its_tap_alive(rig):
    tap = weakref.ref(rig.tap())
    rig.taps.clear()
    gc.collect()

    assert tap() is None
    assert rig.call().tolist() == [4, 4]


# --- where no output can be shown ----------------------------------------------------------------


def test_compiled_code_is_whole_and_calls_no_hook(rig):
    rig.tap("first")
    compiled = torch.compile(rig.model, backend="eager", fullgraph=True)

    assert compiled(torch.zeros(2)).tolist() == [4, 4]
    assert compiled(torch.zeros(2)).tolist() == [4, 4]
    assert rig.pushed == []
    assert rig.reports.empty()


def test_the_output_of_a_compiled_module_is_shown(rig):
    rig.model = torch.compile(rig.model, backend="eager")
    rig.tap()
    rig.call()

    assert rig.values() == [{"": 4}]


@pytest.mark.parametrize("strict", [True, False])
def test_a_tapped_model_can_be_exported(rig, strict):
    rig.tap("first")
    torch.export.export(rig.model, (torch.zeros(2),), strict=strict)

    assert rig.pushed == []
    assert rig.reports.empty()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tracing_sees_no_hook(rig):
    rig.tap("first")
    traced = torch.jit.trace(rig.model, torch.zeros(2), check_trace=False)

    assert rig.pushed == []
    assert traced(torch.zeros(2)).tolist() == [4, 4]


def test_fx_sees_no_hook(rig):
    def n_nodes(model) -> int:
        return len(make_fx(model)(torch.zeros(2)).graph.nodes)

    count = n_nodes(rig.model)
    rig.tap(["first", "second"])

    assert n_nodes(rig.model) == count
    assert symbolic_trace(nn.Sequential(rig.model))(torch.zeros(2)).tolist() == [4, 4]
    assert rig.pushed == []
    assert rig.reports.empty()


def test_outputs_inside_transforms_of_torch_func_are_not_shown(rig):
    rig.tap("first")
    output = torch.vmap(rig.model)(torch.zeros(3, 2))

    assert output.tolist() == [[4, 4]] * 3
    assert rig.pushed == []
    assert rig.reports.empty()


def test_nothing_is_selected_while_a_graph_is_captured(rig, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    selected = []
    rig.tap(select=selected.append)
    rig.call()

    assert rig.report() == "captured"
    assert selected == []


# --- on a device ---------------------------------------------------------------------------------


@pytest.mark.cuda
def test_a_captured_output_is_counted_and_its_graph_replays(rig):
    rig.model.cuda()
    rig.tap()
    x = torch.zeros(2, device="cuda")
    rig.model(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = rig.model(x)

    assert rig.report() == "captured"
    assert rig.reports.empty()
    assert rig.values() == [{"": 4}]
    x.fill_(1)
    graph.replay()
    assert output.tolist() == [8, 8]


@pytest.mark.cuda
def test_a_copy_is_complete_when_another_stream_reads_it(rig):
    rig.model.cuda()
    given = []
    rig.push = lambda outputs: given.append(outputs[""])
    rig.tap("first", later=True)
    with torch.cuda.stream(torch.cuda.Stream()):
        x = torch.zeros(2, device="cuda")
        torch.cuda._sleep(100_000_000)
        rig.model(x)

    assert given[0].values().tensor.tolist() == [1, 1]
