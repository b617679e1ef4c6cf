"""Write src/gpuview/frames/picture/colormaps.npz, the maps that need no matplotlib.

PYTHONPATH=src python scripts/generate_colormaps.py

tests/frames/test_colormap.py compares the file with matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from gpuview.frames.picture.colormap import BUILT_IN

TARGET = Path(__file__).resolve().parents[1] / "src/gpuview/frames/picture/colormaps.npz"

if __name__ == "__main__":
    colours = {
        name: matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
        for name in BUILT_IN
        if name != "gray"  # computed
    }
    np.savez(TARGET, **colours)
