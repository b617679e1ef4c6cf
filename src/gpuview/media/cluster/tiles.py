"""What pages are told of the ranks in a grid. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gpuview.protocol.carrier_messages import Tile
from gpuview.protocol.cluster_messages import Worker
from gpuview.protocol.page_messages import Problem

__all__ = ["are_alike", "tiles_of"]

_ALIKE_MS = 1000.0  # pages show seconds, and the clocks are read one after the other


def tiles_of(
    workers: Iterable[Worker],
    ranks: Iterable[int],
    known_ms: float,
    *,
    sizes: Mapping[int, tuple[int, int]],
    problems: Mapping[int, Problem | None],
) -> list[Tile]:
    """Return the tiles of a grid, by rank.

    Args:
        workers: Those that have joined, with as much of their status as `Roster.overview` has.
        ranks: Those that were asked for, and are shown before they have joined.
        known_ms: When this was known of the workers, in Unix time.
        sizes: The picture sizes that workers have said, where they have.
        problems: Why ranks send no packets, if they do not.
    """
    known = {each.rank: each for each in workers}
    return [
        _tile(rank, known.get(rank), known_ms, sizes.get(rank, (0, 0)), problems.get(rank))
        for rank in sorted({*known, *ranks})
    ]


def are_alike(tiles: Sequence[Tile], others: Sequence[Tile]) -> bool:
    """Tell whether pages show the same for both."""
    return len(tiles) == len(others) and all(map(_is_like, tiles, others))


def _is_like(tile: Tile, other: Tile) -> bool:
    apart_ms = abs((tile.silent_since or 0) - (other.silent_since or 0))
    return _without_time(tile) == _without_time(other) and apart_ms < _ALIKE_MS


def _without_time(tile: Tile) -> tuple[object, ...]:
    return tile.rank, tile.host, tile.width, tile.height, tile.text


def _tile(
    rank: int,
    worker: Worker | None,
    known_ms: float,
    size: tuple[int, int],
    problem: Problem | None,
) -> Tile:
    if worker is None:
        return Tile(rank=rank, host="", width=0, height=0, text="has not joined yet")
    status = worker.status
    if size == (0, 0) and status is not None:
        size = status.width, status.height
    return Tile(
        rank=rank,
        host=worker.host,
        width=size[0],
        height=size[1],
        text=_text(worker, problem),
        silent_since=None if worker.silent_s is None else known_ms - worker.silent_s * 1000,
    )


def _text(worker: Worker, problem: Problem | None) -> str:
    status = worker.status
    if worker.silent_s is not None:
        return ""  # that it is silent is enough
    if problem is not None:
        return problem.problem
    match None if status is None else status.state:
        case None | "waiting":
            return "waiting for its first frame"
        case "closed":
            return "has closed its view"
        case "live":
            return ""
        case _:
            assert status is not None
            return status.problem or "its media process starts again"
