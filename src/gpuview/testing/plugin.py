"""The pytest plugin: a kernel as a fixture, the ends of viewers, and a place for pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gpuview.testing.current_test import close_all, naming, noting_viewers

if TYPE_CHECKING:
    from gpuview.testing.kernel import Kernel

__all__ = ["gpuview_kernel"]

_FOLDERS = pytest.StashKey[pytest.TempPathFactory]()


@pytest.fixture
def gpuview_kernel() -> Iterator[Kernel]:
    """Give a running kernel, `gpuview.testing.kernel.Kernel`, and shut it down after the test."""
    # Imported here: every pytest run of every environment with gpuview loads this file.
    from gpuview.testing.kernel import Kernel

    with Kernel() as kernel:
        yield kernel


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--gpuview-pictures``."""
    parser.getgroup("gpuview").addoption(
        "--gpuview-pictures",
        metavar="FOLDER",
        help="where a failed assert_shows saves what came beside what was expected; without it, in "
        "pytest's temporary folder",
    )


@pytest.fixture(scope="session", autouse=True)
def _gpuview_folders(request: pytest.FixtureRequest, tmp_path_factory: object) -> None:
    """Learn where pytest's temporary folder is, which is made when it is asked for."""
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    request.config.stash[_FOLDERS] = tmp_path_factory


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Save the pictures of a test, and of its fixtures, by its name."""

    def place() -> Path:
        folder = item.config.getoption("--gpuview-pictures")
        if folder is not None:
            return Path(item.config.invocation_params.dir, folder)
        return item.config.stash[_FOLDERS].mktemp("gpuview-pictures")

    with naming(item.nodeid, place):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Close the viewers that a fixture has opened when the fixture ends."""
    with noting_viewers() as viewers:
        try:
            return (yield)
        finally:
            if viewers:
                request.addfinalizer(lambda: close_all(viewers))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Close the viewers that a test has opened when the test ends."""
    with noting_viewers() as viewers:
        try:
            return (yield)
        finally:
            close_all(viewers)
