"""Every error that gpuview raises. Each has three parts: problem, expected and fix.

The tree:

    GpuviewError
    ├── FrameError             this tensor cannot be shown
    ├── SettingsError          a setting is wrong, or two contradict each other
    ├── SignalError            this offer or message cannot be answered
    ├── NetworkError           no route: range used up, no usable address
    │   └── ConnectTimeout
    ├── PublishError           this address takes no video, or no longer
    ├── RecordingError         this file cannot be recorded to, or no longer
    ├── StreamClosedError      the stream is closed: make another, or stop pushing
    └── MediaError             the media process or its encoder failed: try again later
        └── MediaEndedError    the media process has ended for good: make a new GPUStream
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ConnectTimeout",
    "FrameError",
    "GpuviewError",
    "MediaEndedError",
    "MediaError",
    "NetworkError",
    "PublishError",
    "RecordingError",
    "SettingsError",
    "SignalError",
    "StreamClosedError",
    "closest",
    "shorten",
    "system_refusal",
]

_NO_MEMORY = ("that much memory free", "free some memory, or show smaller pictures")
_ADVICE = {
    errno.EMFILE: ("a few free file descriptors", "close some files, or raise ulimit -n"),
    errno.ENFILE: ("a few free file descriptors", "close some files, also of other processes"),
    errno.EAGAIN: ("room for one more process", "end some processes, or raise ulimit -u"),
    errno.ENOMEM: _NO_MEMORY,
    errno.ENOSPC: _NO_MEMORY,
}


class GpuviewError(Exception):
    """An error in three parts: the problem, the expectation, and a fix.

    A traceback, the log and the page show the same three parts.

    Args:
        problem: The problem, with its values; starts in lower case, without a full stop.
        expected: The accepted values or state.
        fix: One action or command that solves the problem.
    """

    def __init__(self, problem: str, *, expected: str, fix: str) -> None:
        # An exception of the user's may hold half a surrogate pair, which no JSON can carry.
        self.problem, self.expected, self.fix = map(_well_formed, (problem, expected, fix))
        super().__init__(self.problem, self.expected, self.fix)

    def __str__(self) -> str:
        return f"{self.problem}\n  expected: {self.expected}\n  try:      {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own reduce would call __init__ with positional arguments only.
        return (_rebuild, (type(self), self.problem, self.expected, self.fix))


def _rebuild(kind: type[GpuviewError], problem: str, expected: str, fix: str) -> GpuviewError:
    return kind(problem, expected=expected, fix=fix)


class FrameError(GpuviewError):
    """This tensor cannot be shown."""


class SettingsError(GpuviewError):
    """A setting is wrong, or two settings contradict each other."""


class SignalError(GpuviewError):
    """This offer or message cannot be answered."""


class NetworkError(GpuviewError):
    """There is no route: the port range is used up, or no address is usable."""


class ConnectTimeout(NetworkError):  # noqa: N818 - named like TimeoutError
    """The page and the media process did not find a route to each other in time."""


class PublishError(GpuviewError):
    """A stream cannot be published to this address, or no longer: its token is wrong, say."""


class RecordingError(GpuviewError):
    """A stream cannot be recorded to this file, or no longer: the disk is full, for example."""


class StreamClosedError(GpuviewError):
    """This stream is closed, or belongs to the parent of this forked process."""


class MediaError(GpuviewError):
    """The media process or its encoder failed, or memory is used up; the stream may recover."""


class MediaEndedError(MediaError):
    """The media process of this stream has ended for good; a new `GPUStream` starts another."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the most similar name in ``known``, or None."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def system_refusal(action: str, exc: OSError | AttributeError) -> MediaError:
    """Return the error for something that this system, or this build of Python, does not do.

    Args:
        action: What was tried; follows "cannot".
        exc: The refusal; an AttributeError if this Python has no such function.
    """
    if isinstance(exc, AttributeError):
        version = f"{sys.executable} is Python {sys.version.split()[0]} for {sys.platform}"
        expected = f"a Python for Linux that has this function; {version}"
        fix = "run the kernel with another build of Python"
    else:
        unknown = ("a system that permits it", "see what it forbids: gpuview doctor")
        expected, fix = _ADVICE.get(exc.errno or 0, unknown)
    return MediaError(f"cannot {action}: {exc}", expected=expected, fix=fix)


def shorten(text: str, n_chars: int) -> str:
    """Return ``text`` in one line of at most ``n_chars`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= n_chars else line[: n_chars - 4].rstrip() + " ..."


def _well_formed(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
