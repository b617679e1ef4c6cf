"""A real media process that runs out of what the system gives it."""

from __future__ import annotations

import resource
from pathlib import Path

from gpuview.engine import Engine
from gpuview.errors import MediaError
from gpuview.protocol.messages import Configure
from gpuview.protocol.ring import PixelFormat
from gpuview.settings import Settings
from tests.fakes import Listener

SIDE = 4096
NBYTES = SIDE * SIDE * 3


def address_space(pid: int) -> int:
    """Return the bytes of address space that a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def test_ring_that_finds_no_memory_is_told_and_tried_again() -> None:
    engine, listener = Engine(Configure(), Settings()), Listener()
    try:
        handle = engine.open_stream(listener, fps=30, max_bitrate_bps=10**6)
        handle.stats()  # it runs
        pid = engine.process.pid
        _, most = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (address_space(pid) + NBYTES, most))

        handle.begin(NBYTES)
        handle.publish(PixelFormat.RGB24, SIDE, SIDE, 0)

        error = listener.hear("encode_failed")
        assert isinstance(error, MediaError)
        assert "cannot map" in error.problem
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
        assert listener.hear("encode_failed") is None
        assert engine.process.pid == pid
    finally:
        engine.close()
