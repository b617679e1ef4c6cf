"""What is kept of a stream's packets: whole groups, bounded by time and by bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.encode.codec import CLOCK_HZ, Codec, Packet
from gpuview.media.encode.history import Group, History, picture_at
from gpuview.media.encode.tiers import Tier

MAIN, VP8, JPEG = Codec("H264", "Main"), Codec("VP8"), Codec("JPEG")
MAX_NBYTES = 1000
FPS = 30


def packet(
    number: int, *, is_keyframe: bool = False, nbytes: int = 1, picture: int | None = None
) -> Packet:
    capture_ns = number if picture is None else picture
    timestamp = number * CLOCK_HZ // FPS
    return Packet(bytes(nbytes), [], timestamp, capture_ns, is_keyframe, 64, 48, None)


def shown(history: History, view: str = "v") -> list[int]:
    """Return the numbers of the pictures that a view can step to."""
    return [each.timestamp * FPS // CLOCK_HZ for each in history.span(view).pictures()]


def groups_of(history: History) -> tuple[Group, ...]:
    return history.span("").groups


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 400), st.integers(1, 60)), max_size=200),
    st.floats(0.1, 20),
)
def test_whole_groups_are_kept_within_the_bounds(
    packets: list[tuple[bool, int, int]], kept_s: float
) -> None:
    history = History(kept_s, MAX_NBYTES)
    number = 0
    for is_keyframe, nbytes, gap in packets:
        number += gap
        history.take(MAIN, Tier.FULL, packet(number, is_keyframe=is_keyframe, nbytes=nbytes))
        groups = groups_of(history)
        assert history.nbytes == sum(len(it.data) for each in groups for it in each.packets)
        assert history.nbytes <= MAX_NBYTES
        times = [it.timestamp for each in groups for it in each.packets]
        assert all(earlier < later for earlier, later in pairwise(times))
        # Without the oldest group, less than what is to be kept would be there.
        if len(groups) > 1:
            assert times[-1] - groups[1].packets[0].timestamp < round(kept_s * CLOCK_HZ)


@given(st.integers(5, 40), st.integers(30, 400))
def test_moving_picture_has_a_keyframe_every_half_of_what_is_kept(kept_s: int, n: int) -> None:
    history = History(kept_s, 10**9)
    is_wanted = True
    for number in range(n):
        is_wanted = history.take(MAIN, Tier.FULL, packet(number, is_keyframe=is_wanted))
    longest = max(len(each.packets) for each in groups_of(history))
    assert longest <= max(kept_s / 2 * FPS, 60) + 2


def test_group_that_is_large_gets_a_keyframe_and_one_that_is_too_large_goes() -> None:
    history = History(10, MAX_NBYTES)
    assert not history.take(MAIN, Tier.FULL, packet(0, is_keyframe=True, nbytes=200))
    assert history.take(MAIN, Tier.FULL, packet(1, nbytes=200))
    for number in range(2, 6):  # no keyframe comes
        assert history.take(MAIN, Tier.FULL, packet(number, nbytes=200))
    assert shown(history) == []
    assert history.nbytes == 0
    assert not history.take(MAIN, Tier.FULL, packet(6, is_keyframe=True))
    assert shown(history) == [6]


def test_picture_that_is_repeated_is_one_picture_and_its_last_packet_is_the_best() -> None:
    history = History(10, MAX_NBYTES)
    for number, picture in enumerate([0, 0, 0, 1, 1, 2]):
        history.take(MAIN, Tier.FULL, packet(number, is_keyframe=number in (0, 4), picture=picture))
    pictures = history.span("").pictures()
    assert shown(history) == [0, 3, 5]
    first, second = groups_of(history)
    assert [(each.group, each.index) for each in pictures] == [(first, 2), (second, 0), (second, 1)]


def test_picture_is_found_by_time_and_by_steps() -> None:
    history = History(10, MAX_NBYTES)
    for number in (0, 2, 4, 6):
        history.take(MAIN, Tier.FULL, packet(number, is_keyframe=number == 0))
    pictures = history.span("").pictures()

    def found(number: float, step: int = 0) -> int:
        at = round(number * CLOCK_HZ / FPS)
        return picture_at(pictures, at, step).timestamp * FPS // CLOCK_HZ

    assert [found(number) for number in (-5, 0, 1.9, 2, 5, 6, 99)] == [0, 0, 0, 2, 4, 6, 6]
    assert [found(4, step) for step in (-9, -1, 0, 1, 9)] == [0, 2, 4, 6, 6]


def test_the_largest_picture_is_kept_and_another_one_once_that_has_ended() -> None:
    history = History(10, MAX_NBYTES)
    history.take(VP8, Tier.FULL, packet(0, is_keyframe=True))
    history.take(MAIN, Tier.HALF, packet(1, is_keyframe=True))
    history.take(JPEG, Tier.FULL, packet(1, is_keyframe=True))
    assert shown(history) == [0]
    history.take(MAIN, Tier.FULL, packet(2, is_keyframe=True))
    history.take(VP8, Tier.FULL, packet(3))
    history.take(MAIN, Tier.FULL, packet(4))
    assert shown(history) == [0, 2, 4]
    assert [each.codec for each in groups_of(history)] == ["VP8", "H264"]
    # Only the smaller one is encoded now.
    assert not history.take(MAIN, Tier.HALF, packet(5))
    assert history.take(MAIN, Tier.HALF, packet(100))
    assert not history.take(MAIN, Tier.HALF, packet(101, is_keyframe=True))
    assert shown(history)[-2:] == [4, 101]


def test_what_a_view_holds_stays_and_does_not_go_on() -> None:
    history = History(2, MAX_NBYTES)
    for number in range(0, 50, 10):
        history.take(MAIN, Tier.FULL, packet(number, is_keyframe=number % 20 == 0, nbytes=10))
    history.hold("v")
    before = shown(history)
    assert before == [0, 10, 20, 30, 40]
    for number in range(50, 500, 10):
        history.take(MAIN, Tier.FULL, packet(number, is_keyframe=number % 20 == 0, nbytes=10))
    assert shown(history) == before
    assert shown(history, "another")[-1] == 490
    history.release_all_but(["another"])
    assert shown(history) == shown(history, "another")


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 300)), max_size=200))
def test_what_views_hold_is_bounded_however_many_they_are(acts: list[tuple[int, int]]) -> None:
    history = History(1, MAX_NBYTES)
    for number, (view, nbytes) in enumerate(acts):
        if view % 3 == 0:
            history.hold(f"v{view}")
        is_keyframe = view % 2 == 0
        history.take(MAIN, Tier.FULL, packet(number * 5, is_keyframe=is_keyframe, nbytes=nbytes))
        assert history.nbytes <= 2 * MAX_NBYTES
    for view in range(91):
        history.span(f"v{view}").pictures()


def test_nothing_is_kept_after_it_was_cleared_before_a_keyframe_comes() -> None:
    history = History(10, MAX_NBYTES)
    history.take(MAIN, Tier.FULL, packet(0, is_keyframe=True))
    history.hold("v")
    history.clear()
    assert shown(history) == []
    assert not history.take(MAIN, Tier.FULL, packet(1))
    assert shown(history) == []


def test_what_is_older_than_a_gap_is_not_kept_after_it() -> None:
    history = History(10, 10**9)
    for number in range(3):
        history.take(MAIN, Tier.FULL, packet(number, is_keyframe=number == 0))
    back = 300 * FPS  # nobody has looked for five minutes
    for number in range(back, back + 3):
        history.take(MAIN, Tier.FULL, packet(number, is_keyframe=number == back))
    assert shown(history) == [back, back + 1, back + 2]


def test_packets_that_nobody_looks_at_need_no_keyframe() -> None:
    history = History(10, 10**9)
    for number in range(5):  # those of a recording
        assert not history.take(MAIN, Tier.FULL, packet(number, is_keyframe=number == 0))
        history.clear()
    assert history.nbytes == 0


def test_picture_that_a_poor_link_made_smaller_gets_a_sixth_of_the_keyframes() -> None:
    keyframes = {Tier.FULL: 0, Tier.HALF: 0}
    for tier in keyframes:
        history, is_wanted = History(10, 10**9), True
        for number in range(60 * FPS):
            keyframes[tier] += is_wanted
            is_wanted = history.take(MAIN, tier, packet(number, is_keyframe=is_wanted))
    assert keyframes == {Tier.FULL: 12, Tier.HALF: 2}
