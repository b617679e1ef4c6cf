"""Colours for what is no value: NaN, Inf, ignored classes. None can be mistaken for a value.

Two colours are compared by their distance in OKLab, where equal distances look about equally large.
People begin to see a difference at about 0.02; black and white are 1 apart. In RGB, lime green is
as far from turbo's own greens as magenta is, and looks like one of them.

Source:
    B. Ottosson, "A perceptual color space for image processing", 2020,
        https://bottosson.github.io/posts/oklab; his matrices are in the public domain.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from gpuview.frames.picture.geometry import BACKGROUND

__all__ = ["FAR", "MARKERS", "distances", "markers", "oklab"]

FAR = 0.15
"""Two colours at this distance are easy to tell apart, also in a single pixel."""

MARKERS = (
    ((255, 0, 255),),  # NaN: magenta
    ((0, 255, 255), (255, 255, 255)),  # Inf: cyan or white
    ((128, 128, 128),),  # an ignored class: grey
    ((255, 255, 255), (0, 0, 0)),  # no class: white or black
)
"""The usual colours, best first, in the order of their rows in a palette."""

_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_LEVELS = (0, 64, 128, 192, 255)


def oklab(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return lightness, green-red and blue-yellow, ``(..., 3)``, for sRGB bytes ``(..., 3)``."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lab: NDArray[np.float64] = np.cbrt(linear @ np.transpose(_LMS)) @ np.transpose(_LAB)
    return lab


def distances(colours: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how far each of ``(m, 3)`` colours is from the nearest of ``(n, 3)`` others."""
    offsets = oklab(colours)[:, None] - oklab(others)
    nearest: NDArray[np.float64] = np.linalg.norm(offsets, axis=2).min(1)
    return nearest


def markers(colours: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """Return the first ``n`` `MARKERS`, ``(n, 3)``, or other colours where these are not far.

    Each is far from all the others, too, and from the background.

    Args:
        colours: ``(m, 3)``, all the colours that values can have.
        n: At most the number of `MARKERS`.
    """
    candidates = np.array(list(product(_LEVELS, repeat=3)), np.uint8)
    taken = np.concatenate((colours, np.array([BACKGROUND], np.uint8)))
    for usual in MARKERS[:n]:
        choices = np.array(usual, np.uint8)
        choices = choices[distances(choices, taken) >= FAR]
        if not len(choices):
            choices = candidates[[distances(candidates, taken).argmax()]]
        taken = np.concatenate((taken, choices[:1]))
    return taken[-n:]
