"""Test what uses gpuview without a browser: a viewer hands back and compares what it is shown.

    from gpuview.testing import connect

    def test_it_shows_the_model():
        with connect(GPUStream(model)) as viewer:
            viewer.assert_shows(expected)

Installed with gpuview as a pytest plugin; ``docs/testing.md`` shows its use. Nothing is imported
here before it is used, so that it costs nothing in a test run that does not use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuview.testing.errors import (
        CellError,
        KernelDiedError,
        NoSuchStreamError,
        ViewerEndedError,
        WaitTimeoutError,
        WrongPictureError,
    )
    from gpuview.testing.kernel import Kernel
    from gpuview.testing.local import connect
    from gpuview.testing.viewer import AsyncViewer, HeadlessViewer

__all__ = [
    "AsyncViewer",
    "CellError",
    "HeadlessViewer",
    "Kernel",
    "KernelDiedError",
    "NoSuchStreamError",
    "ViewerEndedError",
    "WaitTimeoutError",
    "WrongPictureError",
    "connect",
]

_PLACES = {
    "AsyncViewer": "viewer",
    "HeadlessViewer": "viewer",
    "Kernel": "kernel",
    "connect": "local",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
