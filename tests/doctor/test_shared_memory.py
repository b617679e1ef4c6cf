"""What a stream's frames are carried in, or what this Python lacks for it."""

from __future__ import annotations

import os

import pytest

from gpuview.doctor.shared_memory import check_shared_memory, judge_shared_memory


def forbid(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_memory_is_there() -> None:
    check = check_shared_memory()
    assert (check.mark, check.found) == ("ok", "by memfd_create")


def test_sandbox_that_forbids_memfds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "memfd_create", forbid)
    assert "memfd_create is not permitted; files in /dev/shm" in check_shared_memory().found


def test_python_without_eventfds_fails_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd")
    check = check_shared_memory()
    assert check.mark == "fail"
    assert "eventfd" in check.found
    assert check.fix == "run the kernel with another build of Python"


@pytest.mark.parametrize(
    ("path", "free_mb", "mark"),
    [
        ("/memfd:gpuview (deleted)", 0, "ok"),
        ("/dev/shm/#123 (deleted)", 1024, "ok"),
        ("/dev/shm/#123 (deleted)", 64, "remark"),
        ("/tmp/#123 (deleted)", 10**6, "remark"),
    ],
)
def test_small_memory_and_a_disk_are_remarked_on(path: str, free_mb: int, mark: str) -> None:
    check = judge_shared_memory(path, free_mb)
    assert check.mark == mark
    assert bool(check.fix) == (mark == "remark")
