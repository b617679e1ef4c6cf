"""Viewers of a stream of this process, without a kernel."""

from __future__ import annotations

import threading
from typing import Any, Unpack

import numpy as np

from gpuview.errors import SettingsError
from gpuview.testing import current_test
from gpuview.testing.peer import Image
from gpuview.testing.stream import StreamProxy
from gpuview.testing.view import ViewOptions
from gpuview.testing.viewer import HeadlessViewer
from gpuview.testing.waiting import Changing
from gpuview.widget import GPUStream

__all__ = ["LocalStream", "connect"]

_attaching = threading.Lock()


def connect(stream: GPUStream, **options: Unpack[ViewOptions]) -> HeadlessViewer:
    """Open a viewer of a stream of this process, as a page would that displays it.

        with connect(stream) as viewer:
            viewer.assert_shows(tensor)

    Under pytest, ``with`` may be left out: the viewer is closed at the end of the test, or of the
    fixture, that has opened it. In an async test, ``async with`` gives methods to be awaited.

    Args:
        stream: The stream, of which there may be other viewers and pages.
        **options: ``codecs``, ``is_decoding``, and a poor link: ``loss``, ``delay_ms``,
            ``rate_bps`` and ``seed``; see `gpuview.testing.view.View`.

    Raises:
        SettingsError: It is not a stream of this process, or an option is out of its range.
    """
    if not isinstance(stream, GPUStream):
        raise SettingsError(
            f"cannot connect to a {type(stream).__name__}",
            expected="a GPUStream of this process",
            fix="for a stream of a kernel: kernel.view(kernel.stream())",
        )
    viewer = HeadlessViewer(LocalStream.of(stream), **options)
    current_test.opened(viewer)
    return viewer


class LocalStream(StreamProxy):
    """What a page knows of a stream of this process. Make it with `of`."""

    drawing = "as the stream draws it"

    def __init__(self, stream: GPUStream) -> None:
        super().__init__(stream.model_id, {}, send=self._say, changing=Changing())
        self._stream = stream
        self._saying = threading.Lock()

    @classmethod
    def of(cls, stream: GPUStream) -> LocalStream:
        """Return the one that belongs to ``stream``."""
        with _attaching:
            if not isinstance(stream.comm, _TappedComm):
                stream.comm = _TappedComm(stream.comm, cls(stream))
                # What has changed until now.
                stream.send_state([name for name in stream.keys if not name.startswith("_")])
            tapped: _TappedComm = stream.comm
            return tapped.local

    def draw(self, frame: object) -> Image:
        return np.asarray(self._stream.drawn(frame))

    def _say(self, data: dict[str, Any]) -> None:
        with self._saying:  # a kernel reads one message after the other
            self._stream.comm.handle_msg({"content": {"data": data}, "buffers": []})


class _TappedComm:
    """A stream's comm, from which viewers of this process hear what it says to all its pages.

    It has no ``kernel``: where ipykernel is imported and no kernel runs, that is None, and
    ipywidgets then says nothing.
    """

    def __init__(self, comm: Any, local: LocalStream) -> None:
        self.local = local
        self._comm = comm

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        self._comm.send(data, metadata, buffers)
        self.local.receive(data, buffers or ())

    def __getattr__(self, name: str) -> Any:
        if name == "kernel":
            raise AttributeError(name)
        return getattr(self._comm, name)
