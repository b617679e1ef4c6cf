"""Streams play where a sandbox forbids system calls, as an old Docker does: by a real filter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel
from tests.kernel.conftest import PULL

pytestmark = pytest.mark.kernel

CALLS = "memfd_create,pidfd_open"
SEES = """
import errno, os
def code_of(call):
    try:
        os.close(call())
    except OSError as exc:
        return errno.errorcode[exc.errno]
codes = [code_of(lambda: os.memfd_create("any")), code_of(lambda: os.pidfd_open(os.getpid()))]
"""


@pytest.mark.parametrize("code", ["EPERM", "ENOSYS"])
def test_stream_plays_without_memfd_create_and_pidfd_open(code: str) -> None:
    sandbox = [sys.executable, str(Path(__file__).with_name("forbidding.py")), code, CALLS]
    if subprocess.run([*sandbox, "true"], capture_output=True, check=False).returncode:
        pytest.skip("has no seccomp filters")
    with Kernel(prefix=sandbox) as kernel:
        kernel.run(SEES)
        assert kernel.evaluate("codes") == [code, code]
        kernel.run(PULL)
        viewer = kernel.view(kernel.stream())
        viewer.frames(3)
        kernel.run("from gpuview.doctor.shared_memory import check_shared_memory")
        found = kernel.evaluate("check_shared_memory().found")
        assert "memfd_create is not permitted; files in /dev/shm" in found
