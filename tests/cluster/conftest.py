"""What tests of runs share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import pytest

from gpuview import stream_widget
from gpuview.testing.kernel import Kernel
from tests.cluster.jobs import StartJob, starting_jobs
from tests.cluster.remotes import Remote
from tests.fakes import FakeEngine
from tests.streams import MakeStream


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel with a home of its own, where join files are."""
    (tmp_path / "home").mkdir()
    with Kernel(env={"HOME": str(tmp_path / "home")}) as kernel:
        yield kernel


@pytest.fixture
def start_job(tmp_path: Path) -> Iterator[StartJob]:
    with starting_jobs(tmp_path) as start:
        yield start


@pytest.fixture
def make_remote(make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    # The comms are fakes, by `make_stream`.
    engine = FakeEngine()
    monkeypatch.setattr(stream_widget, "shared_engine", lambda settings: engine)
    make = Remote(engine)
    yield make
    for each in make.made:
        each.close()
        ipywidgets.Widget.close(each)
