"""Modules whose inputs are all optional."""

import threading

import pytest
import torch
from torch import nn

from gpuview.errors import FrameError
from gpuview.sources.context import FrameContexts
from gpuview.sources.hints import SourceHints
from gpuview.sources.parse import parse_source
from gpuview.sources.source import Source, start_source
from tests.sources.recorder import TIMEOUT_S, Recorder


class Transformer(nn.Module):
    """As most of the library transformers: its inputs are optional, and it needs one."""

    def forward(self, pixel_values: torch.Tensor | None = None) -> torch.Tensor:
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        return pixel_values * 2


class Renderer(nn.Module):
    def forward(self, zoom: float = 2.0) -> torch.Tensor:
        return torch.full((4, 4), zoom)


class ProbeHarness(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.source: Source | None = None
        self.waiting: list[str] = []
        self.has_told = threading.Event()

    def start(self, source: object) -> Source:
        self.source = start_source(
            parse_source(source),
            self.frames.put,
            contexts=FrameContexts(),
            select=None,
            why_not=lambda part, batch: "",
            fps=1000,
            errors=self.errors,
            hints=SourceHints(self.waiting.append),
            on_waiting=self.tell,
            on_ended=lambda: None,
            between=lambda: None,
            on_captured=lambda: None,
        )
        return self.source

    def tell(self, hint: str) -> None:
        self.waiting.append(hint)
        self.has_told.set()


@pytest.fixture
def harness():
    harness = ProbeHarness()
    yield harness
    harness.source.close()


def value(frame: object) -> float:
    return getattr(frame, "tensor", frame)[0, 0].item()


def test_a_module_that_raises_without_an_input_is_tapped_and_its_words_are_told(harness):
    model = Transformer()
    harness.start(model).watch(True)
    assert harness.has_told.wait(TIMEOUT_S)
    assert harness.waiting == [
        "call the model (without an input, it raised ValueError: You have to specify pixel_values)"
    ]

    model(torch.ones(4, 4))
    assert value(harness.frame()) == 2
    assert harness.reports.empty()


def test_a_module_that_can_be_called_without_an_input_is_polled(harness):
    harness.start(Renderer()).watch(True)

    assert [value(harness.frame()) for _ in range(3)] == [2, 2, 2]
    assert harness.waiting == []


def test_an_output_before_the_first_view_is_shown_as_that_of_a_tapped_module(harness):
    model = Transformer()
    harness.start(model)
    model(pixel_values=torch.ones(4, 4))

    assert value(harness.frame()) == 2


def test_no_hook_sees_the_call_without_an_input(harness):
    model = Renderer()
    seen = []
    model.register_forward_hook(lambda *call: seen.append(call))
    source = harness.start(model)
    source.watch(True)
    harness.frame()
    source.close()  # when the frame that is being made has been pushed

    # The polled frames are ordinary calls.
    assert len(seen) == harness.frames.qsize() + 1


def test_panels_are_decided_one_by_one(harness):
    model = Transformer()
    harness.start({"a": model, "b": Renderer(), "c": torch.ones(4, 4)}).watch(True)
    frame = harness.frame()
    while list(frame) != ["b", "c"]:
        frame = harness.frame()
    model(torch.ones(4, 4))
    while list(frame) != ["a", "b", "c"]:
        frame = harness.frame()

    assert [value(each) for each in frame.values()] == [2, 2, 1]


@pytest.mark.parametrize("model", [Transformer(), Renderer()])
def test_the_first_frame_can_be_made_in_the_callers_thread(harness, model):
    source = harness.start(model)
    if isinstance(model, Renderer):
        source.ensure_frame()
        assert value(harness.frame()) == 2
    else:
        with pytest.raises(FrameError, match="the tapped module has not been called"):
            source.ensure_frame()


def test_a_stream_that_is_closed_during_the_call_makes_no_frame(harness):
    entered, release = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def forward(self, size: int = 4) -> torch.Tensor:
            entered.set()
            assert release.wait(TIMEOUT_S)
            return torch.zeros(size, size)

    source = harness.start(Slow())
    source.watch(True)
    assert entered.wait(TIMEOUT_S)
    source.close()
    release.set()
    for thread in threading.enumerate():
        if thread.name == "gpuview-probe":
            thread.join(TIMEOUT_S)

    assert harness.frames.empty()
