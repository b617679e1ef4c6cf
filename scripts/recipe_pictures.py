"""Make the pictures of docs/recipes.md from its cells.

PYTHONPATH=src python scripts/recipe_pictures.py    writes docs/recipes/*.png
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from gpuview.frames.snapshot import preview

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
LONGEST_SIDE = 400
MAX_NBYTES = 60_000


def recipes() -> list[tuple[str, str]]:
    """Return each cell with the file of its picture; empty for the first, which has none."""
    text = PAGE.read_text()
    cells = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    pictures = re.findall(r"^!\[.*?\]\((.*?)\)$", text, re.MULTILINE)
    return list(zip(cells, ["", *pictures], strict=True))


def picture_of(stream: Any) -> Image.Image:
    """Return what the stream's view shows, with few enough colours for a small file."""
    stream.frame()  # asks its source
    feed = stream._feed
    shown, _ = preview(feed.selected(), feed.look, feed.readings, longest_side=LONGEST_SIDE)
    return shown.quantize(255, dither=Image.Dither.NONE)


def main() -> None:
    """Write all pictures."""
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the cells write files
        for cell, picture in recipes():
            exec(cell, names)
            if not picture:
                continue
            path = PAGE.parent / picture
            picture_of(names["stream"]).save(path, optimize=True)
            names["stream"].close()
            if path.stat().st_size > MAX_NBYTES:
                raise SystemExit(f"{path.name} has {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
