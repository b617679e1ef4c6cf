"""A picture that came beside the one that is expected: how far apart they are, and where. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av import VideoFrame

from gpuview.media.encode.tiers import Tier, scaled_side
from gpuview.testing.peer import Image, as_video, image_of, to_rgb

__all__ = ["Comparison", "Picture"]

_CHANNELS = ("red", "green", "blue")
_GAP = 8
_GREY = 128


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it came."""

    image: Image
    is_lossless: bool
    """A still; otherwise it is a frame of the video."""
    name: str
    """For people, such as ``"frame 12 of the video (H264)"``."""

    @classmethod
    def of_still(cls, png: bytes) -> Picture:
        return cls(image_of(png), True, "a picture that stands still, without loss")

    @classmethod
    def of_frame(cls, frame: VideoFrame, name: str) -> Picture:
        return cls(to_rgb(frame), False, name)

    def comparable(self, drawn: Image) -> Image:
        """Return what this picture would be at its best, had it been made of ``drawn``.

        A frame has half as many rows and columns of colours as of brightness, and may be smaller
        on a link that takes no more. Any other size is left as it is.
        """
        if self.is_lossless:
            return drawn
        (height, width, _), (full_height, full_width, _) = self.image.shape, drawn.shape
        sizes = {(scaled_side(full_height, tier), scaled_side(full_width, tier)) for tier in Tier}
        if (height, width) not in sizes:
            return drawn
        return as_video(drawn, width, height)


class Comparison:
    """Compares a picture with what it should show, in levels of 0 to 255.

    Args:
        picture: What came.
        drawn: What it should show, in the video's full size.
    """

    def __init__(self, picture: Picture, drawn: Image) -> None:
        self.picture = picture
        self.expected = picture.comparable(drawn)
        self._levels: np.ndarray | None = None
        if picture.image.shape == self.expected.shape:
            self._levels = np.abs(picture.image.astype(np.int16) - self.expected)

    @property
    def largest(self) -> int:
        """The largest difference of any value; 255 between pictures of different sizes."""
        return 255 if self._levels is None else int(self._levels.max())

    def is_within(self, tolerance: float) -> bool:
        """Tell whether the sizes are equal, and no value differs by more than ``tolerance``."""
        return self._levels is not None and self.largest <= tolerance

    def describe(self, tolerance: float) -> str:
        """Say what the difference is, and where it is largest."""
        got, expected = self.picture.image, self.expected
        if self._levels is None:
            return f"it has {_size(got)} pixels instead of {_size(expected)}"
        at = np.unravel_index(int(self._levels.argmax()), self._levels.shape)
        row, column, channel = map(int, at)
        share = float((self._levels > tolerance).mean())
        values = f"{got[at]} instead of {expected[at]}"
        return (
            f"the largest difference is {self.largest} of 255 levels, in {_CHANNELS[channel]} at "
            f"row {row}, column {column} of {_size(got)} pixels: {values}; "
            f"{share:.1%} of all values differ by more than {tolerance:g}"
        )

    def side_by_side(self) -> Image:
        """Return what came, a gap, and what was expected."""
        images = (self.picture.image, self.expected)
        height = max(len(image) for image in images)
        width = sum(image.shape[1] for image in images) + _GAP
        canvas = np.full((height, width, 3), _GREY, np.uint8)
        got, expected = images
        canvas[: len(got), : got.shape[1]] = got
        canvas[: len(expected), width - expected.shape[1] :] = expected
        return canvas


def _size(image: Image) -> str:
    height, width, _ = image.shape
    return f"{width} x {height}"
