"""The check "CUDA": does torch find the GPU?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from gpuview.doctor.report import Check

__all__ = ["check_cuda", "judge_cuda"]

_TIMEOUT_S = 8.0
_QUERY = """
import json, torch
n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
gpus = [torch.cuda.get_device_name(i) for i in range(n_gpus)]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}))
"""


async def check_cuda() -> Check:
    """Query torch in a process of its own, because its import takes seconds and may crash."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _QUERY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        return Check("CUDA", "skipped", f"torch was not imported within {_TIMEOUT_S:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        answer = json.loads(stdout)
    except ValueError:
        last_line = stderr.decode(errors="replace").strip().rpartition("\n")[2][-200:]
        return Check("CUDA", "fail", f"torch cannot be imported: {last_line}", "pip install torch")
    return judge_cuda(answer, _driver())


def judge_cuda(torch: Mapping[str, object], driver: str) -> Check:
    """Judge torch's answer. Pure.

    Args:
        torch: The version of ``torch``, that of ``cuda`` (None in a build without CUDA), and the
            names of the ``gpus``.
        driver: NVIDIA's driver version; empty without a driver.
    """
    version, gpus = f"torch {torch['torch']}", torch["gpus"]
    if isinstance(gpus, list) and gpus:
        found = f"{', '.join(sorted(set(gpus)))}; driver {driver or 'unknown'}; {version}"
        return Check("CUDA", "ok", found)
    if not driver:
        return Check("CUDA", "remark", f"no NVIDIA driver; frames come from the CPU; {version}")
    if torch["cuda"] is None:
        fix = "install a build for CUDA, see https://pytorch.org/get-started"
        return Check("CUDA", "remark", f"driver {driver}, but {version} is built without CUDA", fix)
    fix = "nvidia-smi; in a container also --gpus all"
    return Check("CUDA", "remark", f"driver {driver}, but {version} finds no GPU", fix)


def _driver() -> str:
    """Read ``NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue ...``."""
    with contextlib.suppress(OSError):
        words = Path("/proc/driver/nvidia/version").read_text().partition("\n")[0].split()
        return next((word for word in words if word[0].isdigit() and "." in word), "")
    return ""
