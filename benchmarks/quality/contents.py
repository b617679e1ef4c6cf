"""Five kinds of pictures that people look at while they train; seeded, so that all runs agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTENTS", "Image"]

Image = NDArray[np.uint8]
"""``(H, W, 3)``, full range."""

_GLYPHS = (
    "0111010001100011000110001100010111000100011000010000100001000010001110"
    "0111010001000010001000100010001111111110000100110000011000011000101110"
)  # 0, 1, 2, 3, in 5 x 7 pixels


def feature_maps(n: int) -> Iterator[Image]:
    """64 rectified convolutions of a drifting texture, 8 x 8 of them in 448 x 448 pixels."""
    rng = np.random.default_rng(1)
    texture = np.fft.rfft2(rng.normal(size=(56, 56))) / _frequencies(56) ** 0.5
    kernels = np.fft.rfft2(rng.normal(size=(64, 5, 5)), s=(56, 56))
    palette = np.stack([np.linspace(68, 253, 256), np.linspace(1, 231, 256), _hump()], axis=1)
    for number in range(n):
        maps = np.fft.irfft2(kernels * _drifted(texture, 0.4 * number), s=(56, 56))
        levels = np.clip(maps / maps.std() * 90, 0, 255).astype(np.uint8)  # (64, 56, 56)
        yield palette[_tiled(levels, 8)].astype(np.uint8)


def digits(n: int) -> Iterator[Image]:
    """8 x 8 handwritten digits in 256 x 256 pixels; each frame, six are replaced."""
    rng = np.random.default_rng(2)
    cells = np.stack([_digit(rng) for _ in range(64)])
    for _ in range(n):
        for place in rng.integers(0, 64, 6):
            cells[place] = _digit(rng)
        yield np.repeat(_tiled(cells, 8)[:, :, None], 3, axis=2)


def smooth(n: int) -> Iterator[Image]:
    """Slow waves of colour, 640 x 360."""
    y, x = np.mgrid[0:360, 0:640] / 100
    for number in range(n):
        t = number / 15
        waves = [np.sin(x + t) + np.cos(y - t), np.sin(x - y + t), np.cos(x * y / 4 + t)]
        yield np.clip(128 + 60 * np.stack(waves, axis=2), 0, 255).astype(np.uint8)


def samples(n: int) -> Iterator[Image]:
    """6 x 6 samples of a generator that learns, 384 x 384: each step changes all a little."""
    rng = np.random.default_rng(3)
    shape = (36, 3, 64, 64)
    pictures = rng.normal(size=shape)
    for _ in range(n):
        pictures = 0.98 * pictures + 0.2 * rng.normal(size=shape)
        shown = np.fft.irfft2(np.fft.rfft2(pictures) / _frequencies(64) ** 1.3, s=(64, 64))
        shown = shown / shown.std() * 50 + 128
        planes = np.clip(shown, 0, 255).astype(np.uint8).swapaxes(0, 1)  # (3, 36, 64, 64)
        yield np.stack([_tiled(plane, 6) for plane in planes], axis=2)


def noise(n: int) -> Iterator[Image]:
    """Each pixel new in each frame, 320 x 180: the worst that there is."""
    rng = np.random.default_rng(4)
    for _ in range(n):
        yield rng.integers(0, 256, (180, 320, 3), dtype=np.uint8)


CONTENTS: dict[str, Callable[[int], Iterator[Image]]] = {
    "64 feature maps, 448x448": feature_maps,
    "digits, 256x256": digits,
    "smooth, 640x360": smooth,
    "generator's samples, 384x384": samples,
    "noise, 320x180": noise,
}
"""By name: a function of the number of frames."""


def _hump() -> NDArray[np.float64]:
    return 90 + 60 * np.sin(np.linspace(0, np.pi, 256))


def _frequencies(side: int) -> NDArray[np.float64]:
    """Return how fine each part of a picture's real Fourier transform is."""
    across, down = np.meshgrid(np.fft.rfftfreq(side), np.fft.fftfreq(side))
    return np.maximum(np.hypot(across, down), 1 / side)


def _drifted(spectrum: NDArray[np.complex128], pixels: float) -> NDArray[np.complex128]:
    height, half = spectrum.shape
    shift = np.fft.fftfreq(height)[:, None] + np.arange(half)[None, :] / height
    return spectrum * np.exp(-2j * np.pi * pixels * shift)


def _digit(rng: np.random.Generator) -> Image:
    glyph = _GLYPHS[35 * int(rng.integers(4)) :][:35]
    ink = np.array([int(each) for each in glyph], np.float64).reshape(7, 5)
    cell = np.zeros((32, 32))
    top, left = rng.integers(0, 5), rng.integers(0, 12)
    cell[top : top + 28, left : left + 20] = np.kron(ink, np.ones((4, 4)))
    blurred = sum(np.roll(cell, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9
    return np.asarray(blurred * 255, np.uint8)


def _tiled(tiles: Image, columns: int) -> Image:
    """Put ``(N, H, W)`` tiles into a square of ``columns`` x ``columns``."""
    _, height, width = tiles.shape
    rows = tiles.reshape(columns, columns, height, width).swapaxes(1, 2)
    return rows.reshape(columns * height, columns * width)
