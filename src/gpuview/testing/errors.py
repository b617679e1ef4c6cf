"""The errors of the test harness."""

from __future__ import annotations

from gpuview.errors import GpuviewError

__all__ = [
    "CellError",
    "KernelDiedError",
    "NoSuchStreamError",
    "ViewerEndedError",
    "WaitTimeoutError",
    "WrongPictureError",
]


class CellError(GpuviewError):
    """A cell raised.

    Args:
        name: The exception's class, such as ``"FrameError"``.
        value: Its text.
        traceback: What the notebook would show, without colours.
    """

    def __init__(self, name: str, value: str, traceback: str) -> None:
        super().__init__(
            f"the cell raised {name}: {value}\n{traceback}",
            expected="a cell that runs to its end",
            fix="read the traceback above; pytest.raises(CellError) if the cell is meant to raise",
        )
        self.name = name
        self.value = value
        self.traceback = traceback

    def __reduce__(self) -> tuple[object, ...]:
        return (CellError, (self.name, self.value, self.traceback))


class KernelDiedError(GpuviewError):
    """The kernel process ended while a caller waited for it."""


class WaitTimeoutError(GpuviewError, TimeoutError):
    """A wait has reached its timeout."""


class NoSuchStreamError(GpuviewError, LookupError):
    """The GPUStream of this name is closed."""


class ViewerEndedError(GpuviewError):
    """Nothing more comes: the viewer is closed, or its stream is."""


class WrongPictureError(GpuviewError, AssertionError):
    """A viewer does not show what it should."""
