"""When a keyframe that viewers ask for is made."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.encode.keyframe_requests import (
    JOIN_SPACING_S,
    LOSS_SPACING_S,
    KeyframeGate,
    LossRequests,
)


def test_first_request_is_due_at_once() -> None:
    gate = KeyframeGate()
    gate.request(5.0, LOSS_SPACING_S)
    assert gate.due_s <= 5.0


def test_nobody_asked_so_nothing_is_due() -> None:
    assert KeyframeGate().due_s > 1e9


def test_ten_requests_are_answered_by_one_keyframe() -> None:
    gate = KeyframeGate()
    for _ in range(10):
        gate.request(5.0, LOSS_SPACING_S)
    gate.done(5.0)
    assert gate.due_s > 1e9


def test_request_too_soon_is_put_off_and_not_forgotten() -> None:
    gate = KeyframeGate()
    gate.done(5.0)
    gate.request(5.1, LOSS_SPACING_S)
    assert gate.due_s > 5.1
    assert gate.due_s <= 5.0 + LOSS_SPACING_S


def test_joining_viewer_does_not_wait_as_long_as_one_that_lost_packets() -> None:
    gate = KeyframeGate()
    gate.done(5.0)
    gate.request(5.01, LOSS_SPACING_S)
    gate.request(5.02, JOIN_SPACING_S)
    assert gate.due_s <= 5.0 + JOIN_SPACING_S


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_keyframes_for_losses_are_never_closer_than_their_spacing(requests: list[float]) -> None:
    gate = KeyframeGate()
    made: list[float] = []
    for now_s in sorted(requests):
        gate.request(now_s, LOSS_SPACING_S)
        if now_s >= gate.due_s:
            gate.done(now_s)
            made.append(now_s)
    assert made[0] == min(requests)
    gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
    assert all(gap >= LOSS_SPACING_S - 1e-9 for gap in gaps)


def test_viewer_that_asks_again_and_again_is_served_every_two_seconds() -> None:
    requests = LossRequests()
    spacings = [requests.spacing_s(number / 10) for number in range(100)]
    assert spacings[0] == LOSS_SPACING_S
    assert spacings[20:] == [2.0] * 80
    assert requests.spacing_s(60.0) == LOSS_SPACING_S


def test_burst_of_requests_is_one() -> None:
    requests = LossRequests()
    assert {requests.spacing_s(5 + number / 1000) for number in range(100)} == {LOSS_SPACING_S}
