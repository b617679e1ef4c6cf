"""Join files: who may read them, what is in one, and what is said of a bad one."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.cluster.join_file import read_join_file, write_join_file
from gpuview.cluster.keys import KeyPair, notebook_keys, run_keys
from gpuview.errors import SettingsError
from gpuview.protocol.join_file import JoinFile

KEYS = run_keys("a run of the tests")
CONTENT = JoinFile(
    run="run1",
    endpoints=["tcp://10.0.0.7:40123", "tcp://[2001:db8::7]:40123", "tcp://127.0.0.1:40123"],
    notebook_key=notebook_keys().public,
    public_key=KEYS.public,
    secret_key=KEYS.secret,
)


def test_what_is_written_is_read_and_only_its_owner_may(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        written = write_join_file(tmp_path / "run1.json", CONTENT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o600
    assert read_join_file(written.path) == CONTENT
    assert os.listdir(tmp_path) == ["run1.json"]


def test_the_usual_folder_is_made_and_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gpuview" / "runs").mkdir(parents=True)
    written = write_join_file(None, CONTENT)
    assert written.path == tmp_path / ".gpuview" / "runs" / "run1.json"
    assert stat.S_IMODE(written.path.parent.stat().st_mode) == 0o700


def test_a_notebook_removes_its_own_file_and_not_the_one_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "run1.json"
    first = write_join_file(path, CONTENT)
    second = write_join_file(path, CONTENT)
    first.remove()
    assert path.exists()
    second.remove()
    assert not path.exists()
    second.remove()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("missing/run.json", "file/run.json"):
        with pytest.raises(SettingsError, match="cannot write the join file") as caught:
            write_join_file(tmp_path / place, CONTENT)
        assert str(tmp_path / place) in caught.value.problem
        assert "stream.join(" in caught.value.fix


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    written = write_join_file(tmp_path / "run1.json", CONTENT)
    written.path.chmod(mode)
    with pytest.raises(SettingsError, match=f"others may read or write: mode {mode:04o}"):
        read_join_file(written.path)


def test_a_missing_file_is_told_from_a_bad_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_join_file(tmp_path / "run1.json")
    with pytest.raises(SettingsError, match="which is no file"):
        read_join_file(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(SettingsError, match="which is no file"):
        read_join_file(tmp_path / "fifo")


def test_a_field_that_is_missing_unknown_or_wrong_is_named_and_no_key_is_shown(
    tmp_path: Path,
) -> None:
    written = write_join_file(tmp_path / "run1.json", CONTENT)
    good = json.loads(written.path.read_text())
    bad: list[tuple[str, object]] = [
        ("run", "../../etc/passwd"),
        ("run", ""),
        ("endpoints", []),
        ("endpoints", ["ipc:///tmp/socket"]),
        ("endpoints", ["tcp://10.0.0.7"]),
        ("notebook_key", "short"),
        ("public_key", 7),
        ("secret_key", KEYS.secret + "x"),
        ("later_field", "of another version"),
        ("type", "Status"),
    ]
    cases = [good | {name: value} for name, value in bad]
    cases += [
        {name: good[name] for name in good if name != left_out}
        for left_out in good.keys() - {"type"}
    ]
    for case in cases:
        written.path.write_text(json.dumps(case))
        with pytest.raises(SettingsError, match="is no join file of this gpuview") as caught:
            read_join_file(written.path)
        assert KEYS.secret not in str(caught.value)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_is_in_a_file_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "run.json"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError):
        read_join_file(path)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.touch(0o600)
    os.truncate(path, 1 << 34)
    with pytest.raises(SettingsError, match="is no join file"):
        read_join_file(path)


def test_no_repr_shows_a_key() -> None:
    for each in (CONTENT, KEYS):
        assert KEYS.secret not in repr(each)
    assert isinstance(KEYS, KeyPair)


def test_a_run_keeps_its_keys_and_shares_them_with_no_other() -> None:
    assert run_keys("one") == run_keys("one")
    assert run_keys("one") != run_keys("other")
    assert len({run_keys("one").public, run_keys("one").secret, notebook_keys().public}) == 3
