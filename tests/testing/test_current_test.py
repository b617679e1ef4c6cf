"""Who has a viewer, and where a test's pictures go."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from gpuview.testing.current_test import (
    close_all,
    naming,
    noting_viewers,
    opened,
    save_picture,
)


class Viewer:
    """Notes that it was closed."""

    def __init__(self, closed: list[Viewer], *, fails: bool = False) -> None:
        self._closed = closed
        self._fails = fails

    def close(self) -> None:
        self._closed.append(self)
        if self._fails:
            raise OSError("it cannot be closed")


def test_a_viewer_belongs_to_the_innermost_block() -> None:
    closed: list[Viewer] = []
    inner_one, outer_one = Viewer(closed), Viewer(closed)
    with noting_viewers() as outer:
        with noting_viewers() as inner:
            opened(inner_one)
        opened(outer_one)
        assert list(inner) == [inner_one]
    assert list(outer) == [outer_one]


def test_a_block_that_opens_none_takes_none() -> None:
    viewer = Viewer([])
    with noting_viewers() as outer:
        with noting_viewers():
            pass
        opened(viewer)
    assert list(outer) == [viewer]


def test_viewers_are_closed_in_reverse_even_if_one_fails() -> None:
    closed: list[Viewer] = []
    viewers = [Viewer(closed), Viewer(closed, fails=True), Viewer(closed)]
    with pytest.raises(OSError, match="cannot be closed"):
        close_all(viewers)
    assert closed == viewers[::-1]


def test_pictures_are_named_after_the_test_and_do_not_replace_each_other(tmp_path: Path) -> None:
    with naming("tests/test_a.py::test_b[1/2-ü]", lambda: tmp_path / "new"):
        saved = [save_picture(b"one"), save_picture(b"two")]
    paths = [tmp_path / "new" / f"tests-test_a.py-test_b-1-2-ü-{n}.png" for n in (1, 2)]
    assert saved == [str(path) for path in paths]
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]


def test_a_name_of_any_length_has_a_file(tmp_path: Path) -> None:
    with naming("x" * 1000, lambda: tmp_path):
        assert Path(save_picture(b"one")).exists()


def test_outside_of_tests_there_is_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with naming("before", lambda: tmp_path / "named"):
        pass
    monkeypatch.setattr("gpuview.testing.current_test._place", None)
    path = Path(save_picture(b"one"))
    assert path.parent.parent == tmp_path
    assert path.parent.name.startswith("gpuview-")


def test_a_folder_that_cannot_be_written_is_said_and_hides_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with naming("test", lambda: tmp_path / "file" / "folder"):
        assert save_picture(b"one").startswith("(it could not be saved: [Errno 20]")
