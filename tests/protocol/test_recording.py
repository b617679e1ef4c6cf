"""The files of a recording: what is opened, and what is left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuview.protocol.recording import numbered, open_file, open_next_file


@pytest.fixture
def folder_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_later_files_have_numbers() -> None:
    names = [numbered("a.b/run.mp4", number) for number in (1, 2, 10)]
    assert names == ["a.b/run.mp4", "a.b/run-2.mp4", "a.b/run-10.mp4"]


def test_file_that_exists_is_left_as_it_is_unless_it_is_to_be_overwritten(
    tmp_path: Path, folder_fd: int
) -> None:
    path = tmp_path / "run.mp4"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        open_file(folder_fd, "run.mp4", overwrite=False)
    assert path.read_text() == "mine"
    os.close(open_file(folder_fd, "run.mp4", overwrite=True))
    assert path.read_text() == ""


def test_file_that_is_being_recorded_to_is_not_emptied(tmp_path: Path, folder_fd: int) -> None:
    first = open_file(folder_fd, "run.mp4", overwrite=False)
    os.write(first, b"a fragment")
    with pytest.raises(BlockingIOError):
        open_file(folder_fd, "run.mp4", overwrite=True)
    second, number = open_next_file(folder_fd, "run.mp4", 1, overwrite=True)
    assert number == 2
    for fd in (first, second):
        os.close(fd)
    assert (tmp_path / "run.mp4").read_text() == "a fragment"
    os.close(open_file(folder_fd, "run.mp4", overwrite=True))


def test_next_file_skips_names_that_are_taken(tmp_path: Path, folder_fd: int) -> None:
    for taken in (2, 3):
        (tmp_path / f"run-{taken}.mp4").touch()
    fd, number = open_next_file(folder_fd, "run.mp4", 2, overwrite=False)
    os.close(fd)
    assert number == 4
    fd, number = open_next_file(folder_fd, "run.mp4", 2, overwrite=True)
    os.close(fd)
    assert number == 2


def test_pipe_or_folder_is_refused_at_once(tmp_path: Path, folder_fd: int) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "full.mp4").symlink_to("/dev/full")
    for name, text in [("pipe", "No such device"), ("folder", "directory"), ("full", "regular")]:
        with pytest.raises(OSError, match=text):
            open_file(folder_fd, f"{name}.mp4", overwrite=True)
