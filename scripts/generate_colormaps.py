"""Write src/gpuview/frames/picture/colormap_tables.py, the maps that need no matplotlib.

PYTHONPATH=src python scripts/generate_colormaps.py            write the file
PYTHONPATH=src python scripts/generate_colormaps.py --check    exit with 1 when it is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from generated import write_or_compare

from gpuview.frames.picture.colormap import BUILT_IN

TARGET = Path(__file__).resolve().parents[1] / "src/gpuview/frames/picture/colormap_tables.py"
COLOURS_IN_A_LINE = 12
HEADER = '''\
"""The colours of the built-in maps, 256 each, RGB in hexadecimal, as matplotlib paints them.

Generated from matplotlib by scripts/generate_colormaps.py. Do not edit.

Source:
    viridis, magma: N. J. Smith, S. van der Walt, E. Firing (BIDS/colormap); CC0.
    turbo: A. Mikhailov, "Turbo, an improved rainbow colormap", Google 2019; Apache-2.0.
    coolwarm: K. Moreland, "Diverging Color Maps for Scientific Visualization", ISVC 2009; his
        tables are free to use, and matplotlib's licence covers this one.
"""

TABLES = {
'''


def module() -> str:
    """Return the whole text of colormap_tables.py."""
    # "gray" is computed.
    return HEADER + "".join(table(name) for name in BUILT_IN if name != "gray") + "}\n"


def table(name: str) -> str:
    """Return one entry of the dictionary."""
    colours = [
        bytes(row[:3]).hex() for row in matplotlib.colormaps[name](np.arange(256), bytes=True)
    ]
    lines = [
        " ".join(colours[start : start + COLOURS_IN_A_LINE])
        for start in range(0, len(colours), COLOURS_IN_A_LINE)
    ]
    indented = "".join(f"        {line}\n" for line in lines)
    return f'    "{name}": """\n{indented}    """,\n'


if __name__ == "__main__":
    sys.exit(write_or_compare(TARGET, module(), __doc__))
