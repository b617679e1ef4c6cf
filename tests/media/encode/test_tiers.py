"""Who shares an encode: the decisions, on a clock of the test's own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.encode.tiers import Demand, Member, Meter, Tier, demand, moves, scaled_side

SHARP, MEDIUM, MUSH = 22, 34, 48


def viewer(target_bps: float) -> Member:
    """Return one whose link takes so much."""
    member = Member()
    member.report(target_bps, -math.inf, 0.0)
    return member


class Stream:
    """Viewers of one codec, and what their encoders would report."""

    def __init__(self, *targets_bps: float) -> None:
        self.now_s = 0.0
        self.members = [viewer(target_bps) for target_bps in targets_bps]
        self.history: list[tuple[float, Member, Tier]] = []

    @property
    def tiers(self) -> list[Tier]:
        return [each.tier for each in self.members]

    def run(self, seconds: float, quantisers: Mapping[Tier, int]) -> None:
        """Go on for some time, with pictures that coarse in each tier."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += 0.1
            meters = {}
            for tier in {each.tier for each in self.members}:
                meters[tier] = Meter("H264")
                meters[tier].add(self.now_s, 5000, quantisers[tier], is_keyframe=False)
            for member, tier in moves(self.now_s, self.members, meters):
                member.tier = tier
                self.history.append((self.now_s, member, tier))


@given(st.integers(16, 8192), st.sampled_from(Tier))
def test_sides_of_a_small_picture_can_be_encoded(side: int, tier: Tier) -> None:
    scaled = scaled_side(side, tier)
    assert scaled >= 16
    assert scaled % 2 == 0
    assert scaled == 16 or abs(scaled - side / tier) < 2


def test_one_viewer_whose_picture_is_mush_gets_a_smaller_one_after_a_second() -> None:
    stream = Stream(3e5)
    stream.run(0.9, {Tier.FULL: MUSH})
    assert stream.tiers == [Tier.FULL]
    stream.run(0.3, {Tier.FULL: MUSH, Tier.HALF: MUSH})
    assert stream.tiers == [Tier.HALF]
    stream.run(5, {Tier.HALF: MUSH, Tier.QUARTER: MUSH})
    assert stream.tiers == [Tier.QUARTER]


def test_mush_for_less_than_a_second_moves_nobody() -> None:
    stream = Stream(3e5)
    for _ in range(10):
        stream.run(0.7, {Tier.FULL: MUSH})
        stream.run(0.2, {Tier.FULL: MEDIUM})
    assert not stream.history


def test_poor_link_moves_down_where_it_blurs_the_others_and_they_stay() -> None:
    stream = Stream(2e7, 1e6, 2e7)
    stream.run(2, {Tier.FULL: MEDIUM, Tier.HALF: MEDIUM})
    assert stream.tiers == [Tier.FULL, Tier.HALF, Tier.FULL]


def test_link_that_falls_blurs_the_others_for_a_moment_only() -> None:
    stream = Stream(2e7, 2e7, 2e7)
    stream.run(5, {Tier.FULL: SHARP})
    stream.members[1].report(1e6, -math.inf, stream.now_s)
    stream.run(0.35, {Tier.FULL: MUSH, Tier.HALF: MEDIUM})
    assert stream.tiers == [Tier.FULL, Tier.HALF, Tier.FULL]


def test_who_comes_has_a_second_until_its_link_is_known() -> None:
    stream = Stream(2e7, 1e6)
    stream.run(0.9, {Tier.FULL: MUSH})
    stream.members[1].report(2e7, -math.inf, stream.now_s)
    stream.run(5, {Tier.FULL: SHARP})
    assert not stream.history


def test_link_that_dips_every_few_seconds_moves_more_and_more_seldom() -> None:
    stream = Stream(2e7, 2e7)
    for _ in range(20):
        stream.run(3.0, {Tier.FULL: SHARP, Tier.HALF: SHARP})
        stream.members[0].report(1e6, -math.inf, stream.now_s)
        stream.run(0.5, {Tier.FULL: MUSH, Tier.HALF: MEDIUM})
        stream.members[0].report(2e7, -math.inf, stream.now_s)
    assert len(stream.history) <= 5


def test_link_that_has_been_slower_for_long_has_not_fallen() -> None:
    member = viewer(2e7)
    for now_s in range(1, 15):
        member.report(8e6, -math.inf, float(now_s))
    member.report(5e6, -math.inf, 15.0)
    assert not member.has_fallen
    member.report(1e6, -math.inf, 15.1)
    assert member.has_fallen


def test_link_that_flaps_does_not_blur_the_others_for_long() -> None:
    stream = Stream(2e7, 2e7)
    for _ in range(5):
        stream.members[0].report(1e5, -math.inf, stream.now_s)
        stream.run(0.85, {Tier.FULL: MUSH, Tier.HALF: MUSH, Tier.QUARTER: MUSH})
        stream.members[0].report(2e7, -math.inf, stream.now_s)
        stream.run(0.1, {Tier.FULL: SHARP, Tier.HALF: SHARP, Tier.QUARTER: SHARP})
    assert stream.members[0].tier > Tier.FULL
    assert stream.history[0][0] < 0.5


def test_poor_link_stays_where_all_pictures_are_sharp_on_it() -> None:
    stream = Stream(2e7, 1e6, 2e7)
    stream.run(30, {Tier.FULL: SHARP})
    assert not stream.history


def test_viewers_with_much_the_same_link_stay_together() -> None:
    stream = Stream(2e6, 3e6, 2.5e6)
    stream.run(30, {Tier.FULL: MEDIUM})
    assert not stream.history


def test_better_link_brings_the_large_picture_back_after_one_and_a_half_seconds() -> None:
    stream = Stream(3e5)
    stream.run(1.2, {Tier.FULL: MUSH, Tier.HALF: MEDIUM})
    stream.run(10, {Tier.HALF: MEDIUM})
    assert stream.tiers == [Tier.HALF]
    stream.run(1.3, {Tier.HALF: SHARP})
    assert stream.tiers == [Tier.HALF]
    stream.run(0.4, {Tier.HALF: SHARP, Tier.FULL: SHARP})
    assert stream.tiers == [Tier.FULL]


def test_poor_link_does_not_come_back_to_blur_the_others() -> None:
    stream = Stream(2e7, 1e6)
    stream.run(60, {Tier.FULL: MEDIUM, Tier.HALF: SHARP})
    assert stream.tiers == [Tier.FULL, Tier.HALF]
    assert len(stream.history) == 1
    stream.members[1].report(1.8e7, -math.inf, stream.now_s)
    stream.run(4, {Tier.FULL: MEDIUM, Tier.HALF: SHARP})
    assert stream.tiers == [Tier.FULL, Tier.FULL]


def test_move_up_that_fails_is_tried_more_and_more_seldom() -> None:
    stream = Stream(1e6)
    stream.run(300, {Tier.FULL: MUSH, Tier.HALF: SHARP})
    times_up = [now_s for now_s, _, tier in stream.history if tier is Tier.FULL]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times_up)]
    assert gaps[0] < gaps[1] < gaps[2] < gaps[3]
    assert 4 <= len(times_up) <= 9
    assert gaps[-1] > 50


def test_link_that_falls_and_returns_does_not_make_the_move_up_slower() -> None:
    stream = Stream(2e7)
    times_up_s = []
    for _ in range(4):
        stream.members[0].report(1e6, -math.inf, stream.now_s)
        stream.run(1.2, {Tier.FULL: MUSH, Tier.HALF: MEDIUM})
        stream.run(2.0, {Tier.HALF: MEDIUM})
        stream.members[0].report(2e7, -math.inf, stream.now_s)
        returned_s = stream.now_s
        stream.run(8.0, {Tier.HALF: SHARP, Tier.FULL: SHARP})
        times_up_s.append(stream.history[-1][0] - returned_s)
    assert times_up_s == pytest.approx([times_up_s[0]] * 4, abs=0.2)


def test_move_up_onto_a_link_that_is_found_better_after_it_has_not_failed_when_that_falls() -> None:
    stream = Stream(1.7e6)
    (member,) = stream.members
    stream.run(1.2, {Tier.FULL: MUSH, Tier.HALF: SHARP})
    stream.run(1.7, {Tier.HALF: SHARP, Tier.FULL: MEDIUM})
    assert stream.tiers == [Tier.FULL]
    member.report(1.9e7, -math.inf, stream.now_s)
    stream.run(5.0, {Tier.FULL: SHARP})
    member.report(0.9e6, -math.inf, stream.now_s)
    stream.run(1.2, {Tier.FULL: MUSH, Tier.HALF: MEDIUM})
    assert stream.tiers == [Tier.HALF]
    member.report(1.9e7, -math.inf, stream.now_s)
    stream.run(1.7, {Tier.HALF: SHARP, Tier.FULL: SHARP})
    assert stream.tiers == [Tier.FULL]


def test_rate_that_is_low_for_a_moment_moves_nobody() -> None:
    stream = Stream(8e6, 1e7)
    stream.members[0].report(4e6, -math.inf, stream.now_s, lasting_bps=8e6)
    stream.run(5.0, {Tier.FULL: MEDIUM})
    assert stream.tiers == [Tier.FULL, Tier.FULL]
    assert demand(stream.members).target_bps == 4e6
    stream.members[0].report(4e6, -math.inf, stream.now_s)
    stream.run(1.2, {Tier.FULL: MEDIUM, Tier.HALF: SHARP})
    assert stream.tiers == [Tier.HALF, Tier.FULL]


def test_overloaded_viewer_leaves_those_who_are_well() -> None:
    stream = Stream(1e7, 1e7)
    for _ in range(8):
        stream.members[0].note_trouble(stream.now_s)
        stream.run(0.5, {Tier.FULL: SHARP, Tier.HALF: SHARP})
    assert stream.tiers == [Tier.HALF, Tier.FULL]


def test_overloaded_viewer_who_is_alone_disturbs_nobody() -> None:
    stream = Stream(1e7)
    for _ in range(8):
        stream.members[0].note_trouble(stream.now_s)
        stream.run(0.5, {Tier.FULL: SHARP})
    assert not stream.history


@given(st.lists(st.floats(), min_size=1, max_size=8), st.sampled_from([SHARP, MEDIUM, MUSH]))
def test_no_report_breaks_the_decisions(targets_bps: list[float], quantiser: int) -> None:
    stream = Stream(*[0.0 for _ in targets_bps])
    for member, target in zip(stream.members, targets_bps, strict=True):
        member.report(target, target, 0.0)
    stream.run(5, dict.fromkeys(Tier, quantiser))
    wanted = demand(stream.members)
    assert wanted.target_bps >= 0
    assert wanted.free_s <= 0.5


def test_tier_follows_its_lowest_link_and_its_freest_viewer() -> None:
    assert demand([Member(target_bps=2e6, free_s=9.0), Member(target_bps=5e6, free_s=4.0)]) == (
        Demand(2e6, 4.0)
    )


def test_nobody_wants_nothing_in_particular() -> None:
    assert demand([]) == Demand()


def test_keyframe_does_not_make_a_picture_coarse() -> None:
    meter = Meter("H264")
    for number in range(10):
        meter.add(number / 30, 1000, 30, is_keyframe=False)
        meter.add(number / 30, 1000, 51, is_keyframe=True)
    assert meter.is_fine
    assert not meter.is_coarse


@pytest.mark.parametrize("codec_name", ["H264", "VP8"])
def test_encoder_that_says_nothing_of_its_quantiser_moves_nobody(codec_name: str) -> None:
    meter = Meter(codec_name)
    meter.add(0.0, 1000, None, is_keyframe=False)
    assert not meter.is_coarse
    members = [viewer(1e5), viewer(1e7)]
    assert not [move for now_s in range(9) for move in moves(now_s, members, {Tier.FULL: meter})]


def test_meter_knows_the_rate_of_about_the_last_second() -> None:
    meter = Meter("H264")
    for number in range(150):
        meter.add(number / 30, 1000, 30, is_keyframe=False)
    assert meter.bitrate_bps == pytest.approx(30 * 8000, rel=0.05)
