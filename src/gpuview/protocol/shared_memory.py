"""Memory without a name that two processes share, on every Linux and with every build of Python.

It is a memfd. Pythons built for an old glibc, such as conda-forge's and uv's, lack
``os.memfd_create``, but the glibc that runs them has the function. Where a sandbox forbids it, as
an old Docker does, a file in ``/dev/shm`` or in the temporary folder takes its place.
"""

from __future__ import annotations

import errno
import os
import tempfile

__all__ = ["allocate"]

_MFD_CLOEXEC = 1  # linux/memfd.h
_FORBIDDEN = (errno.ENOSYS, errno.EPERM, errno.EACCES)


def allocate(nbytes: int) -> int:
    """Return the descriptor of ``nbytes`` bytes of zeros; the caller closes it.

    Raises:
        OSError: Memory or descriptors are used up, or there is no such memory here; the error then
            names everything that was tried.
    """
    try:
        fd = _memfd()
    except (AttributeError, ImportError) as exc:
        return _file(nbytes, exc)
    except OSError as exc:
        if exc.errno not in _FORBIDDEN:
            raise
        return _file(nbytes, exc)
    try:
        os.ftruncate(fd, nbytes)
    except OSError:
        os.close(fd)
        raise
    return fd


def _memfd() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("gpuview", os.MFD_CLOEXEC)
    import ctypes  # which a Python may lack as well

    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.memfd_create(b"gpuview", _MFD_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def _file(nbytes: int, why_no_memfd: Exception) -> int:
    """Return a file that is deleted already."""
    tried = [f"memfd_create: {why_no_memfd}"]
    code: int | None = errno.ENOSYS
    for folder in ("/dev/shm", None):
        try:
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                if nbytes:  # taken now: a write to a full file system later would be a SIGBUS
                    os.posix_fallocate(file.fileno(), 0, nbytes)
                return os.dup(file.fileno())
        except OSError as exc:
            tried.append(f"{folder or 'a temporary file'}: {exc.strerror}")
            code = exc.errno
    raise OSError(code, "; ".join(tried))
