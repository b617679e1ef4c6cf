"""What torch says about the GPU."""

from __future__ import annotations

import asyncio
from importlib import metadata

import pytest

from gpuview.doctor import cuda as module
from gpuview.doctor.cuda import check_cuda, judge_cuda


def test_torch_is_asked_in_a_process_of_its_own() -> None:
    check = asyncio.run(check_cuda())
    assert check.mark in ("ok", "remark", "skipped")
    assert metadata.version("torch") in check.found or check.mark == "skipped"


@pytest.mark.parametrize(
    ("code", "mark", "found"),
    [
        ("raise ImportError('libc is too old')", "fail", "ImportError: libc is too old"),
        ("import os; os.abort()", "fail", "torch cannot be imported"),
        ("import time; time.sleep(60)", "skipped", "not imported within 0.5 s"),
    ],
)
def test_torch_that_fails_crashes_or_hangs_harms_nobody(
    monkeypatch: pytest.MonkeyPatch, code: str, mark: str, found: str
) -> None:
    monkeypatch.setattr(module, "_QUERY", code)
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.5 if mark == "skipped" else 30.0)
    check = asyncio.run(check_cuda())
    assert check.mark == mark
    assert found in check.found


@pytest.mark.parametrize(
    ("gpus", "cuda", "driver", "mark", "found"),
    [
        (["NVIDIA H200", "NVIDIA H200"], "12.8", "570.1", "ok", "NVIDIA H200; driver 570.1; "),
        ([], "12.8", "", "remark", "no NVIDIA driver"),
        ([], None, "570.1", "remark", "built without CUDA"),
        ([], "12.8", "570.1", "remark", "finds no GPU"),
    ],
)
def test_cuda_is_judged(
    gpus: list[str], cuda: str | None, driver: str, mark: str, found: str
) -> None:
    check = judge_cuda({"torch": "2.9.0", "cuda": cuda, "gpus": gpus}, driver)
    assert check.mark == mark
    assert found in check.found


@pytest.mark.cuda
def test_gpu_is_found() -> None:
    check = asyncio.run(check_cuda())
    assert check.mark == "ok"
    assert "driver unknown" not in check.found
