"""What is looked at on this machine: encoders, CUDA, packages, limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gpuview.doctor.encoders import can_use_nvenc, encode_one_frame
from gpuview.doctor.report import Check
from gpuview.errors import MediaError
from gpuview.media.encode.codec import Codec

__all__ = [
    "check_buffers",
    "check_cuda",
    "check_encoders",
    "check_packages",
    "judge_buffers",
    "judge_cuda",
    "judge_packages",
]

_CODECS = (Codec("H264", "Main"), Codec("H264", "Constrained Baseline"), Codec("VP8"))
_CUDA_TIMEOUT_S = 8.0
_WANTED_BUFFER_NBYTES = 4 * 1024 * 1024  # as `gpuview.media.ice.sockets` asks for
_LIMITS = {"net.core.rmem_max": socket.SO_RCVBUF, "net.core.wmem_max": socket.SO_SNDBUF}

# --- encoders -----------------------------------------------------------------------------------


def check_encoders() -> list[Check]:
    """Encode a picture with each codec; some 50 ms."""
    return [_check_encoder(codec) for codec in _CODECS] + [_check_nvenc()]


def _check_encoder(codec: Codec) -> Check:
    name = f"encoder {codec}"
    try:
        nbytes = encode_one_frame(codec)
    except MediaError as exc:
        return Check(name, "fail", exc.problem, "reinstall PyAV: pip install --force-reinstall av")
    return Check(name, "ok", f"encodes; a black 640x360 picture takes {nbytes} bytes")


def _check_nvenc() -> Check:
    if can_use_nvenc():
        return Check("encoder NVENC", "ok", "there is one; gpuview encodes on the CPU all the same")
    return Check("encoder NVENC", "skipped", "not on this machine; gpuview encodes on the CPU")


# --- CUDA ---------------------------------------------------------------------------------------

_ASK_TORCH = """
import json, torch
has_cuda = torch.cuda.is_available()
print(json.dumps({
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if has_cuda else [],
}))
"""


async def check_cuda() -> Check:
    """Ask torch, in a process of its own: its import takes seconds and may crash."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _ASK_TORCH,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_CUDA_TIMEOUT_S):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        return Check("CUDA", "skipped", f"torch was not imported within {_CUDA_TIMEOUT_S:g} s")
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
    """Say what torch's answer means.

    Args:
        torch: ``torch`` and ``cuda``, two versions, the latter may be None; ``gpus``, names.
        driver: NVIDIA's driver in this system, a version; empty where there is none.
    """
    version, gpus = f"torch {torch['torch']}", torch["gpus"]
    if isinstance(gpus, list) and gpus:
        found = f"{', '.join(sorted(set(gpus)))}; driver {driver or 'unknown'}; {version}"
        return Check("CUDA", "ok", found)
    if not driver:
        return Check("CUDA", "remark", f"no NVIDIA driver; frames come from the CPU; {version}")
    if torch["cuda"] is None:
        fix = "install a build for CUDA, see https://pytorch.org/get-started"
        return Check("CUDA", "remark", f"driver {driver}, but {version} is built without it", fix)
    fix = "nvidia-smi; in a container also --gpus all"
    return Check("CUDA", "remark", f"driver {driver}, but {version} finds no GPU", fix)


def _driver() -> str:
    """Read ``NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue ...``."""
    with contextlib.suppress(OSError):
        words = Path("/proc/driver/nvidia/version").read_text().partition("\n")[0].split()
        return next((word for word in words if word[0].isdigit() and "." in word), "")
    return ""


# --- packages -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """A package that gpuview does not ask for by itself, and what of it is known to be bad."""

    name: str
    good: str
    why: str


_KNOWN = (
    _Known("ipywidgets", ">=8", "older ones show anywidget's views as text"),
    _Known("jupyterlab", ">=4", "older ones do not load anywidget's modules"),
    _Known("jupyterlab-widgets", ">=3", "JupyterLab's half of ipywidgets 8"),
    _Known("notebook", ">=7", "older ones do not load anywidget's modules"),
)
_LAB_SIDE = "jupyterlab-widgets"


def check_packages() -> list[Check]:
    """Compare what is installed with what gpuview needs, and with what is known to be bad."""
    return judge_packages(metadata.requires("gpuview") or [], _installed)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def judge_packages(required: list[str], version_of: Callable[[str], str | None]) -> list[Check]:
    """Say which packages are of a wrong version.

    Args:
        required: The requirements of gpuview itself, ``"aioice<0.14,>=0.13"``.
        version_of: The version of a package; None where it is not installed.
    """
    requirements = [Requirement(text) for text in required]
    wanted = [each for each in requirements if each.marker is None or each.marker.evaluate()]
    bad = [
        check
        for each in wanted
        if (check := _judge(each.name, each.specifier, version_of(each.name), "")) is not None
    ]
    for known in _KNOWN:
        version = version_of(known.name)
        if version is not None:
            check = _judge(known.name, SpecifierSet(known.good), version, known.why)
            bad += [check] if check is not None else []
    if version_of(_LAB_SIDE) is None:
        bad.append(_lab_side_missing())
    if any(check.mark == "fail" for check in bad):
        return bad
    names = ("ipykernel", "anywidget", "aiortc", "av")
    found = ", ".join(f"{name} {version_of(name)}" for name in names)
    return [Check("packages", "ok", found), *bad]


def _judge(name: str, good: SpecifierSet, version: str | None, why: str) -> Check | None:
    if version is not None and good.contains(version, prereleases=True):
        return None
    found = f"{version or 'not installed'}; needed is {good}{why and ': ' + why}"
    return Check(f"package {name}", "fail", found, f"pip install '{name}{good}'")


def _lab_side_missing() -> Check:
    return Check(
        f"package {_LAB_SIDE}",
        "remark",
        "not in this environment; the environment that JupyterLab runs in needs it",
        "pip install ipywidgets, there",
    )


# --- limits -------------------------------------------------------------------------------------


def check_buffers() -> Check:
    """Look at how much a UDP socket may hold: a keyframe for ten viewers leaves in one burst."""
    return judge_buffers({name: _granted(option) for name, option in _LIMITS.items()})


def judge_buffers(granted_nbytes: Mapping[str, int]) -> Check:
    """Say whether the buffers that the system grants are enough, by the names of their limits."""
    small = {name: size for name, size in granted_nbytes.items() if size < _WANTED_BUFFER_NBYTES}
    if not small:
        return Check("UDP buffers", "ok", "as large as gpuview asks for")
    found = ", ".join(f"{name} is {size}" for name, size in small.items())
    fix = "sysctl -w " + " ".join(f"{name}={_WANTED_BUFFER_NBYTES}" for name in small)
    return Check("UDP buffers", "remark", f"{found}: bursts for many viewers may be lost", fix)


def _granted(option: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, option, _WANTED_BUFFER_NBYTES)
        return sock.getsockopt(socket.SOL_SOCKET, option) // 2  # Linux doubles it, for its own use
