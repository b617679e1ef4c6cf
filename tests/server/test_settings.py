"""The extension's configuration, and that what is written about it is current."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpuview.server import GPUViewServer
from gpuview.server.refusal import CloseCode

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "av", "aiortc", "aioice", "numpy", "anywidget", "ipywidgets", "pydantic"}


@pytest.mark.parametrize("name", sorted(GPUViewServer.class_own_traits(config=True)))
def test_every_option_is_documented_as_it_is(name: str) -> None:
    trait = GPUViewServer.class_own_traits()[name]
    row = f"| `c.GPUViewServer.{name}` | {trait.help} | `{trait.default_value}` |"
    assert row in (ROOT / "docs" / "settings.md").read_text()


def test_page_knows_the_codes_that_it_tells_apart() -> None:
    source = (ROOT / "js" / "src" / "carriers" / "close_codes.ts").read_text()
    for code in CloseCode:
        assert f"{code.name.lower()}: {int(code)}" in source


def test_extension_is_enabled_by_the_file_that_is_installed() -> None:
    path = ROOT / "etc/jupyter/jupyter_server_config.d/gpuview.json"
    extensions = json.loads(path.read_text())["ServerApp"]["jpserver_extensions"]
    assert extensions == {"gpuview.server": True}


def test_extension_loads_nothing_that_only_kernels_have() -> None:
    code = "import gpuview.server, sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & (HEAVY | {"msgspec"})
    own = {name for name in loaded if name.startswith("gpuview.") and ".server" not in name}
    assert own == {"gpuview.errors", "gpuview.protocol", "gpuview.protocol.local_socket"}
