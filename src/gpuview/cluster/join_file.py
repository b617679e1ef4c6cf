"""Join files: a notebook writes one, and the workers of the run read it.

A shared file system is the usual way between the two. The file holds a secret key, so only its
owner may read it, and a reader refuses one that others may read.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from gpuview.errors import SettingsError, SignalError
from gpuview.protocol.join_file import JoinFile
from gpuview.protocol.wire import decode_text, encode_text

__all__ = ["JOIN_VARIABLE", "WrittenJoinFile", "default_path", "read_join_file", "write_join_file"]

JOIN_VARIABLE = "GPUVIEW_JOIN"
"""The environment variable of a job that has the path of its join file."""

_MAX_NBYTES = 64 * 1024
_ANEW = "write it anew in the notebook: stream.join()"


@dataclass(frozen=True)
class WrittenJoinFile:
    """A join file that this process has written."""

    path: Path
    identity: tuple[int, int]
    """Its device and inode, by which a file that took its place is told from it."""

    def remove(self) -> None:
        """Remove it, unless it is gone, or another has taken its place.

        Raises:
            OSError: It cannot be removed.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        if (found.st_dev, found.st_ino) == self.identity:
            self.path.unlink(missing_ok=True)


def default_path(run: str) -> Path:
    """Return where a run's join file is if the user names no place: a folder of the user's own,
    which a cluster shares wherever it shares home directories."""
    return Path.home() / ".gpuview" / "runs" / f"{run}.json"


def write_join_file(path: Path | None, content: JoinFile) -> WrittenJoinFile:
    """Write a join file that only this user may read, in the place of an earlier one.

    A worker that reads meanwhile finds the old file or the new one, whole. Waits for the file
    system.

    Args:
        path: Where, in a folder that exists; None: see `default_path`.
        content: What is in it.

    Raises:
        SettingsError: It cannot be written there.
    """
    target = path or default_path(content.run)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        if path is None:
            _make_private_folder(target.parent)
        try:
            identity = _write(beside, encode_text(content).encode())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as exc:
        raise SettingsError(
            f"cannot write the join file {target}: {exc.strerror or exc}",
            expected="a folder that this kernel may write to, and that the workers can read",
            fix='name another place: stream.join("/shared/mine/run.json")',
        ) from None
    return WrittenJoinFile(target.absolute(), identity)


def read_join_file(path: Path) -> JoinFile:
    """Read a join file. Waits for the file system.

    Raises:
        FileNotFoundError: There is none.
        SettingsError: It cannot be read, others may read it, or it is no join file of this version
            of gpuview.
    """
    try:
        text = _read_private(path)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise _unreadable(path, exc) from None
    try:
        if len(text) > _MAX_NBYTES:
            raise ValueError(f"it has more than {_MAX_NBYTES} bytes")
        message = decode_text(text.decode(), JoinFile)
    except (SignalError, ValueError) as exc:
        # Neither error shows a value, which might be a key.
        reason = exc.problem if isinstance(exc, SignalError) else "it is no text of that length"
        raise SettingsError(
            f"{path} is no join file of this gpuview: {reason}",
            expected="a file that stream.join() of the same version of gpuview has written",
            fix=_ANEW,
        ) from None
    assert isinstance(message, JoinFile)
    return message


def _make_private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)


def _write(path: Path, text: bytes) -> tuple[int, int]:
    """Write a new file that is private from its first moment; return its device and inode."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
        made = os.fstat(fd)
    return made.st_dev, made.st_ino


def _read_private(path: Path) -> bytes:
    # Not to wait for a writer, if it is a FIFO.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_private(path, os.fstat(fd))
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(_MAX_NBYTES + 1)
    finally:
        os.close(fd)


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(
            f"cannot read {path}, which is no file", expected="a join file", fix=_ANEW
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise SettingsError(
            f"cannot trust the join file {path}, which others may read or write: mode {mode:04o}",
            expected="mode 0600: it holds a secret key",
            fix=f"{_ANEW}; whoever has read this one can join the run",
        )


def _unreadable(path: Path, exc: OSError) -> SettingsError:
    return SettingsError(
        f"cannot read the join file {path}: {exc.strerror or exc}",
        expected="a file of the user who runs this job",
        fix="start the job as the user of the notebook, or copy the file with mode 0600",
    )
