"""The picture that every contender shows: a drifting pattern, a counter, a time code, and clicks.

Imported by the kernel under test; the page reads the marker back (``tests/browser/probe.js``).
"""

from __future__ import annotations

import time

import numpy as np
import torch

__all__ = ["MarkedScene"]

_CELL = 16  # pixels of one bit's square; survives 4:2:0 and hard quantisation
_BITS = 40
_SYNC = 0xA5
_DARK, _BRIGHT = 16, 235
_DRIFT_PX = 2  # the whole picture moves by this much every frame


class MarkedScene:
    """Make the next frame at each call. At least 640 pixels wide.

    One instance is made for one run; its frames differ by the drift and the marker only.
    """

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._counter = 0
        self._n_clicks = 0
        self._pattern = _pattern(2 * width, height)

    def __call__(self) -> torch.Tensor:
        """Return a new ``(H, W, 3)`` uint8 frame, stamped with the time at which it was begun."""
        stamp_us = time.time_ns() // 1000
        start = self._counter * _DRIFT_PX % self._width
        frame = self._pattern[:, start : start + self._width].copy()
        frame[:_CELL, : _BITS * _CELL] = _row(_SYNC << 32 | self._counter)
        frame[_CELL : 2 * _CELL, : _BITS * _CELL] = _row(stamp_us % 2**_BITS)
        frame[2 * _CELL : 3 * _CELL, : _BITS * _CELL] = _row(self._n_clicks)
        self._counter += 1
        return torch.from_numpy(frame)

    def click(self, event: object) -> None:
        """Show one click more from the next frame on."""
        self._n_clicks += 1


def _row(value: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return one row of pixels, ``(_BITS * _CELL, 1)``: the bits of ``value``, highest first."""
    bits = np.unpackbits(np.frombuffer(value.to_bytes(_BITS // 8, "big"), dtype=np.uint8))
    luma = np.where(bits, _BRIGHT, _DARK).astype(np.uint8)
    return luma.repeat(_CELL)[:, None]


def _pattern(width: int, height: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Return ``(height, width, 3)`` smooth colour waves whose period divides half the width."""
    x = np.linspace(0, 4 * np.pi, width, endpoint=False)[None, :, None]
    y = np.linspace(0, 2 * np.pi, height)[:, None, None]
    phase = np.array([0.0, 2.1, 4.2])
    waves = np.sin(3 * x + np.sin(y) + phase) + np.sin(5 * x - 2 * y + 2 * phase)
    pattern: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
    pattern = (127.5 + 55 * waves).astype(np.uint8)
    return pattern
