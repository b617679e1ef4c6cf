"""How many copies a link that loses packets is worth."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.protection import MAX_COPIES, MIN_LOSS, Protection, protect

LOSSES = st.floats(0, 1)
ROOMS_BPS = st.floats(100_000, 30e6)


@given(loss=st.floats(0, MIN_LOSS, exclude_max=True), room_bps=ROOMS_BPS)
def test_clean_link_pays_nothing(loss: float, room_bps: float) -> None:
    assert protect(loss, room_bps, can_repeat=True) == Protection(room_bps, 0)


@given(loss=LOSSES, room_bps=ROOMS_BPS, can_repeat=st.booleans())
def test_picture_and_copies_together_fit(loss: float, room_bps: float, can_repeat: bool) -> None:
    found = protect(loss, room_bps, can_repeat=can_repeat)
    assert 0 < found.video_bps * (1 + found.n_copies) <= room_bps * (1 + 1e-9)
    assert 0 <= found.n_copies <= (MAX_COPIES if can_repeat else 0)


@given(loss=st.floats(MIN_LOSS, 1), room_bps=ROOMS_BPS, change=st.floats(0.99, 1.01))
def test_rate_does_not_jump(loss: float, room_bps: float, change: float) -> None:
    before = protect(loss, room_bps, can_repeat=True)
    for after in (
        protect(loss, room_bps * change, can_repeat=True),
        protect(min(max(loss * change, MIN_LOSS), 1), room_bps, can_repeat=True),
    ):
        assert math.isclose(after.video_bps, before.video_bps, rel_tol=0.04)


@pytest.mark.parametrize(
    ("loss", "room_bps", "n_copies"),
    [
        (0.01, 18e6, 1),
        (0.02, 18e6, 1),
        (0.1, 18e6, 2),
        (0.05, 18e6, 2),
        (0.1, 3e6, 1),
        (0.01, 2e6, 0),
        (0.1, 1e6, 0),
    ],
)
def test_as_many_copies_as_leave_most_to_the_picture(
    loss: float, room_bps: float, n_copies: int
) -> None:
    assert protect(loss, room_bps, can_repeat=True).n_copies == n_copies


def test_the_more_is_lost_the_fewer_packets_has_a_frame_that_cannot_be_repeated() -> None:
    rates_bps = [
        protect(loss, 20e6, can_repeat=False).video_bps for loss in (0, 0.01, 0.02, 0.1, 1)
    ]
    assert rates_bps == sorted(rates_bps, reverse=True)
    assert rates_bps[0] == 20e6
    assert rates_bps[-1] >= 1e6


@pytest.mark.parametrize("room_bps", [4e6, 18e6])
@pytest.mark.parametrize("loss", [0.01, 0.02, 0.05, 0.1])
def test_most_frames_arrive_whole_without_a_retransmission(loss: float, room_bps: float) -> None:
    found = protect(loss, room_bps, can_repeat=True)
    n_packets = math.ceil(found.video_bps / (30 * 8 * 1160))
    random = Random(11)

    def arrives() -> bool:
        return any(random.random() >= loss for _ in range(1 + found.n_copies))

    n_whole = sum(all(arrives() for _ in range(n_packets)) for _ in range(3000))
    assert n_whole > 0.93 * 3000
