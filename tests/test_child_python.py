"""A child finds this process's packages, and none of the user's modules instead of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpuview.child_python import command, environment, search_path

OWN = ["/lib/python3.zip", "/lib/python3", "/site", "/editable/src"]
ROOT = Path(__file__).parents[1]


def path_with(home: str, parents: list[str]) -> list[str]:
    return search_path(OWN, parents, home=home, site_folders=["/site", "/home/me/site"])


def test_folders_of_the_notebook_come_last() -> None:
    assert path_with("/site", ["/project", *OWN, "/target"]) == [*OWN, "/project", "/target"]


def test_the_folder_that_gpuview_is_in_comes_before_other_installed_packages() -> None:
    found = path_with("/target", [*OWN, "/target"])
    assert found == ["/lib/python3.zip", "/lib/python3", "/target", "/site", "/editable/src"]


def test_all_is_appended_where_no_package_is_installed() -> None:
    found = search_path(["/lib"], ["/lib", "/a", "/target"], home="/target", site_folders=["/site"])
    assert found == ["/lib", "/target", "/a"]


KERNEL = """
import sys
sys.path += {packages!r}
from gpuview.engine.shared_engine import shared_engine
sys.path[:0] = ["", "mine"]
from gpuview.settings import Settings
from tests.fakes import Listener
stream = shared_engine(Settings()).open_stream(Listener(), fps=30, max_bitrate_bps=10**6)
print(stream.stats(60))
"""


def test_media_process_runs_with_the_folders_of_the_notebook_and_without_the_users_modules(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("av.py", "mine/logging.py", "mine/random.py", "mine/types.py"):
        (tmp_path / name).write_text("raise ImportError('of the user')")
    installed = [folder for folder in sys.path if folder.endswith("site-packages")]
    kernel = KERNEL.format(packages=[str(ROOT / "src"), *installed, str(ROOT)])
    base_python = getattr(sys, "_base_executable", sys.executable)  # which has no packages
    done = subprocess.run(
        [base_python, "-I", "-c", kernel],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.startswith("Stats("), done.stderr


def test_child_does_not_see_pythonpath_but_what_was_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise ImportError('of the user')")
    (tmp_path / "said.py").write_text("import random, sys\nprint(sys.argv[1:], __name__)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), "", tmp_path])
    done = subprocess.run(
        command("said", "a b"), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "['a b'] __main__\n", done.stderr
