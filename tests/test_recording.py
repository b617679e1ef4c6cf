"""Recordings as the kernel sees them: what is told to the media process, and what it tells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from gpuview.errors import GpuviewError, MediaEndedError, RecordingError
from gpuview.protocol.media_messages import (
    RecordingEnded,
    RecordingProgress,
    StartRecording,
    StopRecording,
)
from gpuview.protocol.page_messages import Message, Problem
from gpuview.protocol.recording import open_file
from gpuview.protocol.stats import RecordingCounters
from gpuview.recording import Recordings

FULL = Problem(problem="the disk is full", expected="room", fix="make some")


class Media:
    """A stream's recordings, and a media process that says what it is told to say."""

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.failed: list[GpuviewError | None] = []
        self.active: list[bool] = []
        self.replies: list[RecordingProgress | RecordingEnded] = []
        self.recordings = Recordings(
            self._send,
            lambda: 7,
            on_change=lambda: self.active.append(self.recordings.is_active),
            on_failed=self.failed.append,
        )

    def progress(self, number: int = 1, **counters: object) -> None:
        message = RecordingProgress(recording=number, counters=RecordingCounters(**counters))  # type: ignore[arg-type]
        self.recordings.receive(message)

    def ended(self, number: int = 1, problem: Problem | None = None, **counters: object) -> None:
        self.recordings.receive(
            RecordingEnded(
                recording=number,
                counters=RecordingCounters(**counters),  # type: ignore[arg-type]
                problem=problem,
            )
        )

    def _send(self, message: Message, fds: Sequence[int]) -> None:
        self.told.append(message)
        for fd in fds:
            os.fstat(fd)
        if isinstance(message, StartRecording):
            default = RecordingProgress(recording=message.recording)
            self.recordings.receive(self.replies.pop() if self.replies else default)
        if isinstance(message, StopRecording):
            self.ended(message.recording, files=[1], frames=3, nbytes=900)


def n_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_recording_is_told_to_the_media_process_and_so_is_its_end(tmp_path: Path) -> None:
    media = Media()
    before = n_descriptors()
    recording = media.recordings.start(tmp_path / "run.mp4", overwrite=False)
    assert recording.is_open
    assert recording.paths == ()
    assert repr(recording) == "<Recording run.mp4 open frames=0>"
    recording.stop()
    recording.stop()
    assert media.told == [
        StartRecording(recording=1, name="run.mp4", number=1, overwrite=False),
        StopRecording(recording=1, seq=7),
    ]
    assert not recording.is_open
    assert recording.path == tmp_path / "run.mp4"
    assert recording.paths == (tmp_path / "run.mp4",)
    assert (recording.frames, recording.nbytes, recording.packets_dropped) == (3, 900, 0)
    assert repr(recording) == "<Recording run.mp4 closed frames=3>"
    assert media.active == [True, False]
    assert media.failed == [None]
    assert n_descriptors() == before


def test_with_block_stops_the_recording_also_when_it_raises(tmp_path: Path) -> None:
    media = Media()
    with pytest.raises(KeyError), media.recordings.start(tmp_path / "a.mp4", overwrite=False) as it:
        raise KeyError
    assert not it.is_open


def test_path_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = Media()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert media.recordings.start("~/one.mp4", overwrite=False).path == tmp_path / "one.mp4"
    assert media.recordings.start("two.mp4", overwrite=False).path == tmp_path / "two.mp4"
    assert (tmp_path / "two.mp4").exists()


def test_bad_paths_are_refused_with_what_to_do(tmp_path: Path) -> None:
    media = Media()
    (tmp_path / "mine.mp4").write_text("mine")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "busy.mp4").touch()
    before = n_descriptors()
    busy = media.recordings.start(tmp_path / "busy.mp4", overwrite=True)
    for path, overwrite, problem, fix in [
        (3, False, "cannot record to 3: this is of type int", "run.mp4"),
        ("run.avi", False, "cannot record to 'run.avi': only .mp4 files are written", "run.mp4"),
        ("a\0.mp4", False, "characters that no message can carry", "run.mp4"),
        ("a\udcff.mp4", False, "characters that no message can carry", "run.mp4"),
        (tmp_path / "no" / "a.mp4", False, "its folder: No such file", "os.makedirs"),
        (tmp_path / "mine.mp4" / "a.mp4", False, "its folder: Not a directory", "os.makedirs"),
        (tmp_path / "mine.mp4", False, "mine.mp4: the file exists", "overwrite=True"),
        (tmp_path / "folder.mp4", True, "Is a directory", "another path"),
        (tmp_path / ("a" * 300 + ".mp4"), False, "File name too long", "another path"),
    ]:
        with pytest.raises(RecordingError) as refused:
            media.recordings.start(path, overwrite=overwrite)  # type: ignore[arg-type]
        assert problem in refused.value.problem
        assert fix in refused.value.fix
    busy.stop()
    assert n_descriptors() == before
    assert (tmp_path / "mine.mp4").read_text() == "mine"
    assert len(media.told) == 2


def test_file_that_is_being_recorded_to_is_refused(tmp_path: Path) -> None:
    media = Media()
    folder_fd = os.open(tmp_path, os.O_PATH)
    fd = open_file(folder_fd, "run.mp4", overwrite=False)
    with pytest.raises(RecordingError, match="it is being recorded to"):
        media.recordings.start(tmp_path / "run.mp4", overwrite=True)
    os.close(fd)
    os.close(folder_fd)


def test_failure_ends_the_recording_and_is_told_until_another_one_begins(tmp_path: Path) -> None:
    media = Media()
    recording = media.recordings.start(tmp_path / "run.mp4", overwrite=False)
    media.ended(problem=FULL, files=[1], frames=2, packets_dropped=5)
    assert not recording.is_open
    assert isinstance(recording.error, RecordingError)
    assert recording.error.problem == "the disk is full"
    assert repr(recording) == "<Recording run.mp4 failed frames=2 packets_dropped=5>"
    recording.stop()
    assert media.failed == [None, recording.error]
    media.recordings.start(tmp_path / "again.mp4", overwrite=False)
    assert media.failed[-1] is None
    media.ended(number=1)  # said twice, or of another time
    assert recording.error is not None


def test_media_process_that_cannot_record_is_an_error_in_the_cell(tmp_path: Path) -> None:
    media = Media()
    media.replies.append(RecordingEnded(recording=1, problem=FULL))
    with pytest.raises(RecordingError, match="the disk is full"):
        media.recordings.start(tmp_path / "run.mp4", overwrite=False)
    assert not media.recordings.is_active


def test_recording_goes_on_in_another_file_after_the_media_process_has_died(tmp_path: Path) -> None:
    media = Media()
    (tmp_path / "run-3.mp4").touch()
    recording = media.recordings.start(tmp_path / "run.mp4", overwrite=False)
    media.progress(files=[1, 2], frames=10, nbytes=1000)
    media.recordings.resume()
    assert media.told[-1] == StartRecording(recording=1, name="run.mp4", number=4, overwrite=False)
    media.progress(files=[4], frames=5, nbytes=100)
    assert recording.paths == tuple(
        tmp_path / name for name in ("run.mp4", "run-2.mp4", "run-4.mp4")
    )
    assert (recording.frames, recording.nbytes) == (15, 1100)
    assert repr(recording) == "<Recording run.mp4 open frames=15 files=3>"


def test_recording_that_was_being_stopped_does_not_go_on(tmp_path: Path) -> None:
    media = Media()
    recording = media.recordings.start(tmp_path / "run.mp4", overwrite=False)
    recording._is_stopping = True  # and the media process died before it had read that
    media.recordings.resume()
    assert not recording.is_open
    assert len(media.told) == 1


def test_folder_that_is_gone_when_the_recording_is_to_go_on_is_a_failure(tmp_path: Path) -> None:
    media = Media()
    folder = tmp_path / "folder"
    folder.mkdir()
    recording = media.recordings.start(folder / "run.mp4", overwrite=False)
    (folder / "run.mp4").unlink()
    folder.rmdir()
    media.recordings.resume()
    assert recording.error is not None
    assert "its folder: No such file" in recording.error.problem


def test_media_process_that_has_ended_for_good_ends_all_recordings(tmp_path: Path) -> None:
    media = Media()
    recordings = [
        media.recordings.start(tmp_path / f"{name}.mp4", overwrite=False) for name in "ab"
    ]
    error = MediaEndedError("it died", expected="life", fix="another stream")
    media.recordings.end(error)
    assert [each.error for each in recordings] == [error, error]
    assert media.active == [True, True, True, False]


def test_closing_stops_all_recordings(tmp_path: Path) -> None:
    media = Media()
    recordings = [
        media.recordings.start(tmp_path / f"{name}.mp4", overwrite=False) for name in "ab"
    ]
    media.recordings.close()
    assert [each.is_open for each in recordings] == [False, False]


def test_forked_child_waits_for_no_recording_of_its_parent(tmp_path: Path) -> None:
    media = Media()
    recording = media.recordings.start(tmp_path / "run.mp4", overwrite=False)
    media.recordings.abandon()
    recording.stop()
    assert len(media.told) == 1
