"""What pages are told of the ranks in a grid."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gpuview.media.cluster.rank_roster import Roster
from gpuview.media.cluster.tiles import are_alike, tiles_of
from gpuview.protocol.carrier_messages import Tile
from gpuview.protocol.cluster_messages import Join, Worker
from gpuview.protocol.interaction_messages import Interaction, Knob
from gpuview.protocol.page_messages import Problem, Status

TOLD_MS = 1_700_000_000_000.0
NO = Problem(problem="x264 has failed", expected="memory", fix="free some")


def worker(rank: int, status: Status | None = None, silent_s: float | None = None) -> Worker:
    return Worker(
        rank=rank, world_size=4, host=f"node{rank}", pid=7, status=status, silent_s=silent_s
    )


def tile_of(worker: Worker, problem: Problem | None = None) -> Tile:
    problems = {worker.rank: problem}
    (tile,) = tiles_of([worker], [], TOLD_MS, sizes={}, problems=problems)
    return tile


def test_tiles_are_in_the_order_of_their_ranks_with_those_that_are_missing() -> None:
    sizes: Mapping[int, tuple[int, int]] = {2: (64, 48)}
    tiles = tiles_of([worker(2), worker(0)], [2, 1], TOLD_MS, sizes=sizes, problems={})
    assert [(each.rank, each.host, each.width, each.text) for each in tiles] == [
        (0, "node0", 0, "waiting for its first frame"),
        (1, "", 0, "has not joined yet"),
        (2, "node2", 64, "waiting for its first frame"),
    ]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (Status(state="live"), ""),
        (Status(state="waiting"), "waiting for its first frame"),
        (Status(state="closed"), "has closed its view"),
        (Status(state="restarting"), "its media process starts again"),
        (Status(state="error", problem="no such layer"), "no such layer"),
    ],
)
def test_tile_says_what_its_stream_is_doing(status: Status, text: str) -> None:
    assert tile_of(worker(1, status)).text == text


def test_tile_says_why_no_packets_come() -> None:
    assert tile_of(worker(1, Status(state="live")), NO).text == "x264 has failed"


def test_tile_of_a_silent_worker_says_since_when_and_nothing_else() -> None:
    tile = tile_of(worker(1, Status(state="error", problem="no"), silent_s=4.5), NO)
    assert (tile.silent_since, tile.text) == (TOLD_MS - 4500, "")


def test_tiles_are_alike_if_a_page_shows_the_same() -> None:
    def tile(silent_since: float | None = None, text: str = "") -> list[Tile]:
        return [Tile(rank=1, host="a", width=9, height=9, text=text, silent_since=silent_since)]

    assert are_alike(tile(), tile())
    assert are_alike(tile(TOLD_MS), tile(TOLD_MS - 1))
    for other in (tile(TOLD_MS - 1001), tile(), tile(TOLD_MS, "no"), []):
        assert not are_alike(tile(TOLD_MS), other)


def test_size_is_what_the_worker_said_before_its_media_process_knows_one() -> None:
    tile = tile_of(worker(1, Status(state="live", width=640, height=360)))
    assert (tile.width, tile.height) == (640, 360)


def test_overview_has_each_shown_status_in_short_and_the_first_one_s_knobs() -> None:
    roster = Roster("run1")
    for rank in range(3):
        name = {"version": "1", "attempt": str(rank), "run": "run1", "host": "node7"}
        roster.admit(Join(rank=rank, world_size=3, pid=rank, **name), 0.0)
        status = Status(state="error", problem="long " * 500, caption="a line", hint="a hint")
        roster.note(rank, status)
        knob = Knob(kind="toggle", name=f"of rank {rank}", value=True)
        roster.note(rank, Interaction(knobs=[knob]))
    roster.lost(1)
    zero, one, two = roster.overview(9.0, lambda rank: rank > 0)
    assert (zero.status, zero.interaction) == (None, None)
    assert (one.silent_s, one.interaction) == (9.0, None)
    assert two.interaction is not None
    assert two.interaction.knobs[0].name == "of rank 2"
    assert two.status is not None
    assert (two.status.state, two.status.caption, two.status.hint) == ("error", "", "")
    assert len(two.status.problem) <= 200
