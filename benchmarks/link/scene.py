"""What every contender sends: two textures that drift across each other, with a time code.

No motion vector fits both textures, so the picture is hard to compress, as a simulation is.
Imported by the senders; the page reads the marker back (``page.js``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

__all__ = ["FPS", "Texture", "play"]

FPS = 30
_CELLS = 40  # bits of a marker's row, across the whole width: 8 pixels each in a quarter of 720p
_SYNC = 0xA5
_DARK, _BRIGHT = 16, 235
_ROOM = 512  # pixels by which a texture is larger than the frame
_OCTAVES = ((4, 5.0), (16, 18.0), (64, 45.0))  # size in pixels, contrast in levels
_DRIFTS = ((3, 2), (-4, 1))  # pixels a frame, across and down

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class Texture:
    """Make the next frame at each call. The width is a multiple of 160."""

    def __init__(self, width: int, height: int, *, seed: int = 11) -> None:
        self._width, self._height = width, height
        self._cell = width // _CELLS
        random = np.random.default_rng(seed)
        self._layers = [_texture(random, width + _ROOM, height + _ROOM) // 2 for _ in _DRIFTS]
        self._counter = 0

    def __call__(self) -> Pixels:
        """Return a new ``(H, W, 3)`` uint8 frame, stamped with the time at which it was begun."""
        stamp_us = time.time_ns() // 1000
        frame = self._window(0) + self._window(1)
        cell, marked = self._cell, _CELLS * self._cell
        frame[:cell, :marked] = self._row(_SYNC << 32 | self._counter)
        frame[cell : 2 * cell, :marked] = self._row(stamp_us % 2**_CELLS)
        self._counter += 1
        return frame

    def _window(self, index: int) -> Pixels:
        across, down = (_bounce(self._counter * speed) for speed in _DRIFTS[index])
        return self._layers[index][down : down + self._height, across : across + self._width]

    def _row(self, value: int) -> Pixels:
        """Return one row of pixels with the bits of ``value``, the highest first."""
        bits = np.unpackbits(np.frombuffer(value.to_bytes(_CELLS // 8, "big"), dtype=np.uint8))
        return np.where(bits, _BRIGHT, _DARK).astype(np.uint8).repeat(self._cell)[:, None]


def _bounce(position: int) -> int:
    """Return a position that goes to and fro between 0 and the room."""
    return abs((position + _ROOM) % (2 * _ROOM) - _ROOM)


def _texture(random: np.random.Generator, width: int, height: int) -> Pixels:
    """Return ``(height, width, 3)`` noise of several sizes."""
    mixed = np.full((height, width, 3), 127.5, dtype=np.float32)
    for size, contrast in _OCTAVES:
        coarse = random.standard_normal((height // size + 2, width // size + 2, 3))
        fine = coarse.repeat(size, axis=0).repeat(size, axis=1)
        mixed += contrast * fine[:height, :width]
    return mixed.clip(0, 255).astype(np.uint8)


def play(show: Callable[[Pixels], object], scene: Texture) -> threading.Event:
    """Show frames at 30 a second, in a thread of its own, while the returned event is set."""
    is_moving = threading.Event()
    is_moving.set()

    def run() -> None:
        due_s = time.monotonic()
        while True:
            is_moving.wait()
            show(scene())
            due_s = max(due_s + 1 / FPS, time.monotonic() - 1 / FPS)
            time.sleep(max(0.0, due_s - time.monotonic()))

    threading.Thread(target=run, name="scene", daemon=True).start()
    return is_moving
