"""The wheel alone, in an environment of its own: no Node, no source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]

# Shows a stream in a real kernel of that environment and plays it to a headless viewer.
PLAY = """
import gpuview, sys
from gpuview.testing.kernel import Kernel
assert gpuview.__file__.startswith(sys.prefix), gpuview.__file__
with Kernel() as kernel:
    kernel.run("import torch; from gpuview import GPUStream", timeout_s=300)
    kernel.run("display(GPUStream(lambda: torch.full((192, 288, 3), 200, dtype=torch.uint8)))")
    with kernel.view(kernel.stream()) as viewer:
        frame = viewer.next_frame(timeout_s=60)
print(frame.shape, int(frame.mean()), sep=";")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_wheel_holds_the_built_front_end_and_no_sources_of_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "gpuview/static/widget.js" in names
    assert "gpuview/static/widget.css" in names
    assert "gpuview/static/view.js" in names
    assert "gpuview/static/view.css" in names
    assert "gpuview/py.typed" in names
    extension = "share/jupyter/labextensions/gpuview"
    for name in ("package.json", "install.json", "static/extension.js"):
        assert [each for each in names if each.endswith(f".data/data/{extension}/{name}")]
    assert not [name for name in names if name.endswith((".ts", ".map")) or "node_modules" in name]


def test_wheel_enables_the_jupyter_server_extension(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    enabling = "data/etc/jupyter/jupyter_server_config.d/gpuview.json"
    assert [name for name in names if name.endswith(enabling)]


def test_user_who_installs_the_wheel_sees_a_stream_without_node(
    wheel: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--no-compile"]  # few of the files that come with PyTorch are ever imported
    constraints = ["--constraint", ROOT / "constraints.txt"]
    subprocess.run([*install, *constraints, f"{wheel}[testing]"], check=True, capture_output=True)
    # No Node on the path, and nothing of this source tree.
    clean = {
        "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        **{name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ},
    }
    done = subprocess.run(
        [python, "-c", PLAY], check=False, capture_output=True, text=True, cwd=tmp_path, env=clean
    )
    assert done.returncode == 0, done.stderr
    shape, level = done.stdout.split(";")
    assert shape == "(192, 288, 3)"
    assert abs(int(level) - 200) <= 3
