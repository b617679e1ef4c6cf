"""The still picture beside a stream's live view."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import gpuview.saved_output
from gpuview.displays import DisplayIds
from gpuview.frames.error_reporter import ErrorReporter
from gpuview.frames.feed import Feed
from gpuview.frames.picture.look import Look
from gpuview.ipykernel_compat import is_run_by_a_program
from gpuview.saved_output import SavedOutput
from tests.fakes import FakeHandle

VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "repr"}
RED = torch.tensor([1.0, 0, 0]).expand(48, 64, 3)


@pytest.fixture
def feed() -> Iterator[Feed]:
    feed = Feed(FakeHandle(), Look(), ErrorReporter(lambda _: None, lambda: None))
    yield feed
    feed.close()


def described(
    feed: Feed,
    ensure_frame: Callable[[], None] = lambda: None,
    labels: tuple[str, ...] = (),
    max_bytes: int = 200_000,
) -> dict[str, Any]:
    return SavedOutput(feed, ensure_frame, labels, max_bytes).described(VIEW, DisplayIds("s"))[0]


def test_the_view_stays_beside_the_picture(feed: Feed) -> None:
    feed.push(RED)
    assert set(described(feed)) == {*VIEW, "image/png"}


def test_a_loop_that_displays_the_stream_again_and_again_is_not_slowed(feed: Feed) -> None:
    feed.push(RED)
    output = SavedOutput(feed, lambda: None, (), 200_000)
    bundles = [output.described(VIEW, DisplayIds("s"))[0] for _ in range(20)]
    assert "image/png" in bundles[0]
    assert set(bundles[-1]) == set(VIEW)
    assert sum("image/png" in each for each in bundles) < 10


def test_without_a_frame_or_a_byte_there_is_no_picture(feed: Feed) -> None:
    assert set(described(feed)) == set(VIEW)
    feed.push(RED)
    assert set(described(feed, max_bytes=0)) == set(VIEW)


def test_the_text_has_the_names_of_the_panels_or_of_the_layer(feed: Feed) -> None:
    assert described(feed)["text/plain"] == "GPUStream, live in a running notebook"
    assert described(feed, labels=("layer3.0",))["text/plain"].startswith("GPUStream of layer3.0, ")
    feed.push({"in": RED, "out": RED})
    assert described(feed, labels=("a",))["text/plain"].startswith(
        "GPUStream of in, out, picture of 2"
    )


def test_the_text_is_bounded(feed: Feed) -> None:
    assert len(described(feed, labels=("long",) * 1000)["text/plain"]) < 250


def test_one_source_that_hangs_is_asked_once(feed: Feed) -> None:
    calls: list[threading.Thread] = []
    may_end = threading.Event()

    def hang() -> None:
        calls.append(threading.current_thread())
        may_end.wait()

    output = SavedOutput(feed, hang, (), 200_000)
    for _ in range(3):
        assert set(output.described(VIEW, DisplayIds("s"))[0]) == set(VIEW)
    assert len(calls) == 1
    may_end.set()
    calls[0].join()


class SlowDrawing:
    """From now on drawing takes until it may end, and a cell waits for no picture."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self._draw = gpuview.saved_output.draw_saved_picture
        monkeypatch.setattr(gpuview.saved_output, "_PATIENCE_S", 0.0)
        monkeypatch.setattr(gpuview.saved_output, "draw_saved_picture", self._draw_slowly)

    def _draw_slowly(self, *args: Any, **options: Any) -> Any:
        self.has_begun.set()
        self.may_end.wait()
        return self._draw(*args, **options)


class TestFrameAfterTheDisplay:
    @pytest.fixture
    def replaced(self, monkeypatch: pytest.MonkeyPatch) -> queue.SimpleQueue[dict[str, Any]]:
        """The outputs that were replaced in a kernel that no program runs."""
        shell = SimpleNamespace(get_parent=dict)
        found: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        monkeypatch.setattr(gpuview.saved_output, "kernel_shell", lambda: shell)
        monkeypatch.setattr(
            gpuview.saved_output, "replace_output", lambda _shell, _id, data, _md: found.put(data)
        )
        return found

    def displayed(self, feed: Feed) -> SavedOutput:
        output = SavedOutput(feed, lambda: None, (), 200_000)
        ids = DisplayIds("s")
        ids.new()
        assert set(output.described(VIEW, ids)[0]) == set(VIEW)
        return output

    @pytest.mark.parametrize("is_early", [False, True])
    def test_it_is_put_in_once_where_the_view_stays(
        self, feed: Feed, replaced: queue.SimpleQueue[dict[str, Any]], is_early: bool
    ) -> None:
        output = self.displayed(feed)
        if is_early:
            output.views_are_kept()
        feed.push(RED)
        output.fill()
        if not is_early:
            assert replaced.empty()
            output.views_are_kept()
        assert set(replaced.get(timeout=30)) == {*VIEW, "image/png"}
        output.fill()
        output.views_are_kept()
        output.close()
        assert set(replaced.get(timeout=30)) == {"text/plain", "image/png"}
        assert replaced.empty()

    def test_the_output_is_left_alone_where_its_view_would_be_drawn_anew(
        self, feed: Feed, replaced: queue.SimpleQueue[dict[str, Any]]
    ) -> None:
        output = self.displayed(feed)
        feed.push(RED)
        output.fill()
        output.close()
        assert set(replaced.get(timeout=30)) == {"text/plain", "image/png"}
        assert replaced.empty()

    def test_the_last_picture_is_put_in_however_slow_the_machine_is(
        self,
        feed: Feed,
        replaced: queue.SimpleQueue[dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        output = self.displayed(feed)
        feed.push(RED)
        drawing = SlowDrawing(monkeypatch)
        output.views_are_kept()
        assert drawing.has_begun.wait(30)
        closing = threading.Thread(target=output.close, daemon=True)
        closing.start()
        drawing.may_end.set()
        closing.join(30)
        newest = [replaced.get(timeout=30) for _ in range(replaced.qsize())][-1]
        assert set(newest) == {"text/plain", "image/png"}

    def test_a_picture_that_the_display_did_not_wait_for_is_put_in_once_it_is_drawn(
        self,
        feed: Feed,
        replaced: queue.SimpleQueue[dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        feed.push(RED)
        drawing = SlowDrawing(monkeypatch)
        output = self.displayed(feed)
        assert drawing.has_begun.wait(30)
        output.views_are_kept()
        drawing.may_end.set()
        assert set(replaced.get(timeout=30)) == {*VIEW, "image/png"}
        output.close()


@pytest.mark.parametrize(
    ("content", "software", "expected"),
    [
        ({"allow_stdin": False}, "", True),
        ({"allow_stdin": True}, "", False),
        ({}, "", False),
        ({"allow_stdin": False}, "voila/0.5.13", False),
    ],
)
def test_only_a_program_that_takes_no_input_and_is_not_voila_is_nbclient(
    monkeypatch: pytest.MonkeyPatch, content: dict[str, object], software: str, expected: bool
) -> None:
    monkeypatch.setenv("SERVER_SOFTWARE", software)
    assert is_run_by_a_program(SimpleNamespace(get_parent=lambda: {"content": content})) is expected
