"""Hooks on a model: the outputs that they show, and that the model is not affected."""

import copy
import gc
import multiprocessing
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
from gpuview.frames.picture.select import as_select
from gpuview.sources import tap as tap_module
from gpuview.sources.hints import SourceHints
from gpuview.sources.parse import parse_source
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


class TapHarness(Recorder):
    """A tapped model, and the frames that its taps pushed."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.pushed: list[dict[str, torch.Tensor]] = []
        self.taps: list[Tap] = []
        self.hints: list[str] = []

    def tap(self, layer=None, *, fps=OFTEN, select=None, is_watched=True, later=False) -> Tap:
        tap = Tap(
            parse_source(self.model, layer).tapped,
            self.push,
            is_read_later=later,
            select=as_select(select),
            own_selects={},
            fps=fps,
            errors=self.errors,
            hints=SourceHints(self.hints.append),
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
def harness():
    harness = TapHarness()
    yield harness
    for tap in harness.taps:
        tap.close()


def test_a_models_output_is_shown_each_time_it_is_called(harness):
    harness.tap()
    harness.call(0)
    harness.call(1)

    assert harness.values() == [{"": 4}, {"": 8}]


def test_a_named_layer_is_shown_during_its_call_and_without_a_copy(harness):
    given = []
    harness.push = lambda outputs: given.extend(each.tensor.data_ptr() for each in outputs.values())
    harness.tap("first")
    outputs = []
    harness.model.first.register_forward_hook(lambda *call: outputs.append(call[2].data_ptr()))
    harness.call()

    assert given == outputs


def test_several_layers_are_shown_together_as_they_were_during_their_calls(harness):
    harness.tap(["first", "second"])
    harness.call(0)
    harness.call(1)

    assert harness.values() == [{"first": 1, "second": 2}, {"first": 2, "second": 4}]


def test_an_output_that_is_read_later_is_copied(harness):
    harness.tap("first", later=True)
    harness.call(0)

    assert harness.values() == [{"": 1}]


def test_between_due_frames_no_output_is_shown(harness):
    harness.tap(fps=ONCE)
    for value in range(3):
        harness.call(value)

    assert harness.values() == [{"": 4}]


def test_the_very_first_output_is_shown_although_nobody_watches(harness):
    harness.tap(["first", "second"], is_watched=False)
    for value in range(3):
        harness.call(value)

    assert harness.values() == [{"first": 1, "second": 2}]


def test_the_very_first_output_is_kept_from_a_module_that_overwrites_it(harness):
    kept = []
    tap = harness.tap("first", is_watched=False)
    tap._push = lambda outputs: kept.extend(outputs.values())
    harness.call()

    assert kept[0].values().tensor.tolist() == [1, 1]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_that_calls_the_model_does_not_wait_for_locks_of_its_parent(harness):
    tap = harness.tap()

    def call_in_child() -> None:
        tap.abandon()
        assert harness.call().tolist() == [4, 4]
        assert harness.pushed == []

    child = multiprocessing.get_context("fork").Process(target=call_in_child)
    with tap._lock:  # as another thread may hold it
        child.start()
    child.join(TIMEOUT_S)
    exit_code = child.exitcode
    child.kill()
    child.join()
    child.close()

    assert exit_code == 0


def test_another_rate_holds_from_the_next_output_on(harness):
    tap = harness.tap(fps=ONCE)
    for value in range(3):
        harness.call(value)
    tap.set_fps(OFTEN)
    for value in range(3, 5):
        harness.call(value)

    assert len(harness.pushed) == 3


def test_the_next_output_is_due_at_once_when_somebody_watches(harness):
    tap = harness.tap(fps=ONCE)
    harness.call(0)
    tap.watch(False)
    harness.call(1)
    tap.watch(True)
    harness.call(2)

    assert harness.values() == [{"": 4}, {"": 12}]


def test_the_output_does_not_keep_autograds_graph(harness):
    harness.tap()
    loss = harness.call().sum()
    loss.backward()

    assert not harness.pushed[0][""].requires_grad
    assert harness.model.scale.grad.item() == 4


def test_an_output_of_several_tensors_shows_the_first(harness):
    harness.tap(select=lambda output: {"mask": None, "logits": output})
    harness.call()

    assert harness.values() == [{"": 4}]


def test_select_picks_from_the_output(harness):
    harness.tap(select=slice(1, None))
    harness.call()

    assert harness.pushed[0][""].shape == (1,)


def test_an_output_without_a_tensor_is_reported_and_the_model_goes_on(harness):
    harness.tap(select=lambda output: None)
    output = harness.call()

    assert "no tensor in the output of the tapped module" in harness.report().problem
    assert output.tolist() == [4, 4]
    assert harness.pushed == []


def test_no_error_reaches_the_model_and_the_next_good_frame_ends_it(harness):
    fails = [True, False]

    def push(outputs):
        if fails.pop(0):
            raise RuntimeError("out of memory")

    harness.push = push
    tap = harness.tap()
    harness.call()
    assert harness.report().problem == "the tap raised RuntimeError: out of memory"

    tap.watch(False)  # so that the next frame is due at once
    tap.watch(True)
    harness.call()
    assert harness.report() == "recovered"


def test_a_layer_that_keeps_failing_is_reported_once_while_the_others_are_shown(harness):
    harness.model.first = nn.Identity()
    harness.model.second = NoTensor()
    tap = harness.tap(["first", "second"])
    for _ in range(3):
        with pytest.raises(TypeError):  # the model's own, after the layer
            harness.call()
        tap.due_s = float("-inf")  # half a second later

    assert harness.values()
    assert "no tensor" in harness.report().problem
    assert harness.reports.empty()


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, StopIteration])
def test_nothing_that_select_raises_reaches_the_model(harness, kind):
    def select(output):
        raise kind

    harness.tap(select=select)

    assert harness.call().tolist() == [4, 4]
    assert harness.report().problem == f"select raised {kind.__name__}"


def test_the_users_interrupt_is_not_lost_in_a_hook_and_the_tap_lives_on(harness):
    interrupts = [True]

    def select(output):
        if interrupts:
            interrupts.pop()
            raise KeyboardInterrupt
        return output

    harness.tap(select=select)
    with pytest.raises(KeyboardInterrupt):
        harness.call()
    harness.call()

    assert harness.values() == [{"": 4}]


def test_no_error_of_a_listener_reaches_the_model(harness, caplog):
    def fail(error):
        raise OSError("the kernel has gone")

    harness.reports.put = fail
    harness.tap(select=lambda output: None)

    assert harness.call().tolist() == [4, 4]
    assert "the kernel has gone" in caplog.text


def test_an_error_without_a_text_is_reported_and_the_model_goes_on(harness):
    class OddError(Exception):
        def __str__(self):
            raise RuntimeError

    def select(output):
        raise OddError

    harness.tap(select=select)

    assert harness.call().tolist() == [4, 4]
    assert "OddError" in harness.report().problem


def test_a_hook_returns_at_once_while_another_thread_is_in_the_tap(harness):
    entered, release = threading.Event(), threading.Event()

    def push(outputs):
        entered.set()
        assert release.wait(TIMEOUT_S)

    harness.push = push
    harness.tap()
    other = threading.Thread(target=harness.call)
    other.start()
    assert entered.wait(TIMEOUT_S)

    assert harness.call().tolist() == [4, 4]
    release.set()
    other.join()


def test_watching_and_closing_do_not_wait_for_a_frame(harness):
    entered, release = threading.Event(), threading.Event()

    def push(outputs):
        entered.set()
        assert release.wait(TIMEOUT_S)

    harness.push = push
    tap = harness.tap()
    other = threading.Thread(target=harness.call)
    other.start()
    assert entered.wait(TIMEOUT_S)

    tap.watch(False)
    tap.close()
    release.set()
    other.join()
    assert repr(tap) == "<Tap idle modules=1>"


def test_a_tapped_module_that_was_not_called_has_no_frame(harness):
    with pytest.raises(FrameError, match="the tapped module has not been called"):
        harness.tap().ensure_frame()


# --- modules that nobody calls ------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    """Every tap misses its calls soon."""
    monkeypatch.setattr(tap_module, "_SILENCE_S", 0.01)


def hint_of(harness) -> str:
    (hint,) = harness.hints
    return hint


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.forward(torch.zeros(2)),
        lambda model: model.second.forward(torch.ones(1)),
    ],
    ids=["forward", "another method"],
)
def test_after_some_time_without_a_call_a_hint_says_what_is_not_seen(harness, impatient, use):
    tap = harness.tap()
    use(harness.model)
    tap._silence.join(TIMEOUT_S)

    assert "no call of the model has been seen: model.forward(x)" in hint_of(harness)
    assert "stream.push(x)" in hint_of(harness)


def test_the_hint_names_the_layers_that_are_not_called_and_goes_when_they_are(harness, impatient):
    harness.model.proj = nn.Linear(2, 2)  # its weights are only read
    tap = harness.tap(["first", "proj"], is_watched=False)
    harness.call()
    tap.watch(True)
    tap._silence.join(TIMEOUT_S)

    assert "no call of 'proj' has been seen" in hint_of(harness)
    harness.model.proj(torch.zeros(2))
    assert harness.hints[1:] == [""]


def test_a_model_that_was_compiled_in_place_is_named_as_the_cause(harness, impatient):
    tap = harness.tap(is_watched=False)
    harness.model.compile(backend="eager")

    assert harness.call().tolist() == [4, 4]
    tap.watch(True)
    tap._silence.join(TIMEOUT_S)
    assert harness.pushed == []
    assert "compiled code calls no hooks" in hint_of(harness)
    assert "torch.compile(model)" in hint_of(harness)


def test_a_model_that_is_compiled_after_it_was_shown_does_not_just_stand_still(harness, impatient):
    tap = harness.tap()
    harness.call()
    assert len(harness.pushed) == 1
    harness.model.compile(backend="eager")
    waiting_for = tap._silence  # which may have looked before
    waiting_for.join(TIMEOUT_S)
    tap._silence.join(TIMEOUT_S)

    assert "compiled code calls no hooks" in hint_of(harness)


def test_a_tap_that_is_called_or_not_watched_gives_no_hint(harness, impatient):
    called, idle = harness.tap("first", is_watched=False), harness.tap("second", is_watched=False)
    harness.call()
    called.watch(True)
    called._silence.join(TIMEOUT_S)
    idle.watch(True)
    idle.close()

    assert harness.hints == []
    assert idle._silence is None


# --- the model is untouched ----------------------------------------------------------------------


def test_closing_removes_the_hooks(harness):
    tap = harness.tap(["first", "second"])
    tap.close()
    tap.close()
    harness.call()

    assert harness.pushed == []
    assert not any(module._forward_hooks for module in harness.model.modules())


def test_a_closed_tap_keeps_no_output(harness):
    tap = harness.tap(["first", "second"])
    harness.model.second.register_forward_pre_hook(lambda *_: tap.close())
    part = []
    harness.model.first.register_forward_hook(
        lambda *_: part.append(weakref.ref(tap._assembler._outputs["first"].tensor))
    )
    harness.call()
    gc.collect()

    assert part[0]() is None


def test_state_dict_and_output_are_those_of_the_model_alone(harness):
    state, output = str(harness.model.state_dict()), harness.call(3)
    harness.tap(["first", "second"])

    assert str(harness.model.state_dict()) == state
    assert torch.equal(harness.call(3), output)


@pytest.mark.filterwarnings("ignore:You are using `torch.load`:FutureWarning")
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "pickle"],
)
def test_a_copy_of_a_tapped_model_is_not_tapped(harness, copied):
    harness.tap("first")
    assert b"gpuview" not in pickle.dumps(harness.model.first._forward_hooks)
    twin = copied(harness.model)

    assert twin(torch.zeros(2)).tolist() == [4, 4]
    assert harness.pushed == []
    harness.call()
    assert len(harness.pushed) == 1


def test_a_model_does_not_keep_its_tap_alive(harness):
    tap = weakref.ref(harness.tap())
    harness.taps.clear()
    gc.collect()

    assert tap() is None
    assert harness.call().tolist() == [4, 4]


# --- where no output can be shown ----------------------------------------------------------------


def test_compiled_code_is_whole_and_calls_no_hook(harness):
    harness.tap("first")
    compiled = torch.compile(harness.model, backend="eager", fullgraph=True)

    assert compiled(torch.zeros(2)).tolist() == [4, 4]
    assert compiled(torch.zeros(2)).tolist() == [4, 4]
    assert harness.pushed == []
    assert harness.reports.empty()


def test_the_output_of_a_compiled_module_is_shown(harness):
    harness.model = torch.compile(harness.model, backend="eager")
    harness.tap()
    harness.call()

    assert harness.values() == [{"": 4}]


@pytest.mark.parametrize("strict", [True, False])
def test_a_tapped_model_can_be_exported(harness, strict):
    harness.tap("first")
    torch.export.export(harness.model, (torch.zeros(2),), strict=strict)

    assert harness.pushed == []
    assert harness.reports.empty()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tracing_sees_no_hook(harness):
    harness.tap("first")
    traced = torch.jit.trace(harness.model, torch.zeros(2), check_trace=False)

    assert harness.pushed == []
    assert traced(torch.zeros(2)).tolist() == [4, 4]


def test_fx_sees_no_hook(harness):
    def n_nodes(model) -> int:
        return len(make_fx(model)(torch.zeros(2)).graph.nodes)

    count = n_nodes(harness.model)
    harness.tap(["first", "second"])

    assert n_nodes(harness.model) == count
    assert symbolic_trace(nn.Sequential(harness.model))(torch.zeros(2)).tolist() == [4, 4]
    assert harness.pushed == []
    assert harness.reports.empty()


def test_outputs_inside_transforms_of_torch_func_are_not_shown(harness):
    harness.tap("first")
    output = torch.vmap(harness.model)(torch.zeros(3, 2))

    assert output.tolist() == [[4, 4]] * 3
    assert harness.pushed == []
    assert harness.reports.empty()


def test_nothing_is_selected_while_a_graph_is_captured(harness, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    selected = []
    harness.tap(select=selected.append)
    harness.call()

    assert harness.report() == "captured"
    assert selected == []


# --- on a device ---------------------------------------------------------------------------------


@pytest.mark.cuda
def test_a_captured_output_is_counted_and_its_graph_replays(harness):
    harness.model.cuda()
    harness.tap()
    x = torch.zeros(2, device="cuda")
    harness.model(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = harness.model(x)

    assert harness.report() == "captured"
    assert harness.reports.empty()
    assert harness.values() == [{"": 4}]
    x.fill_(1)
    graph.replay()
    assert output.tolist() == [8, 8]


@pytest.mark.cuda
def test_a_copy_is_complete_when_another_stream_reads_it(harness):
    harness.model.cuda()
    given = []
    harness.push = lambda outputs: given.append(outputs[""])
    harness.tap("first", later=True)
    with torch.cuda.stream(torch.cuda.Stream()):
        x = torch.zeros(2, device="cuda")
        torch.cuda._sleep(100_000_000)
        harness.model(x)

    assert given[0].values().tensor.tolist() == [1, 1]
