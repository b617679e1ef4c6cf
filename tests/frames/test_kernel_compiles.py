"""The Triton kernels, compiled for GPUs that are not there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PIXEL_NBYTES = {"u8": 1, "fp16": 2, "fp32": 4}

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="here is no Triton"),
]


@pytest.fixture(scope="module", params=[80, 90])
def kernels(request, tmp_path_factory) -> dict[str, Any]:
    """What came out, for compute capability 8.0 (A100) and 9.0 (H100, H200)."""
    environment = {
        "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton")),
        "PATH": "/usr/bin",
        "PYTHONPATH": os.pathsep.join(sys.path),  # the gpuview that this process tests
    }
    command = [sys.executable, "-m", "tests.frames.compile_kernels", str(request.param)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_kernel_keeps_its_pixels_on_the_stack(kernels):
    """Some bytes of it hold predicates; those of eight pixels would be a hundred or more."""
    assert max(used["STACK"] + used["LOCAL"] for used in kernels.values()) <= 32


def test_pixel_for_pixel_a_processor_holds_at_least_512_threads(kernels):
    registers = {name: used["REG"] for name, used in kernels.items() if "planar" in name}
    assert max(registers.values()) <= 65_536 // 512, registers


@pytest.mark.parametrize("dtype", PIXEL_NBYTES)
def test_planes_are_read_in_the_widest_pieces(kernels, dtype):
    """Eight pixels of two rows and three channels: 16 bytes at a time, or all eight of uint8."""
    accesses = kernels[f"planar {dtype}"]["accesses"]
    nbytes = 8 * PIXEL_NBYTES[dtype]
    wide = "ld.global.v4.b32" if nbytes >= 16 else "ld.global.v2.b32"
    assert accesses[wide] == 2 * 3 * max(1, nbytes // 16)


@pytest.mark.parametrize("dtype", PIXEL_NBYTES)
def test_a_thread_writes_its_part_of_each_plane_in_one_piece(kernels, dtype):
    accesses = kernels[f"planar {dtype}"]["accesses"]
    assert accesses["st.global.v2.b32"] == 2 * 4  # two rows of luma, red, green, blue
    assert accesses["st.global.b32"] == 2  # Cb and Cr
