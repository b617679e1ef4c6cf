"""The colours of a flow: the hue is its direction, and the saturation its speed. No flow is white.

The last hue is followed by the first one. In the usual programs there is a jump between the two,
which a flow to the right that is not quite horizontal shows as noise.

Source:
    S. Baker, D. Scharstein, J. P. Lewis, S. Roth, M. J. Black, R. Szeliski, "A Database and
        Evaluation Methodology for Optical Flow", ICCV 2007; the usual colours of their field, also
        those of ``torchvision.utils.flow_to_image``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FASTER", "N_HUES", "wheel_colours", "wheel_hues"]

# Red to yellow, yellow to green, and so on: more hues where the eye tells more of them apart.
_N_BETWEEN = (15, 6, 4, 11, 13, 6)
_CORNERS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0))

N_HUES = sum(_N_BETWEEN)

FASTER = 0.75
"""The brightness of a speed beyond the range."""


def wheel_hues() -> NDArray[np.uint8]:
    """Return the hues, ``(55, 3)``; the first is a flow to the right, and then clockwise."""
    parts = []
    for n, first, last in zip(_N_BETWEEN, _CORNERS, _CORNERS[1:], strict=False):
        steps = np.floor(255 * np.arange(n) / n)[:, None]  # (n, 1)
        start, change = 255 * np.array(first), np.subtract(last, first)
        parts.append(start + steps * change)
    return np.concatenate(parts).astype(np.uint8)


def wheel_colours() -> NDArray[np.uint8]:
    """Return colours from all over the wheel, ``(n, 3)``."""
    hues = wheel_hues().astype(np.float64)
    speeds = np.linspace(0, 1, 9)[:, None, None]
    slower = 255 - speeds * (255 - hues)
    return np.concatenate((slower.reshape(-1, 3), FASTER * hues)).astype(np.uint8)
