"""`RemoteGrid`, the widget that shows several ranks of a run side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import NoReturn

from gpuview.cluster.identity import checked_rank
from gpuview.cluster.remote import HINT, checked_name
from gpuview.cluster.run_state import GridState
from gpuview.cluster.run_stream import RunStream
from gpuview.errors import SettingsError
from gpuview.protocol.cluster_messages import Worker
from gpuview.protocol.interaction_messages import Interaction
from gpuview.public_names import PublicFace
from gpuview.settings import Settings

__all__ = ["RemoteGrid"]

_MAX_RANKS = 256


class RemoteGrid(RunStream, metaclass=PublicFace):
    """Live pictures of several ranks of a run in one grid; see `GPUStream.remote`.

        stream = GPUStream.remote("run1", ranks="all")
        display(stream)
        environment = stream.join()   # of the job, where gpuview.publish("run1") is called

    Each rank has a tile, which says what is wrong with it. The pictures are as large as the tiles
    are on the page, and all of them share one connection, which is not WebRTC.
    """

    _fields = ("join", "tunnel", "workers", "stats", "viewers", "close", "doctor")
    """See `gpuview.public_names`."""

    def __init__(
        self,
        name: str,
        *,
        ranks: object,
        max_bitrate_bps: int = 20_000_000,
        caption: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        carriers = [each for each in settings.carriers if each != "webrtc"]
        if not carriers:
            raise SettingsError(
                "a grid of ranks cannot be shown by WebRTC, and the setting carriers has no other",
                expected="socket or comm in it",
                fix="leave GPUVIEW_CARRIERS unset",
            )
        super().__init__(
            GridState(HINT, run=checked_name(name), ranks=checked_ranks(ranks)),
            max_bitrate_bps=max_bitrate_bps,
            caption=caption,
            settings=settings,
            carriers=carriers,
        )
        self.recording = None

    def record(self, path: str | PathLike[str], *, overwrite: bool = False) -> NoReturn:
        """Refuse to record.

        Raises:
            SettingsError: Always.
        """
        raise self._only_one("record")

    def publish(self, url: str, *, token: str | None = None) -> NoReturn:
        """Refuse to publish.

        Raises:
            SettingsError: Always.
        """
        raise self._only_one("publish")

    def _allowed(self, workers: Sequence[Worker]) -> Interaction:
        said = next((each.interaction for each in workers if each.interaction), Interaction())
        return Interaction(knobs=said.knobs)  # events are about places in one picture

    def _only_one(self, what: str) -> SettingsError:
        return SettingsError(
            f"cannot {what} a grid of ranks",
            expected="a stream of one rank, which may be open beside the grid",
            fix=f"GPUStream.remote({self._run!r}, rank=0).{what}(...)",
        )


def checked_ranks(ranks: object) -> tuple[int, ...]:
    """Return the ranks of a grid in order; none stands for all.

    Raises:
        SettingsError: They are neither ``"all"`` nor some ranks.
    """
    if ranks == "all":
        return ()
    is_list = isinstance(ranks, Iterable) and not isinstance(ranks, str)
    chosen = sorted({checked_rank(rank) for rank in ranks}) if is_list else []  # type: ignore[attr-defined]
    if not 1 <= len(chosen) <= _MAX_RANKS:
        raise SettingsError(
            f"cannot show {ranks = }",
            expected=f'"all", or 1 to {_MAX_RANKS} ranks',
            fix="GPUStream.remote(name, ranks=[0, 1])",
        )
    return tuple(chosen)
