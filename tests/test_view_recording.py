"""The recording that a view's button starts and stops."""

from __future__ import annotations

import queue
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpuview.errors import RecordingError
from gpuview.view_recording import RecordingState, ViewRecording

FIRST = f"gpuview-{date.today():%Y-%m-%d}-1.mp4"


class Started:
    """Stands in for `GPUStream.record`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.chdir(folder)
        self.recordings: list[Any] = []
        self.error: RecordingError | None = None
        self.said: queue.SimpleQueue[RecordingState] = queue.SimpleQueue()
        self.asked = ViewRecording(self.start, self.said.put)

    def start(self, path: Path) -> Any:
        if self.error is not None:
            raise self.error
        made = SimpleNamespace(path=path, paths=(path,), is_open=True, nbytes=0, error=None)
        made.stop = lambda: setattr(made, "is_open", False)
        self.recordings.append(made)
        return made

    def hear(self) -> tuple[str, str]:
        state = self.said.get(timeout=30)
        return state["state"], state["text"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Started:
    return Started(monkeypatch, tmp_path)


def test_it_goes_to_the_working_directory_under_a_name_of_the_kernels(
    started: Started, tmp_path: Path
) -> None:
    started.asked.ask(True)
    assert started.hear() == ("on", FIRST)
    (recording,) = started.recordings
    assert recording.path == tmp_path / FIRST
    started.asked.ask(False)
    assert started.hear() == ("saved", FIRST)
    assert not recording.is_open


def test_a_name_that_is_taken_is_left_alone(started: Started, tmp_path: Path) -> None:
    (tmp_path / FIRST).touch()
    started.asked.ask(True)
    assert started.hear() == ("on", FIRST.replace("-1.mp4", "-2.mp4"))
    started.asked.ask(False)
    started.hear()


def test_there_is_one_at_a_time(started: Started) -> None:
    for _ in range(3):
        started.asked.ask(True)
    started.hear()
    started.asked.ask(True)
    started.asked.ask(False)
    assert started.hear()[0] == "saved"
    assert len(started.recordings) == 1


def test_one_that_was_forgotten_ends_by_its_size(started: Started) -> None:
    started.asked.ask(True)
    started.hear()
    started.recordings[0].nbytes = 2_000_000_000
    assert started.hear() == ("saved", FIRST)


def test_pages_are_told_why_there_is_none(started: Started) -> None:
    started.error = RecordingError("the disk is full", expected="room", fix="make room")
    started.asked.ask(True)
    assert started.hear() == ("failed", "the disk is full")
    started.asked.ask(False)


def test_pages_are_told_why_it_ended(started: Started) -> None:
    started.asked.ask(True)
    started.hear()
    (recording,) = started.recordings
    recording.error = RecordingError("the disk is full", expected="room", fix="make room")
    recording.is_open = False
    assert started.hear() == ("failed", "the disk is full")


def test_without_a_frame_there_is_no_file(started: Started) -> None:
    started.asked.ask(True)
    started.hear()
    started.recordings[0].paths = ()
    started.asked.ask(False)
    assert started.hear() == ("failed", "no frame came")
