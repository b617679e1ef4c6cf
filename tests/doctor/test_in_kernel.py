"""The doctor in a cell, beside a stream that holds the only port."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gpuview.testing.kernel import Kernel
from tests.ports import free_port


def test_kernels_process_gets_neither_av_nor_aioice_from_it() -> None:
    code = "import gpuview.doctor, sys; print(sorted({'av', 'aioice', 'aiortc'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.kernel
def test_port_that_the_kernels_own_stream_holds_is_fine() -> None:
    port = free_port()
    with Kernel(env={"GPUVIEW_PORT_MIN": str(port)}) as kernel:
        kernel.run("import torch\nfrom gpuview import GPUStream")
        kernel.run("stream = GPUStream(lambda: torch.zeros(3, 64, 64))\ndisplay(stream)")
        with kernel.view(kernel.stream()) as viewer:
            viewer.next_frame()
            kernel.run("report = GPUStream.doctor()")
            text = kernel.evaluate("report.to_json()")
            (output,) = kernel.run("report")
    checks = {check["name"]: check for check in json.loads(str(text))["checks"]}
    assert checks["UDP ports"]["mark"] == "ok"
    assert "by this kernel's own media process" in checks["UDP ports"]["found"]
    assert checks["inbound UDP"]["mark"] == "skipped"
    assert "<table>" in output["data"]["text/html"]
    assert "UDP ports" in output["data"]["text/plain"]
