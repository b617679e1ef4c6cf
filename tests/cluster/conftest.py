"""What tests of runs share."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets
import pytest

from gpuview import stream_widget
from tests.cluster.remotes import Remote
from tests.fakes import FakeEngine
from tests.streams import MakeStream


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
