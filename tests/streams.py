"""Streams whose engine and comm are fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comm
import ipywidgets
import pytest

from gpuview import GPUStream, stream_widget
from tests.fakes import FakeComm, FakeEngine

__all__ = ["MakeStream", "making_streams"]

MakeStream = Callable[..., tuple[GPUStream, FakeEngine, FakeComm]]


@contextmanager
def making_streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeStream]:
    """Give a function that makes them; they are closed at the end."""
    comms: list[FakeComm] = []

    def create_comm(**opening: Any) -> FakeComm:
        comms.append(FakeComm(**opening))
        return comms[-1]

    streams: list[GPUStream] = []

    def make(source: object = None, **options: Any) -> tuple[GPUStream, FakeEngine, FakeComm]:
        engine = FakeEngine()
        monkeypatch.setattr(stream_widget, "shared_engine", lambda settings: engine)
        streams.append(GPUStream(source, **options))
        # The comm that was made last is the stream's; its layout has one as well.
        return streams[-1], engine, comms[-1]

    monkeypatch.setattr(comm, "create_comm", create_comm)
    yield make
    for stream in streams:
        stream.close()
        ipywidgets.Widget.close(stream)
