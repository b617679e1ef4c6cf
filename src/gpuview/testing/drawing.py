"""What gpuview draws of a frame, without a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gpuview.testing.peer import Image

__all__ = ["draw_without_options"]


def draw_without_options(frame: object) -> Image:
    """Return what the video of a ``GPUStream()`` shows of ``frame``, ``(H, W, 3)`` uint8 RGB.

    Raises:
        FrameError: The frame cannot be shown.
    """
    # Imported here: most viewers need no torch.
    from gpuview.frames.picture.look import Look
    from gpuview.frames.pushed_frame import to_keep
    from gpuview.frames.snapshot import video_picture

    kept, _ = to_keep(frame)
    return np.asarray(video_picture(kept, Look(), {}))
