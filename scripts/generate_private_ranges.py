"""Write js/src/private_ranges.ts, the page's copy of gpuview.webrtc.addresses.PRIVATE_RANGES.

PYTHONPATH=src python scripts/generate_private_ranges.py            write it
PYTHONPATH=src python scripts/generate_private_ranges.py --check    exit with 1 if it is stale
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import write_or_compare

from gpuview.webrtc.addresses import PRIVATE_RANGES

TARGET = Path(__file__).resolve().parent.parent / "js" / "src" / "private_ranges.ts"
HEADER = """\
// Generated from src/gpuview/webrtc/addresses.py by scripts/generate_private_ranges.py.
// Do not edit.

/** The addresses that the internet does not route. */
export const PRIVATE_RANGES: readonly string[] = [
"""


def typescript() -> str:
    """Return the whole text of private_ranges.ts."""
    return HEADER + "".join(f'  "{text}",\n' for text in PRIVATE_RANGES) + "];\n"


if __name__ == "__main__":
    sys.exit(write_or_compare(TARGET, typescript(), __doc__))
