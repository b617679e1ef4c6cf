"""What the scripts that write a generated file have in common."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["write_or_compare"]


def write_or_compare(target: Path, text: str, doc: str) -> int:
    """Write ``text`` to ``target``, or with ``--check`` only compare; return the exit status.

    Args:
        target: The generated file.
        text: What it is to hold.
        doc: The script's own docstring.
    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    if not parser.parse_args().check:
        target.write_text(text)
        return 0
    if target.exists() and target.read_text() == text:
        return 0
    command = f"PYTHONPATH=src python scripts/{Path(sys.argv[0]).name}"
    sys.stderr.write(f"{target.name} is out of date\n  try: {command}\n")
    return 1
