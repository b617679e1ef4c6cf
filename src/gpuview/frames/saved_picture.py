"""The newest frame as a small file, for a notebook's output.

Note [PNG or JPEG]: maps, labels and drawings are small as a PNG, and exact. Photographs and noise
are large, and it takes 30 ms to find that out, while the cell waits. A JPEG takes 2 ms, and
foretells the size of the PNG. So a PNG is only made where it is likely to fit.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from gpuview.frames.picture.geometry import BACKGROUND
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.tensor_layout import Reading
from gpuview.frames.snapshot import preview

__all__ = ["SavedPicture", "draw_saved_picture"]

Image.preinit()  # loads what writes PNG and JPEG now, and not while a cell waits

_LONGEST_SIDE = 640
_SHORTEST_SIDE = 32
_LINE_HEIGHT = 20
_COMPRESS_LEVEL = 3  # a third of the time of Pillow's 6, for a tenth more bytes
_QUALITY = 90
_PNG_BY_JPEG = 5  # a photograph's bytes as a PNG, by those of the JPEG
_MOST_ATTEMPTS = 6
_SHARE = 0.9  # of the size that should just fit, as small pictures compress worse


@dataclass(frozen=True, slots=True)
class SavedPicture:
    """A file, and the width at which it is shown."""

    data: bytes
    mime: Literal["image/png", "image/jpeg"]
    width: int
    """That of the video, in pixels; the file's own may be smaller."""


def draw_saved_picture(
    frame: object,
    look: Look,
    readings: Mapping[str | None, Reading],
    *,
    line: str,
    max_bytes: int,
) -> SavedPicture | None:
    """Draw ``frame`` as in the video, at most 640 pixels long, with a line of text below.

    Takes 10 ms on the CPU for a small picture, and 30 ms for 720p. Waits for the frame's device.
    See Note [PNG or JPEG].

    Args:
        frame, look, readings: As for `snapshot`.
        line: The text below the picture.
        max_bytes: The picture is shrunk until the file has no more.

    Returns:
        None if the file would have to be shrunk beyond recognition.

    Raises:
        FrameError: The frame cannot be shown.
    """
    picture, width = preview(frame, look, readings, longest_side=_LONGEST_SIDE)
    whole = _with_line(picture, line)
    jpeg = _jpeg(whole)
    if len(jpeg) * _PNG_BY_JPEG <= max_bytes and len(png := _png(whole)) <= max_bytes:
        return SavedPicture(png, "image/png", width)
    scale = 1.0
    for _ in range(_MOST_ATTEMPTS):
        if len(jpeg) <= max_bytes:
            return SavedPicture(jpeg, "image/jpeg", width)
        scale *= _SHARE * (max_bytes / len(jpeg)) ** 0.5
        sides = [max(1, round(side * scale)) for side in picture.size]
        if max(sides) < _SHORTEST_SIDE:
            break
        shrunk = picture.resize((sides[0], sides[1]), reducing_gap=2)
        jpeg = _jpeg(_with_line(shrunk, line))
    return None


def _with_line(picture: Image.Image, line: str) -> Image.Image:
    width, height = picture.size
    whole = Image.new("RGB", (width, height + _LINE_HEIGHT), BACKGROUND)
    whole.paste(picture)
    whole.paste(Image.fromarray(label_image(line, _LINE_HEIGHT, width).numpy()), (0, height))
    return whole


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "png", compress_level=_COMPRESS_LEVEL)
    return file.getvalue()


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=_QUALITY, subsampling=0)
    return file.getvalue()
