"""What every contender sends: a texture that drifts, made beforehand."""

from __future__ import annotations

from benchmarks.link.scene import Pixels, Texture

__all__ = ["FPS", "HEIGHT", "WIDTH", "Pixels", "pictures"]

WIDTH, HEIGHT, FPS = 1920, 1080, 30
_COUNT = 24


def pictures() -> list[Pixels]:
    """Return the frames, ``(H, W, 3)`` uint8, which are shown again and again."""
    scene = Texture(WIDTH, HEIGHT)
    return [scene() for _ in range(_COUNT)]
