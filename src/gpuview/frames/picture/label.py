"""A panel's name as pixels."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gpuview.frames.picture.geometry import BACKGROUND

__all__ = ["label_image"]

_TEXT = (225, 225, 225)
_FONT_SHARE = 0.62
"""The font size, as a share of the label's height."""
_MARGIN_SHARE = 0.25
"""The margin on the left and on the right, as a share of the label's height."""
_ELLIPSIS = "…"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


@lru_cache(maxsize=64)
def label_image(text: str, height: int, width: int) -> Tensor:
    """Draw one left-aligned line of light text on the background colour.

    Text that is too long ends in an ellipsis. The font is matplotlib's, or Pillow's if matplotlib
    is not installed. Characters missing in the font become boxes; Pillow's font is ASCII only. The
    result is cached: do not write to it.

    Args:
        text: Any text; line breaks and control characters become spaces.
        height: Pixels; 24 is comfortable, less than 12 is unreadable.
        width: Pixels.

    Returns:
        ``(height, width, 3)`` uint8 on the CPU.
    """
    font = _font(max(1, round(height * _FONT_SHARE)))
    margin = round(height * _MARGIN_SHARE)
    image = Image.new("RGB", (width, height), BACKGROUND)
    line = _shortened(_printable(text)[:width], font, width - 2 * margin)
    # "lm": x is the left end, y the middle between ascender and descender.
    ImageDraw.Draw(image).text((margin, height / 2), line, _TEXT, font, anchor="lm")
    return torch.from_numpy(np.array(image))


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # DejaVu Sans has accents, Greek and arrows; Pillow's own font is ASCII only.
    package = find_spec("matplotlib")  # not imported, which would be slow
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        path = Path(folder, "mpl-data/fonts/ttf/DejaVuSans.ttf")
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def _printable(text: str) -> str:
    # No font accepts a lone surrogate.
    text = text.encode("utf-8", "replace").decode()
    return _UNPRINTABLE.sub(" ", text).strip()


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Return as much of ``text`` as fits into ``width``, with an ellipsis if it is cut."""
    if font.getlength(text) <= width:
        return text
    # A longer prefix is never narrower, so the longest that fits can be found by bisection.
    lengths = range(len(text))
    end = bisect_right(lengths, width, key=lambda end: font.getlength(text[:end] + _ELLIPSIS))
    return text[: end - 1].rstrip() + _ELLIPSIS if end else ""
