"""Questions about values are answered on a thread of their own, within bounds."""

from __future__ import annotations

import base64
import gc
import threading
import weakref
from collections.abc import Iterator
from io import BytesIO

import pytest
import torch
from PIL import Image

from gpuview.frames.error_reporter import ErrorReporter
from gpuview.frames.feed import Feed
from gpuview.frames.picture.look import Look
from gpuview.interaction.inspector import Inspector
from gpuview.interaction.interactions import Interactions
from gpuview.protocol.interaction_messages import (
    Element,
    Freeze,
    GetElement,
    GetRegion,
    GetStatistics,
    Region,
    Statistics,
    ToView,
)
from tests.frames.discard import DiscardingSink
from tests.waiting import wait_until


def nothing(_: object) -> None:
    """Take what nobody looks at."""


class Stream:
    """A feed whose values views can ask for."""

    def __init__(self) -> None:
        errors = ErrorReporter(nothing, lambda: None)
        self.feed = Feed(DiscardingSink(), Look(value_range=(0, 1)), errors)
        self.interactions = Interactions(nothing)
        self.inspector = Inspector(self.feed, self.interactions)
        self.told: list[ToView] = []

    def ask(self, question, view: str = "v") -> None:
        self.inspector._ask(question, self.told.append)

    def answer(self, question) -> ToView:
        """Ask, and wait for the answer to this question."""
        self.ask(question)
        return self.wait_for(question.seq)

    def wait_for(self, seq: int) -> ToView:
        def found() -> list[ToView]:
            return [each for each in self.told if each.seq == seq]

        wait_until(lambda: bool(found()), f"the answer {seq}", describe=lambda: str(self.told))
        return found()[0]

    def wait_until_rests(self) -> None:
        wait_until(lambda: self.inspector._thread is None, "all is answered")


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    yield stream
    stream.inspector.close()
    stream.feed.close()
    stream.wait_until_rests()


def element(seq: int, x: float = 0.5, y: float = 0.5, view: str = "v") -> GetElement:
    return GetElement(view=view, seq=seq, x=x, y=y)


def test_before_the_first_frame_there_is_nothing(stream):
    assert stream.answer(element(1)) == Element(view="v", seq=1)
    assert stream.answer(GetStatistics(view="v", seq=2, x=0, y=0, to_x=1, to_y=1)).index == ""
    region = GetRegion(view="v", seq=3, x=0, y=0, width=1, height=1, pixel_width=9, pixel_height=9)
    assert stream.answer(region) == Region(view="v", seq=3)


def test_the_newest_frame_answers(stream):
    for value in (0.25, 0.75):
        stream.feed.push(torch.full((8, 8), value))
        found = stream.answer(element(int(value * 100)))
        assert isinstance(found, Element)
        assert (found.values, found.dtype, found.is_frozen) == ([str(value)], "float32", False)
    box = stream.answer(GetStatistics(view="v", seq=3, x=0, y=0, to_x=1, to_y=1))
    assert isinstance(box, Statistics)
    assert (box.n, box.mean, sum(box.counts)) == (64, "0.75", 64)


def test_a_region_comes_in_pieces_that_fit_the_pipe(stream):
    stream.feed.push(torch.rand(3, 300, 400))
    stream.ask(
        GetRegion(view="v", seq=1, x=0, y=0, width=1, height=1, pixel_width=400, pixel_height=300)
    )
    stream.wait_until_rests()
    pieces = [each for each in stream.told if isinstance(each, Region)]
    png = b"".join(base64.b64decode(each.data) for each in pieces)

    assert len(pieces) > 3
    assert all(len(each.data) < 60_000 for each in pieces)
    assert (len(png), Image.open(BytesIO(png)).size) == (pieces[0].nbytes, (400, 300))


def test_a_frozen_view_keeps_its_frame_and_others_go_on(stream):
    buffer = torch.zeros(8, 8)
    stream.feed.push(buffer)
    stream.ask(Freeze(view="v", is_on=True))
    stream.wait_until_rests()
    buffer.fill_(0.5)  # in place, as training loops do
    stream.feed.push(buffer)

    kept, other = stream.answer(element(1)), stream.answer(element(2, view="w"))
    assert (kept.values, kept.is_frozen) == (["0.0"], True)
    assert (other.values, other.is_frozen) == (["0.5"], False)
    stream.ask(Freeze(view="v", is_on=False))
    assert stream.answer(element(3)).values == ["0.5"]


@pytest.mark.parametrize("end", ["unfreeze", "view gone", "close"])
def test_a_frozen_frame_is_released(stream, end):
    stream.feed.push(torch.zeros(8, 8))
    stream.ask(Freeze(view="v", is_on=True))
    stream.wait_until_rests()
    kept = weakref.ref(stream.inspector._frozen["v"])
    if end == "unfreeze":
        stream.ask(Freeze(view="v", is_on=False))
        stream.wait_until_rests()
    elif end == "view gone":
        stream.inspector.keep_views(["w"])
    else:
        stream.inspector.close()
    gc.collect()
    assert kept() is None


def test_who_rests_keeps_no_old_frame_alive(stream):
    tensor = torch.zeros(8, 8)
    old = weakref.ref(tensor)
    stream.feed.push(tensor)
    stream.answer(element(1))
    stream.wait_until_rests()
    stream.feed.push(torch.ones(8, 8))
    del tensor
    gc.collect()
    assert old() is None


def test_many_views_freeze_a_bounded_number_of_frames(stream):
    stream.feed.push(torch.zeros(8, 8))
    for at in range(50):
        stream.ask(Freeze(view=f"v{at}", is_on=True))
    stream.wait_until_rests()
    assert 0 < len(stream.inspector._frozen) <= 8


def test_a_million_questions_are_bounded_and_the_newest_is_answered(stream):
    gate, is_busy = threading.Event(), threading.Event()

    def hold(_: ToView) -> None:
        is_busy.set()
        gate.wait()

    stream.feed.push(torch.zeros(8, 8))
    stream.inspector._ask(element(0, view="gate"), hold)
    is_busy.wait()
    question = element(1)
    for _ in range(1_000_000):
        stream.inspector._ask(question, stream.told.append)
    for at in range(1000):
        stream.ask(element(1, view=f"v{at}"))
    stream.ask(element(2))
    assert len(stream.inspector._questions) <= 64
    gate.set()
    stream.wait_for(2)
    stream.wait_until_rests()
    assert len(stream.told) <= 64


@pytest.mark.parametrize("bad", [1e9, -1e9, 1.0, -1e-9])
def test_a_place_beyond_the_picture_holds_nothing(stream, bad):
    stream.feed.push(torch.zeros(8, 8))
    assert stream.answer(element(1, x=bad)).index == ""
    box = GetStatistics(view="v", seq=2, x=0.5, y=0.5, to_x=bad, to_y=bad)
    assert stream.answer(box).n > 0
    region = GetRegion(
        view="v", seq=3, x=bad, y=bad, width=1e9, height=-1e9, pixel_width=9, pixel_height=9
    )
    assert stream.answer(region).nbytes == 0


def test_an_error_of_the_users_select_is_the_answer_and_the_next_question_goes_on(stream):
    def select(_: object) -> torch.Tensor:
        if is_broken:
            raise KeyError("x")
        return torch.ones(8, 8)

    is_broken = False
    stream.feed.push(torch.zeros(8, 8), select)
    is_broken = True
    found = stream.answer(element(1))
    assert "x" in found.problem
    assert found.index == ""
    is_broken = False
    assert stream.answer(element(2)).values == ["1.0"]
