"""Make the pictures of docs/recipes.md and docs/gallery.md from their cells.

PYTHONPATH=src python scripts/recipe_pictures.py    writes docs/recipes/*.png, docs/gallery/*.png
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from gpuview.frames.snapshot import preview

DOCS = Path(__file__).resolve().parent.parent / "docs"
FRAMES = {"recipes.md": 1, "gallery.md": 130}
"""Which frame of each cell the picture is of."""
LONGEST_SIDE = 400
MAX_NBYTES = 60_000


def cells_of(page: Path) -> list[tuple[str, str]]:
    """Return each cell with the file of its picture; empty for one that comes before the first."""
    text = page.read_text()
    cells = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    pictures = re.findall(r"^!\[.*?\]\((.*?)\)$", text, re.MULTILINE)
    return list(zip(cells, [""] * (len(cells) - len(pictures)) + pictures, strict=True))


def picture_of(stream: Any, n_frames: int) -> Image.Image:
    """Return what the stream's view shows, with few enough colours for a small file."""
    feed, source = stream._feed, stream._source
    stream.frame()  # asks its source
    if source is not None and n_frames > 1:
        source.watch(True)
        while feed.n_pushed < n_frames:
            time.sleep(0.01)
        source.watch(False)
    shown, _ = preview(feed.selected(), feed.look, feed.readings, longest_side=LONGEST_SIDE)
    return shown.quantize(255, dither=Image.Dither.NONE)


def write_pictures(page: Path, n_frames: int) -> None:
    """Write the pictures of one page."""
    names: dict[str, Any] = {}
    for cell, picture in cells_of(page):
        exec(cell, names)
        if not picture:
            continue
        path = DOCS / picture
        picture_of(names["stream"], n_frames).save(path, optimize=True)
        names["stream"].close()
        if path.stat().st_size > MAX_NBYTES:
            raise SystemExit(f"{path.name} has {path.stat().st_size} bytes")


def main() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the cells write files
        for name, n_frames in FRAMES.items():
            write_pictures(DOCS / name, n_frames)


if __name__ == "__main__":
    main()
