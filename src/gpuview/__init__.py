"""See what a GPU is computing, live, in a notebook cell.

    from gpuview import GPUStream
    display(GPUStream(model))

Importing gpuview is cheap: torch is loaded when it is first needed, PyAV and aiortc only in the
media process. That process starts when a notebook imports `GPUStream`, so that it is ready when the
first stream is shown.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpuview.errors import (
    ConnectTimeout,
    FrameError,
    GpuviewError,
    MediaEndedError,
    MediaError,
    NetworkError,
    PublishError,
    RecordingError,
    SettingsError,
    SignalError,
    StreamClosedError,
)

if TYPE_CHECKING:
    from gpuview.cluster.publish import publish
    from gpuview.frames.picture.panel import Panel
    from gpuview.interaction.fly_camera import FlyCamera
    from gpuview.interaction.orbit_camera import OrbitCamera
    from gpuview.publication import Publication
    from gpuview.recording import Recording
    from gpuview.settings import Settings
    from gpuview.sources.context import FrameContext
    from gpuview.stats import StreamStats
    from gpuview.widget import GPUStream

__version__ = "0.1.0"

__all__ = [
    "ConnectTimeout",
    "FlyCamera",
    "FrameContext",
    "FrameError",
    "GPUStream",
    "GpuviewError",
    "MediaEndedError",
    "MediaError",
    "NetworkError",
    "OrbitCamera",
    "Panel",
    "Publication",
    "PublishError",
    "Recording",
    "RecordingError",
    "Settings",
    "SettingsError",
    "SignalError",
    "StreamClosedError",
    "StreamStats",
    "__version__",
    "publish",
]

_LAZY = {
    "FlyCamera": "gpuview.interaction.fly_camera",
    "FrameContext": "gpuview.sources.context",
    "GPUStream": "gpuview.widget",
    "OrbitCamera": "gpuview.interaction.orbit_camera",
    "Panel": "gpuview.frames.picture.panel",
    "Publication": "gpuview.publication",
    "Recording": "gpuview.recording",
    "Settings": "gpuview.settings",
    "StreamStats": "gpuview.stats",
    "publish": "gpuview.cluster.publish",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "GPUStream" and _is_in_kernel():
        # The notebook will probably show a stream soon.
        import_module("gpuview.engine.spare").prestart()
    return getattr(import_module(_LAZY[name]), name)


def _is_in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def __dir__() -> list[str]:
    return sorted(__all__)
