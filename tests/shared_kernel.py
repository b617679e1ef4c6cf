"""One kernel for many tests: each finds it without streams, and may have settings of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from gpuview.testing.kernel import Kernel

__all__ = ["close_streams", "own_media"]

_CLOSE_STREAMS = """
for stream in [each for each in globals().values() if isinstance(each, GPUStream)]:
    stream.close()
"""
_END_MEDIA = """
from gpuview.engine.shared_engine import close_shared_engine
close_shared_engine()
"""
_SET = """
import os
environments = globals().get("environments", [])
environments.append(dict(os.environ))
os.environ.update({env!r})
"""
_RESET = """
os.environ.clear()
os.environ.update(environments.pop())
"""


def close_streams(kernel: Kernel) -> None:
    """Close what the kernel's variables refer to; the kernel has imported GPUStream."""
    kernel.run(_CLOSE_STREAMS)


@contextlib.contextmanager
def own_media(kernel: Kernel, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Give a kernel another media process for a while, with these environment variables too."""
    kernel.run(_END_MEDIA + _SET.format(env=dict(env or {})))
    try:
        yield
    finally:
        try:
            kernel.run(_CLOSE_STREAMS + _END_MEDIA)
        finally:
            kernel.run(_RESET)
