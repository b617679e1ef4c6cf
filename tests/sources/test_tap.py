"""Hooks on a model: what they give, and that the model does not notice."""

import copy
import gc
import pickle
import queue
import threading
import weakref
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.fx import symbolic_trace
from torch.fx.experimental.proxy_tensor import make_fx

from gpuview.errors import FrameError
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.sources.parse import as_select, survey
from gpuview.sources.tap import Round, Tap, first_tensor

OFTEN = 1e9
ONCE = 1e-9

# --- Round -------------------------------------------------------------------------------------


def play(calls, names="abc", period=10.0):
    """Return the rounds that come of ``calls``, as ``name@time`` each."""
    calls_of_a_round = Round(names, period)
    done = []
    for call in calls.split():
        name, now = call.split("@")
        if calls_of_a_round.wants(name, float(now)):
            done.append(calls_of_a_round.take(name, call, float(now)))
    return ["+".join(parts.values()) for parts in done if parts is not None]


def test_a_round_takes_each_name_once():
    assert play("a@0 b@1 a@2 c@3") == ["a@0+b@1+c@3"]


def test_the_next_round_begins_a_period_after_the_one_before():
    assert play("a@0 b@1 c@2 a@9 b@9 c@9 a@11 b@12 c@13") == ["a@0+b@1+c@2", "a@11+b@12+c@13"]


def test_rounds_stay_on_one_grid():
    assert play("a@0 a@14 a@21 a@29 a@30", "a") == ["a@0", "a@14", "a@21", "a@30"]


def test_a_round_is_one_pass_although_it_is_due_in_the_middle_of_one():
    assert play("a@0 b@1 c@2 a@9 b@11 c@12 a@13 b@14 c@15")[1:] == ["a@13+b@14+c@15"]


def test_what_is_there_is_shown_when_a_name_comes_again_after_a_period():
    assert play("a@0 b@1 a@9 a@10 b@11 a@20") == ["a@0+b@1", "a@10+b@11"]


def test_another_name_begins_a_round_when_the_first_comes_no_more():
    assert play("a@0 b@1 c@2 b@11 c@12 b@13 c@14 b@23 c@24 b@25 c@26") == [
        "a@0+b@1+c@2",
        "b@13+c@14",
    ]


def test_a_round_that_begins_anew_is_due_at_once_and_has_no_part():
    first: Round[int] = Round("ab", 10)
    first.take("a", 1, now=0)
    again = first.anew()

    assert first.due == again.due == float("-inf")
    assert not again.wants("b", now=1)
    assert again.wants("a", now=1)
    again.take("a", 2, now=1)
    assert again.take("b", 3, now=2) == {"a": 2, "b": 3}
    assert again.due == 11


@given(calls=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=60))
def test_no_round_begins_before_its_time_nor_has_a_name_twice(calls):
    seen: list[list[int]] = []
    calls_of_a_round: Round[int] = Round("abc", 10)
    now = 0
    for name, wait in calls:
        now += wait
        if calls_of_a_round.wants(name, now):
            parts = calls_of_a_round.take(name, now, now)
            if parts is not None:
                seen.append(list(parts.values()))
    begins = [min(parts) for parts in seen]
    # At most one frame is made up for, as by a source that is late.
    assert all(later - before >= 10 for before, later in zip(begins, begins[2:], strict=False))
    assert all(max(before) <= min(after) for before, after in pairwise(seen))


# --- first_tensor ------------------------------------------------------------------------------


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
def test_where_there_is_no_tensor_none_is_found(output):
    assert first_tensor(output) is None


# --- Tap ---------------------------------------------------------------------------------------


class Model(nn.Module):
    """Adds one, then doubles in place: the second layer overwrites what the first gave."""

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


class Bench:
    """A tapped model, and all that came of it."""

    def __init__(self) -> None:
        self.model = Model()
        self.rounds: list[dict[str, torch.Tensor]] = []
        self.told: queue.Queue[object] = queue.Queue()
        self.taps: list[Tap] = []

    def tap(self, layer=None, *, fps=OFTEN, select=None, is_watched=True, later=False) -> Tap:
        tap = Tap(
            survey(self.model, layer).layers,
            self.give,
            is_read_later=later,
            select=as_select(select),
            fps=fps,
            errors=ErrorReporter(self.told.put, lambda: self.told.put("recovered")),
            on_captured=lambda: self.told.put("captured"),
        )
        self.taps.append(tap)
        tap.watch(is_watched)
        return tap

    def give(self, parts) -> None:
        self.rounds.append({name: part.values().tensor for name, part in parts.items()})

    def call(self, value: float = 0.0) -> torch.Tensor:
        return self.model(torch.full((2,), value))

    def seen(self) -> list[dict[str, float]]:
        return [{name: part[0].item() for name, part in parts.items()} for parts in self.rounds]


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    for tap in bench.taps:
        tap.close()


def test_what_a_model_gives_is_shown_each_time_it_is_called(bench):
    bench.tap()
    bench.call(0)
    bench.call(1)

    assert bench.seen() == [{"": 4}, {"": 8}]


def test_a_named_layer_is_shown_during_its_call_and_without_a_copy(bench):
    given = []
    bench.give = lambda parts: given.extend(part.tensor.data_ptr() for part in parts.values())
    bench.tap("first")
    outputs = []
    bench.model.first.register_forward_hook(lambda *call: outputs.append(call[2].data_ptr()))
    bench.call()

    assert given == outputs


def test_several_layers_are_shown_together_each_as_it_was_then(bench):
    bench.tap(["first", "second"])
    bench.call(0)
    bench.call(1)

    assert bench.seen() == [{"first": 1, "second": 2}, {"first": 2, "second": 4}]


def test_what_is_read_later_is_copied(bench):
    bench.tap("first", later=True)
    bench.call(0)

    assert bench.seen() == [{"": 1}]


def test_between_due_frames_nothing_is_taken(bench):
    bench.tap(fps=ONCE)
    for value in range(3):
        bench.call(value)

    assert bench.seen() == [{"": 4}]


def test_the_very_first_output_is_given_although_nobody_watches(bench):
    bench.tap(["first", "second"], is_watched=False)
    for value in range(3):
        bench.call(value)

    assert bench.seen() == [{"first": 1, "second": 2}]


def test_the_next_output_is_due_at_once_when_somebody_watches(bench):
    tap = bench.tap(fps=ONCE)
    bench.call(0)
    tap.watch(False)
    bench.call(1)
    tap.watch(True)
    bench.call(2)

    assert bench.seen() == [{"": 4}, {"": 12}]


def test_the_output_does_not_keep_autograds_graph(bench):
    bench.tap()
    loss = bench.call().sum()
    loss.backward()

    assert not bench.rounds[0][""].requires_grad
    assert bench.model.scale.grad.item() == 4


def test_an_output_of_several_tensors_shows_the_first(bench):
    bench.tap(select=lambda output: {"mask": None, "logits": output})
    bench.call()

    assert bench.seen() == [{"": 4}]


def test_select_picks_from_the_output(bench):
    bench.tap(select=slice(1, None))
    bench.call()

    assert bench.rounds[0][""].shape == (1,)


def test_an_output_without_a_tensor_is_told_and_the_model_goes_on(bench):
    bench.tap(select=lambda output: None)
    output = bench.call()

    assert "no tensor in what the tapped module gave" in bench.told.get().problem
    assert output.tolist() == [4, 4]
    assert bench.rounds == []


def test_no_error_gets_into_the_model_and_the_next_good_frame_takes_it_back(bench):
    fails = [True, False]

    def give(parts):
        if fails.pop(0):
            raise RuntimeError("out of memory")

    bench.give = give
    tap = bench.tap()
    bench.call()
    assert bench.told.get().problem == "the tap raised RuntimeError: out of memory"

    tap.watch(False)  # as that makes the next frame due at once
    tap.watch(True)
    bench.call()
    assert bench.told.get() == "recovered"


def test_a_layer_that_keeps_failing_is_told_once_while_the_others_are_shown(bench):
    bench.model.first = nn.Identity()
    bench.model.second = NoTensor()
    tap = bench.tap(["first", "second"])
    for _ in range(3):
        with pytest.raises(TypeError):  # the model's own, after the layer
            bench.call()
        tap.due_s = float("-inf")  # half a second later

    assert bench.seen()
    assert "no tensor" in bench.told.get(timeout=30).problem
    assert bench.told.empty()


def test_no_error_of_who_is_told_gets_into_the_model(bench, caplog):
    def tell(error):
        raise OSError("the kernel has gone")

    bench.told.put = tell
    bench.tap(select=lambda output: None)

    assert bench.call().tolist() == [4, 4]
    assert "the kernel has gone" in caplog.text


def test_an_error_that_has_no_text_is_told_and_the_model_goes_on(bench):
    class OddError(Exception):
        def __str__(self):
            raise RuntimeError

    def select(output):
        raise OddError

    bench.tap(select=select)

    assert bench.call().tolist() == [4, 4]
    assert "OddError" in bench.told.get(timeout=30).problem


def test_the_hook_of_a_module_that_another_thread_is_in_returns_at_once(bench):
    entered, release = threading.Event(), threading.Event()

    def give(parts):
        entered.set()
        assert release.wait(30)

    bench.give = give
    bench.tap()
    other = threading.Thread(target=bench.call)
    other.start()
    assert entered.wait(30)

    assert bench.call().tolist() == [4, 4]
    release.set()
    other.join()


def test_watching_and_closing_do_not_wait_for_a_frame(bench):
    entered, release = threading.Event(), threading.Event()

    def give(parts):
        entered.set()
        assert release.wait(30)

    bench.give = give
    tap = bench.tap()
    other = threading.Thread(target=bench.call)
    other.start()
    assert entered.wait(30)

    tap.watch(False)
    tap.close()
    release.set()
    other.join()
    assert repr(tap) == "<Tap idle layers=1>"


def test_a_tapped_module_that_was_not_called_has_nothing_to_give(bench):
    with pytest.raises(FrameError, match="the tapped module has not been called"):
        bench.tap().ask()


# --- the model is untouched --------------------------------------------------------------------


def test_closing_takes_the_hooks_off(bench):
    tap = bench.tap(["first", "second"])
    tap.close()
    tap.close()
    bench.call()

    assert bench.rounds == []
    assert not any(module._forward_hooks for module in bench.model.modules())


def test_a_closed_tap_keeps_no_output(bench):
    tap = bench.tap(["first", "second"])
    bench.model.second.register_forward_pre_hook(lambda *_: tap.close())
    part = []
    bench.model.first.register_forward_hook(
        lambda *_: part.append(weakref.ref(tap._round._parts["first"].tensor))
    )
    bench.call()
    gc.collect()

    assert part[0]() is None


def test_state_dict_and_output_are_those_of_the_model_alone(bench):
    state, output = str(bench.model.state_dict()), bench.call(3)
    bench.tap(["first", "second"])

    assert str(bench.model.state_dict()) == state
    assert torch.equal(bench.call(3), output)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "pickle"],
)
def test_a_copy_of_a_tapped_model_is_not_tapped(bench, copied):
    bench.tap("first")
    assert b"gpuview" not in pickle.dumps(bench.model.first._forward_hooks)
    twin = copied(bench.model)

    assert twin(torch.zeros(2)).tolist() == [4, 4]
    assert bench.rounds == []
    bench.call()
    assert len(bench.rounds) == 1


def test_a_model_does_not_keep_its_tap_alive(bench):
    tap = weakref.ref(bench.tap())
    bench.taps.clear()
    gc.collect()

    assert tap() is None
    assert bench.call().tolist() == [4, 4]


# --- where there is nothing to look at ---------------------------------------------------------


def test_compiled_code_is_whole_and_calls_no_hook(bench):
    bench.tap("first")
    compiled = torch.compile(bench.model, backend="eager", fullgraph=True)

    assert compiled(torch.zeros(2)).tolist() == [4, 4]
    assert compiled(torch.zeros(2)).tolist() == [4, 4]
    assert bench.rounds == []
    assert bench.told.empty()


def test_what_a_compiled_module_gives_is_shown(bench):
    bench.model = torch.compile(bench.model, backend="eager")
    bench.tap()
    bench.call()

    assert bench.seen() == [{"": 4}]


@pytest.mark.parametrize("strict", [True, False])
def test_a_tapped_model_can_be_exported(bench, strict):
    bench.tap("first")
    torch.export.export(bench.model, (torch.zeros(2),), strict=strict)

    assert bench.rounds == []
    assert bench.told.empty()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tracing_sees_no_hook(bench):
    bench.tap("first")
    traced = torch.jit.trace(bench.model, torch.zeros(2), check_trace=False)

    assert bench.rounds == []
    assert traced(torch.zeros(2)).tolist() == [4, 4]


def test_fx_sees_no_hook(bench):
    def n_nodes(model) -> int:
        return len(make_fx(model)(torch.zeros(2)).graph.nodes)

    count = n_nodes(bench.model)
    bench.tap(["first", "second"])

    assert n_nodes(bench.model) == count
    assert symbolic_trace(nn.Sequential(bench.model))(torch.zeros(2)).tolist() == [4, 4]
    assert bench.rounds == []
    assert bench.told.empty()


def test_transforms_of_torch_func_are_not_looked_into(bench):
    bench.tap("first")
    output = torch.vmap(bench.model)(torch.zeros(3, 2))

    assert output.tolist() == [[4, 4]] * 3
    assert bench.rounds == []
    assert bench.told.empty()


def test_nothing_is_selected_while_a_graph_is_captured(bench, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    selected = []
    bench.tap(select=selected.append)
    bench.call()

    assert bench.told.get(timeout=30) == "captured"
    assert selected == []


# --- on a device -------------------------------------------------------------------------------


@pytest.mark.cuda
def test_an_output_that_is_captured_is_counted_and_its_graph_replays(bench):
    bench.model.cuda()
    bench.tap()
    x = torch.zeros(2, device="cuda")
    bench.model(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = bench.model(x)

    assert bench.told.get(timeout=30) == "captured"
    assert bench.told.empty()
    assert bench.seen() == [{"": 4}]
    x.fill_(1)
    graph.replay()
    assert output.tolist() == [8, 8]


@pytest.mark.cuda
def test_a_copy_is_whole_for_whoever_reads_it_on_another_stream(bench):
    bench.model.cuda()
    given = []
    bench.give = lambda parts: given.append(parts[""])
    bench.tap("first", later=True)
    with torch.cuda.stream(torch.cuda.Stream()):
        x = torch.zeros(2, device="cuda")
        torch.cuda._sleep(100_000_000)
        bench.model(x)

    assert given[0].values().tensor.tolist() == [1, 1]
