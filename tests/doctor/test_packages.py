"""Which versions of other packages are good."""

from __future__ import annotations

from importlib import metadata

import pytest

from gpuview.doctor.packages import check_packages, judge_packages

REQUIRED = ["aioice<0.14,>=0.13", "ipykernel!=7.0.*,>=6.29", 'pytest>=8.3; extra == "testing"']
GOOD = {
    "aioice": "0.13.2",
    "aiortc": "1.16.0",
    "anywidget": "0.11.0",
    "av": "18.1.0",
    "ipykernel": "7.1.0",
    "ipywidgets": "8.1.5",
    "jupyterlab": "4.4.1",
    "jupyterlab-widgets": "3.0.13",
}


def test_packages_of_this_environment_are_good() -> None:
    (check,) = check_packages()
    assert check.mark == "ok"
    assert f"av {metadata.version('av')}" in check.found


def test_good_packages_are_one_line() -> None:
    (check,) = judge_packages(REQUIRED, GOOD.get)
    assert (check.name, check.mark) == ("packages", "ok")
    assert check.found == "ipykernel 7.1.0, anywidget 0.11.0, aiortc 1.16.0, av 18.1.0"


@pytest.mark.parametrize(
    ("name", "version", "mark", "fix"),
    [
        ("ipykernel", "7.0.1", "fail", "pip install 'ipykernel!=7.0.*,>=6.29'"),
        ("ipykernel", "6.20", "fail", "pip install 'ipykernel!=7.0.*,>=6.29'"),
        ("aioice", "0.14.0", "fail", "pip install 'aioice<0.14,>=0.13'"),
        ("aioice", None, "fail", "pip install 'aioice<0.14,>=0.13'"),
        ("ipywidgets", "7.8.5", "fail", "pip install 'ipywidgets>=8'"),
        ("jupyterlab", "3.6.8", "fail", "pip install 'jupyterlab>=4'"),
        ("notebook", "6.5.7", "fail", "pip install 'notebook>=7'"),
        ("jupyterlab-widgets", "1.1.11", "fail", "pip install 'jupyterlab-widgets>=3'"),
        ("jupyterlab-widgets", None, "remark", "pip install ipywidgets, there"),
    ],
)
def test_package_that_is_known_to_be_bad_is_named(
    name: str, version: str | None, mark: str, fix: str
) -> None:
    installed = {**GOOD, name: version}
    bad = judge_packages(REQUIRED, installed.get)[-1]
    assert (bad.name, bad.mark, bad.fix) == (f"package {name}", mark, fix)
    assert (version or "not") in bad.found
