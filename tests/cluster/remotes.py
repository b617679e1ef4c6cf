"""Streams of other machines whose engine is a fake."""

from __future__ import annotations

from typing import Any

from gpuview import GPUStream
from gpuview.cluster.remote import RemoteStream
from gpuview.cluster.remote_grid import RemoteGrid
from gpuview.protocol.cluster_messages import Worker, WorkersChanged
from gpuview.protocol.page_messages import Problem
from tests.fakes import FakeEngine

__all__ = ["Remote", "worker"]


class Remote:
    """Makes remote streams whose engine is a fake."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.made: list[RemoteStream | RemoteGrid] = []

    def __call__(self, name: str = "run1", **options: Any) -> RemoteStream | RemoteGrid:
        self.made.append(GPUStream.remote(name, **options))
        return self.made[-1]

    def workers(self, *workers: Worker, problem: Problem | None = None) -> None:
        message = WorkersChanged(workers=list(workers), problem=problem)
        self.engine.tell("cluster_changed", message)


def worker(rank: int = 0, **fields: Any) -> Worker:
    return Worker(rank=rank, world_size=4, host="node7", pid=11, **fields)
