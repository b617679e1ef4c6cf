"""The files of a recording: their names, and how they are opened. Both processes open some."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

__all__ = ["numbered", "open_file", "open_next_file"]


def numbered(name: str, number: int) -> str:
    """Return the name of a recording's file: ``run.mp4``, then ``run-2.mp4`` and so on."""
    stem, suffix = os.path.splitext(name)
    return name if number == 1 else f"{stem}-{number}{suffix}"


def open_file(folder_fd: int, name: str, *, overwrite: bool) -> int:
    """Return the descriptor of an empty file, locked until all descriptors of it are closed.

    Args:
        folder_fd: The folder's descriptor.
        name: The name within the folder.
        overwrite: Whether to empty a file that exists.

    Raises:
        FileExistsError: It exists, and is not to be overwritten.
        BlockingIOError: Another recording is writing to it.
        OSError: It cannot be opened, or is no regular file.
    """
    # Without O_NONBLOCK, a named pipe would wait for its reader.
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(name, flags if overwrite else flags | os.O_EXCL, 0o666, dir_fd=folder_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        _lock(fd)
        os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_next_file(folder_fd: int, name: str, number: int, *, overwrite: bool) -> tuple[int, int]:
    """Return the descriptor and the number of a recording's next file.

    Args:
        folder_fd: The folder's descriptor.
        name: The name of the recording's first file.
        number: The lowest number that it may have. Those of files that may not be used are skipped.
        overwrite: Whether to empty a file that exists.

    Raises:
        OSError: It cannot be opened.
    """
    while True:
        try:
            return open_file(folder_fd, numbered(name, number), overwrite=overwrite), number
        except (FileExistsError, BlockingIOError):
            number += 1


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # a file system without locks
