"""The wheel alone, in an environment of its own: no Node, no source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gpuview.testing.peer import image_of

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
OUTSIDE = ROOT / "tests" / "outside"

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


@dataclass(frozen=True)
class Environment:
    """Where the wheel is installed, with what a project's tests need beside it."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run its Python, without Node on the path and with nothing of this source tree."""
        clean = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            **{name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ},
        }
        command = [self.python, *arguments]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=cwd, env=clean
        )


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("environment"))
    subprocess.run([sys.executable, "-m", "venv", str(environment.folder)], check=True)
    install = [environment.python, "-m", "pip", "install", "--quiet"]
    install += ["--disable-pip-version-check"]
    install += ["--no-compile"]  # few of the files that come with PyTorch are ever imported
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    project = tomllib.loads((OUTSIDE / "pyproject.toml").read_text())
    needed = [f"{wheel}[testing]", *project["dependency-groups"]["test"]]
    subprocess.run([*install, *constraints, *needed], check=True, capture_output=True)
    return environment


def test_user_who_installs_the_wheel_sees_a_stream_without_node(
    environment: Environment, tmp_path: Path
) -> None:
    done = environment.run("-c", PLAY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shape, level = done.stdout.split(";")
    assert shape == "(192, 288, 3)"
    assert abs(int(level) - 200) <= 3


@pytest.fixture(scope="module")
def suite(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another project's folder, after its tests have run in two processes."""
    project = tmp_path_factory.mktemp("outside") / "glow"
    shutil.copytree(OUTSIDE, project)
    options = ("-n", "2", "--gpuview-pictures", "pictures", "--junitxml", "results.xml")
    done = environment.run("-m", "pytest", *options, cwd=project)
    assert done.returncode == 1, done.stdout + done.stderr  # of the one that is meant to fail
    return project


def test_suite_of_another_project_passes_but_for_what_is_meant_to_fail(suite: Path) -> None:
    cases = list(ElementTree.parse(suite / "results.xml").iter("testcase"))
    passed = {case.get("classname") for case in cases if len(case) == 0}
    assert [case.get("name") for case in cases if len(case)] == ["test_plate_is_cold"]
    modules = {path.stem for path in (suite / "tests").glob("test_*.py")}
    assert passed == {f"tests.{name}" for name in modules - {"test_meant_to_fail"}}


def test_failed_suite_says_what_was_compared_and_shows_both_pictures(suite: Path) -> None:
    (failure,) = ElementTree.parse(suite / "results.xml").iter("failure")
    told = f"{failure.get('message')}\n{failure.text}"
    (picture,) = (suite / "pictures").iterdir()
    assert picture.name == "tests-test_meant_to_fail.py-test_plate_is_cold-1.png"
    assert str(picture) in told
    assert "128 of 255 levels, in red at row 0, column 319 of 320 x 192 pixels" in told
    assert "128 instead of 0" in told
    assert "as the stream draws it" in told
    assert "deadline" not in told, "the lines of gpuview are left out"
    shown = image_of(picture.read_bytes())
    assert shown.shape == (192, 320 + 8 + 320, 3)
    assert shown[:, 319].min() == shown[:, 319].max() == 128
    assert shown[:, 328:].max() == 0
