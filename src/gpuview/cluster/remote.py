"""`RemoteStream`, the widget that shows one rank of a run."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime

from gpuview.cluster.identity import checked_rank
from gpuview.cluster.run_state import RunState
from gpuview.cluster.run_stream import RunStream
from gpuview.errors import SettingsError
from gpuview.protocol.cluster_messages import Worker
from gpuview.protocol.interaction_messages import Interaction
from gpuview.protocol.join_file import RUN_NAME
from gpuview.public_names import PublicFace
from gpuview.settings import Settings

__all__ = ["HINT", "RemoteStream", "checked_name"]

HINT = "start the job with stream.join() in its environment"


class RemoteStream(RunStream, metaclass=PublicFace):
    """A live picture of tensors that are pushed on another machine; see `GPUStream.remote`.

        stream = GPUStream.remote("run1")
        display(stream)
        environment = stream.join()   # of the job, where gpuview.publish("run1") is called

    It plays while a worker of the run is there that has the wanted rank, and says what it waits
    for. The worker may die, and come back on any machine.
    """

    _fields = (
        "join",
        "tunnel",
        "workers",
        "record",
        "publish",
        "stats",
        "viewers",
        "close",
        "doctor",
    )
    """See `gpuview.public_names`."""

    def __init__(
        self,
        name: str,
        *,
        rank: int = 0,
        max_bitrate_bps: int = 20_000_000,
        caption: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        self._rank = checked_rank(rank)
        super().__init__(
            RunState(HINT, run=checked_name(name), rank=self._rank),
            max_bitrate_bps=max_bitrate_bps,
            caption=caption,
            settings=settings,
            carriers=settings.carriers,
        )

    def _silence(self, workers: Sequence[Worker]) -> dict[str, str]:
        shown = self._worker(workers)
        silent_s = None if shown is None else shown.silent_s
        return {"silent_since": "" if silent_s is None else _time_of_day(silent_s)}

    def _allowed(self, workers: Sequence[Worker]) -> Interaction:
        shown = self._worker(workers)
        return (None if shown is None else shown.interaction) or Interaction()

    def _worker(self, workers: Sequence[Worker]) -> Worker | None:
        return next((each for each in workers if each.rank == self._rank), None)


def checked_name(name: object) -> str:
    """Return the name of a run.

    Raises:
        SettingsError: It is not a name.
    """
    if not (isinstance(name, str) and re.match(RUN_NAME, name)):
        raise SettingsError(
            f"cannot call a run {name!r}",
            expected="1 to 64 letters, digits, dots, hyphens or underscores",
            fix='GPUStream.remote("run1")',
        )
    return name


def _time_of_day(ago_s: float) -> str:
    return f"{datetime.fromtimestamp(time.time() - ago_s):%H:%M:%S}"
