"""What `docs/design.md` says of the files is true, and complete."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_DESIGN = (_ROOT / "docs" / "design.md").read_text()
_NAMED = {name.rpartition("/")[2] for name in re.findall(r"`([\w/]+\.(?:py|ts))`", _DESIGN)}
_SOURCES = {
    *(_ROOT / "src" / "gpuview").rglob("*.py"),
    *(_ROOT / "js" / "src").rglob("*.ts"),
}
_OTHERS = {"__init__.py"}
_AS_FOLDER = _ROOT / "src" / "gpuview" / "doctor"


def test_every_file_is_named() -> None:
    files = {path for path in _SOURCES if _AS_FOLDER not in path.parents}
    assert len(files) > 300
    assert {path.name for path in files} - _OTHERS - _NAMED == set()


def test_every_name_is_a_file() -> None:
    assert _NAMED - {path.name for path in _SOURCES} == set()
