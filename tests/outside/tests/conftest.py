from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpuview import GPUStream
from gpuview.testing import HeadlessViewer


@pytest.fixture
def stream() -> Iterator[GPUStream]:
    with GPUStream() as stream:
        yield stream


@pytest.fixture
def left_open() -> Iterator[list[HeadlessViewer]]:
    """Takes viewers that nobody closes, and looks at them after the test."""
    viewers: list[HeadlessViewer] = []
    yield viewers
    assert viewers
    assert [viewer.state for viewer in viewers] == ["closed"] * len(viewers)
