"""The check "packages": do the installed versions fit gpuview?

``pip check`` cannot replace it: uv's environments have no pip, and pip does not know JupyterLab's
half.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from packaging.requirements import Requirement

from gpuview.doctor.report import Check

__all__ = ["check_packages", "judge_packages"]

_LAB_SIDE = "jupyterlab-widgets"
# gpuview does not require these packages, but does not work with older versions.
_IF_INSTALLED = {
    "ipywidgets>=8": ": older ones show anywidget's views as text",
    "jupyterlab>=4": ": older ones do not load anywidget's modules",
    f"{_LAB_SIDE}>=3": ": JupyterLab's half of ipywidgets 8",
    "notebook>=7": ": older ones do not load anywidget's modules",
}
_SHOWN = ("ipykernel", "anywidget", "aiortc", "av")


def check_packages() -> list[Check]:
    """Compare the installed packages with what gpuview needs."""
    return judge_packages(metadata.requires("gpuview") or [], _installed)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def judge_packages(required: list[str], version_of: Callable[[str], str | None]) -> list[Check]:
    """List the packages with a wrong version. Pure.

    Args:
        required: gpuview's requirements, such as ``"aioice<0.14,>=0.13"``.
        version_of: Returns the version of a package; None if it is not installed.
    """
    needed = [(Requirement(text), "") for text in required]
    known = [(Requirement(text), why) for text, why in _IF_INSTALLED.items()]
    needed += [(each, why) for each, why in known if version_of(each.name) is not None]
    bad = [_bad(each, version_of(each.name), why) for each, why in needed if _is_active(each)]
    failures = [check for check in bad if check is not None]
    remarks = [] if version_of(_LAB_SIDE) else [_lab_side_missing()]
    if failures:
        return failures + remarks
    found = ", ".join(f"{name} {version_of(name)}" for name in _SHOWN)
    return [Check("packages", "ok", found), *remarks]


def _is_active(needed: Requirement) -> bool:
    return needed.marker is None or needed.marker.evaluate()


def _bad(needed: Requirement, version: str | None, why: str) -> Check | None:
    good = needed.specifier
    if version is not None and good.contains(version, prereleases=True):
        return None
    found = f"{version or 'not installed'}; needs {good}{why}"
    return Check(f"package {needed.name}", "fail", found, f"pip install '{needed.name}{good}'")


def _lab_side_missing() -> Check:
    return Check(
        f"package {_LAB_SIDE}",
        "remark",
        "not in this environment; the environment of JupyterLab needs it",
        "pip install ipywidgets, there",
    )
