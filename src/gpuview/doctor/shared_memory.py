"""The check "shared memory": what carries frames from the kernel to the media process."""

from __future__ import annotations

import os

from gpuview.doctor.report import Check
from gpuview.errors import system_refusal
from gpuview.protocol.shared_memory import allocate

__all__ = ["check_shared_memory", "judge_shared_memory"]

_NAME = "shared memory"
_WANTED_MB = 256  # four frames of 3840 x 2400, and some to spare


def check_shared_memory() -> Check:
    """Allocate an eventfd and a page of memory, as a stream does."""
    try:
        os.close(os.eventfd(0))
        fd = allocate(os.sysconf("SC_PAGE_SIZE"))
    except (OSError, AttributeError) as exc:
        return Check.failed(_NAME, system_refusal("allocate shared memory", exc))
    try:
        system = os.fstatvfs(fd)
        path = os.readlink(f"/proc/self/fd/{fd}")
        return judge_shared_memory(path, system.f_bavail * system.f_frsize // 2**20)
    except OSError:
        return Check(_NAME, "ok", "of some kind; without /proc the kind is unknown")
    finally:
        os.close(fd)


def judge_shared_memory(path: str, free_mb: int) -> Check:
    """Judge the memory by its name in ``/proc``, and the room in its file system. Pure."""
    if path.startswith("/memfd:"):
        return Check(_NAME, "ok", "by memfd_create")
    folder = os.path.dirname(path)
    found = f"memfd_create is not permitted; files in {folder} take its place, {free_mb} MB free"
    if folder == "/dev/shm" and free_mb >= _WANTED_MB:
        return Check(_NAME, "ok", found)
    return Check(_NAME, "remark", found, "permit memfd_create, or docker run --shm-size=1g")
