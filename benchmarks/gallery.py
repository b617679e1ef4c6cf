"""Play each program of docs/gallery.md, and count the frames that a viewer is sent.

    python -m benchmarks.gallery

Each has a kernel of its own. The viewer decodes nothing, so that the program, the encoder and the
network have the machine. Prints a table, and ends with the status 1 if one has fewer than 25 frames
a second. Takes two minutes; the machine should have nothing else to do.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from benchmarks.document import environment, markdown_table
from gpuview.testing.kernel import Kernel
from gpuview.testing.viewer import HeadlessViewer

_PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
_WANTED_FPS = 25
_WARM_UP_S, _WINDOW_S = 4.0, 10.0


def main() -> int:
    """Measure and print; return 1 if a program is too slow."""
    rates_fps = {title: _rate_fps(code) for title, code in _programs(_PAGE.read_text()).items()}
    rows = [(title, [f"{rate_fps:.1f}"]) for title, rate_fps in rates_fps.items()]
    print(markdown_table(["frames/s"], rows))
    for key, value in environment("python -m benchmarks.gallery", 1, ["torch"]).items():
        print(f"- {key}: {value}")
    return 0 if min(rates_fps.values()) >= _WANTED_FPS else 1


def _programs(page: str) -> dict[str, str]:
    """Return the programs by their titles."""
    sections = re.findall(r"^## (.+?)$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    found = (
        (title, re.search(r"```python\n(.*?)```", text, re.DOTALL)) for title, text in sections
    )
    return {title: program[1] for title, program in found if program is not None}


def _rate_fps(code: str) -> float:
    with Kernel() as kernel:
        kernel.start(code)  # some go on for ever
        with kernel.view(kernel.stream(), is_decoding=False) as viewer:
            viewer.wait_for_frames(1)
            time.sleep(_WARM_UP_S)
            rate_fps = _counted_fps(viewer)
        kernel.kill()
    return rate_fps


def _counted_fps(viewer: HeadlessViewer) -> float:
    began_s, before = time.monotonic(), viewer.frame_count
    time.sleep(_WINDOW_S)
    return (viewer.frame_count - before) / (time.monotonic() - began_s)


if __name__ == "__main__":
    sys.exit(main())
