"""Write src/gpuview/frames/picture/colormaps.npz, the maps that need no matplotlib.

PYTHONPATH=src python scripts/generate_colormaps.py

tests/frames/test_colormap.py compares the file with matplotlib, and measures the class colours.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from gpuview.frames.picture.colormap import BUILT_IN
from gpuview.frames.picture.geometry import BACKGROUND
from gpuview.frames.picture.special_colours import FAR, MARKERS, distances, oklab

TARGET = Path(__file__).resolve().parents[1] / "src/gpuview/frames/picture/colormaps.npz"

_N_CLASSES = 255  # class 255 is ignored
_LEVELS = range(0, 256, 17)
_APART = 0.25  # from the class before
_N_LIGHT, _LIGHT = 32, 0.5  # so many classes after the first are at least so light


def class_colours() -> NDArray[np.uint8]:
    """Return a colour for each class, ``(255, 3)``: black, then always the farthest from the rest.

    The distance is OKLab's. The first classes are light, and far from each other: 255 colours
    cannot all be.
    """
    usual = np.array([choices[0] for choices in MARKERS], np.uint8)
    candidates = np.array(list(product(_LEVELS, repeat=3)), np.uint8)
    candidates = candidates[distances(candidates, usual) >= FAR]
    looks = oklab(candidates)
    classes = np.zeros((1, 3), np.uint8)
    taken = np.concatenate((usual, classes, np.array([BACKGROUND], np.uint8)))
    nearest, previous = distances(candidates, taken), oklab(classes[0])
    while len(classes) < _N_CLASSES:
        fits = np.linalg.norm(looks - previous, axis=1) >= _APART
        if len(classes) <= _N_LIGHT:
            fits &= looks[:, 0] >= _LIGHT
        best = np.where(fits, nearest, -1).argmax()
        classes = np.concatenate((classes, candidates[[best]]))
        previous = looks[best]
        nearest = np.minimum(nearest, np.linalg.norm(looks - previous, axis=1))
    return classes


if __name__ == "__main__":
    colours = {
        name: matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
        for name in BUILT_IN
        if name not in ("gray", "labels")  # gray is computed
    }
    np.savez(TARGET, **colours, labels=class_colours())
