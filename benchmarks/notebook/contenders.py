"""What runs in the kernel, cell by cell, for each contender."""

from __future__ import annotations

__all__ = ["CONTENDERS", "SPIN_S", "cells"]

SPIN_S = 30
"""How long the last cell keeps the interpreter busy, in seconds."""

_CARRIERS = {"gpuview": "", "gpuview by WebSocket": "socket", "gpuview through the kernel": "comm"}

_PREPARE = {
    **dict.fromkeys(_CARRIERS, "from gpuview import GPUStream, Settings"),
    # As its documentation has it for animations: each frame asks for the next.
    "jupyter_rfb": """
from jupyter_rfb import RemoteFrameBuffer

class Animation(RemoteFrameBuffer):
    def get_frame(self):
        self.request_draw()
        return scene().numpy()

    def handle_event(self, event):
        if event["event_type"] == "pointer_down":
            scene.click(event)
""",
}


def _show(carrier: str) -> str:
    settings = f"Settings(carriers={carrier!r})" if carrier else "None"
    return f"""
stream = GPUStream(scene, fps=30, settings={settings})
stream.add_event_handler(scene.click, "pointer_down")
stream
"""


_SHOW = {
    **{name: _show(carrier) for name, carrier in _CARRIERS.items()},
    "jupyter_rfb": """
view = Animation(css_width="{width}px", css_height="{height}px")
view
""",
}

CONTENDERS = tuple(_SHOW)

_SPIN = f"""
spin_began = time.time()
end, turns = time.monotonic() + {SPIN_S}, 0
while time.monotonic() < end:
    turns += 1
"""


def cells(contender: str, width: int, height: int) -> list[str]:
    """Return the three cells: imports and scene, show it, spin.

    Imports are not part of the time to the first picture: a notebook has them in its first cell.
    """
    prepare = f"""
import time
from benchmarks.notebook.scene import MarkedScene
scene = MarkedScene({width}, {height})
{_PREPARE[contender]}
"""
    show = "cell_began = time.time()\n" + _SHOW[contender].format(width=width, height=height)
    return [prepare, show, _SPIN]
