"""Encoders, CUDA, packages and limits."""

from __future__ import annotations

import asyncio
from importlib import metadata

import pytest

from gpuview.doctor import machine
from gpuview.doctor.machine import (
    check_buffers,
    check_cuda,
    check_encoders,
    check_packages,
    judge_buffers,
    judge_cuda,
    judge_packages,
)
from gpuview.errors import MediaError
from gpuview.media.encode.codec import Codec


def test_every_codec_that_viewers_negotiate_encodes_here() -> None:
    marks = {check.name: check.mark for check in check_encoders()}
    names = ["H264 Main", "H264 Constrained Baseline", "VP8"]
    assert [marks[f"encoder {name}"] for name in names] == ["ok"] * 3
    assert marks["encoder NVENC"] in ("ok", "skipped")


def test_missing_encoder_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(codec: Codec) -> int:
        raise MediaError(f"cannot open {codec}", expected="an encoder", fix="show less")

    monkeypatch.setattr(machine, "encode_one_frame", fail)
    check = check_encoders()[0]
    assert (check.mark, check.found) == ("fail", "cannot open H264 Main")
    assert check.fix == "reinstall PyAV: pip install --force-reinstall av"


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
    monkeypatch.setattr(machine, "_ASK_TORCH", code)
    monkeypatch.setattr(machine, "_CUDA_TIMEOUT_S", 0.5 if mark == "skipped" else 30.0)
    check = asyncio.run(check_cuda())
    assert check.mark == mark
    assert found in check.found


@pytest.mark.parametrize(
    ("gpus", "cuda", "driver", "mark", "found"),
    [
        (["NVIDIA H200", "NVIDIA H200"], "12.8", "570.1", "ok", "NVIDIA H200; driver 570.1; "),
        ([], "12.8", "", "remark", "no NVIDIA driver"),
        ([], None, "570.1", "remark", "built without it"),
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


# --- packages -----------------------------------------------------------------------------------

REQUIRED = ["aioice<0.14,>=0.13", "ipykernel!=7.0.*,>=6.29", 'pytest>=8.3; extra == "testing"']
GOOD = {
    "aioice": "0.13.2",
    "aiortc": "1.16.0",
    "anywidget": "0.11.0",
    "av": "18.1.0",
    "ipykernel": "7.1.0",
    "ipywidgets": "8.1.5",
    "jupyterlab": "4.4.1",
    "jupyterlab-widgets": "3.0.13",
}


def test_packages_of_this_environment_are_good() -> None:
    (check,) = check_packages()
    assert check.mark == "ok"
    assert f"av {metadata.version('av')}" in check.found


def test_good_packages_are_one_line() -> None:
    (check,) = judge_packages(REQUIRED, GOOD.get)
    assert (check.name, check.mark) == ("packages", "ok")
    assert check.found == "ipykernel 7.1.0, anywidget 0.11.0, aiortc 1.16.0, av 18.1.0"


@pytest.mark.parametrize(
    ("name", "version", "mark", "fix"),
    [
        ("ipykernel", "7.0.1", "fail", "pip install 'ipykernel!=7.0.*,>=6.29'"),
        ("ipykernel", "6.20", "fail", "pip install 'ipykernel!=7.0.*,>=6.29'"),
        ("aioice", "0.14.0", "fail", "pip install 'aioice<0.14,>=0.13'"),
        ("aioice", None, "fail", "pip install 'aioice<0.14,>=0.13'"),
        ("ipywidgets", "7.8.5", "fail", "pip install 'ipywidgets>=8'"),
        ("jupyterlab", "3.6.8", "fail", "pip install 'jupyterlab>=4'"),
        ("notebook", "6.5.7", "fail", "pip install 'notebook>=7'"),
        ("jupyterlab-widgets", "1.1.11", "fail", "pip install 'jupyterlab-widgets>=3'"),
        ("jupyterlab-widgets", None, "remark", "pip install ipywidgets, there"),
    ],
)
def test_package_that_is_known_to_be_bad_is_named(
    name: str, version: str | None, mark: str, fix: str
) -> None:
    installed = {**GOOD, name: version}
    bad = judge_packages(REQUIRED, installed.get)[-1]
    assert (bad.name, bad.mark, bad.fix) == (f"package {name}", mark, fix)
    assert (version or "not") in bad.found


# --- limits -------------------------------------------------------------------------------------


def test_buffers_are_measured() -> None:
    assert check_buffers().mark in ("ok", "remark")


def test_small_buffers_are_remarked_on_with_the_command() -> None:
    granted = {"net.core.rmem_max": 212992, "net.core.wmem_max": 4194304}
    check = judge_buffers(granted)
    assert check.mark == "remark"
    assert check.fix == "sysctl -w net.core.rmem_max=4194304"
    assert judge_buffers({"net.core.rmem_max": 4194304}).mark == "ok"
