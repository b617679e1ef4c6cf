"""One encoder, many viewers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuview.media.encode import fanout as fanout_module
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.fanout import Fanout, Subscription, encoding_frames
from gpuview.media.encode.tiers import Member, Tier
from gpuview.media.encode.timestamp import PICTURES
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.ring import RingWriter
from gpuview.protocol.stats import EncoderStats

MAIN, VP8 = Codec("H264", "Main"), Codec("VP8")


def packet(number: int, *, is_keyframe: bool = False) -> Packet:
    return Packet(b"x", [b"x"], number, number, is_keyframe, 64, 48, None)


def drain(subscription: Subscription) -> list[int]:
    """Take what waits, without waiting."""

    async def take() -> list[int]:
        taken = []
        while subscription._packets:
            taken.append((await subscription.next()).timestamp)
        return taken

    return asyncio.run(take())


def test_viewer_gets_nothing_before_its_first_keyframe() -> None:
    subscription = Subscription(MAIN, lambda spacing_s: None)
    for number in range(3):
        subscription.put(packet(number))
    subscription.put(packet(3, is_keyframe=True))
    subscription.put(packet(4))
    assert drain(subscription) == [3, 4]
    assert subscription.n_dropped == 3


def test_slow_viewer_loses_all_that_waits_and_asks_for_a_keyframe() -> None:
    asked: list[float] = []
    subscription = Subscription(MAIN, asked.append)
    subscription.put(packet(0, is_keyframe=True))
    for number in range(1, 12):
        subscription.put(packet(number))
    assert drain(subscription) == []
    assert len(asked) == 1
    subscription.put(packet(12, is_keyframe=True))
    assert drain(subscription) == [12]


def test_viewer_whose_link_is_unknown_gets_the_full_picture() -> None:
    subscription = Subscription(MAIN, lambda spacing_s: None)
    assert subscription.tier is Tier.FULL
    subscription.report(target_bps=1e6, free_s=5.0)
    assert subscription.member.target_bps == 1e6


def test_queue_that_overflows_before_its_reader_runs_keeps_the_reader() -> None:
    async def read() -> int:
        subscription = Subscription(MAIN, lambda spacing_s: None)
        reader = asyncio.ensure_future(subscription.next())
        await asyncio.sleep(0)  # the reader waits
        for number in range(12):
            subscription.put(packet(number, is_keyframe=number == 0))
        await asyncio.sleep(0)  # it is woken, and finds nothing
        subscription.put(packet(12, is_keyframe=True))
        return (await reader).timestamp

    assert asyncio.run(read()) == 12


def test_viewer_changes_its_tier_at_a_keyframe_and_gets_the_old_one_until_then() -> None:
    subscription = Subscription(MAIN, lambda spacing_s: None)
    subscription.offer(Tier.FULL, packet(0, is_keyframe=True))
    subscription.member.tier = Tier.HALF
    subscription.offer(Tier.FULL, packet(1))
    subscription.offer(Tier.HALF, packet(1))
    assert drain(subscription) == [0, 1]
    subscription.offer(Tier.HALF, packet(2, is_keyframe=True))
    subscription.offer(Tier.FULL, packet(2))
    assert subscription.tier is Tier.HALF
    assert drain(subscription) == [2]


def test_frame_that_a_viewer_has_had_is_not_sent_again_in_another_tier() -> None:
    asked: list[float] = []
    subscription = Subscription(MAIN, asked.append)
    subscription.offer(Tier.FULL, packet(0, is_keyframe=True))
    assert drain(subscription) == [0]
    subscription.member.tier = Tier.HALF
    subscription.offer(Tier.HALF, packet(0, is_keyframe=True))
    assert subscription.tier is Tier.FULL
    assert len(asked) == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=200))
def test_what_a_viewer_takes_is_always_decodable(steps: list[tuple[bool, bool]]) -> None:
    """Between a keyframe and the next, no packet is missing, however slowly they are taken."""
    subscription = Subscription(MAIN, lambda spacing_s: None)
    keyframes = set()
    taken: list[int] = []
    for number, (is_keyframe, is_taken) in enumerate(steps):
        subscription.put(packet(number, is_keyframe=is_keyframe))
        if is_keyframe:
            keyframes.add(number)
        if is_taken:
            taken += drain(subscription)
    last = len(steps)
    subscription.put(packet(last, is_keyframe=True))
    keyframes.add(last)
    taken += drain(subscription)
    assert taken[-1] == last
    for earlier, later in zip([-2, *taken], taken, strict=False):
        assert later in keyframes or later == earlier + 1


class Feed:
    """The kernel's end of a stream: a ring and its eventfd."""

    def __init__(self) -> None:
        self.event_fd = os.eventfd(0)
        self._rings: list[RingWriter] = []

    def show(self, fanout: Fanout, level: int, width: int = 64, height: int = 48) -> None:
        nbytes = frame_nbytes(PixelFormat.I420, width, height)
        self.show_pixels(fanout, np.full(nbytes, level, np.uint8), width, height)

    def show_pixels(
        self, fanout: Fanout, pixels: NDArray[np.uint8], width: int, height: int
    ) -> None:
        nbytes = pixels.size
        if not self._rings or self._rings[-1].slot_nbytes < nbytes:
            self._rings.append(RingWriter.create(nbytes))
            fanout.encodes.attach(os.dup(self._rings[-1].fd))
        self._rings[-1].begin(nbytes)[:] = pixels
        self._rings[-1].publish(PixelFormat.I420, width, height)
        fanout.encodes._event_fd.wake()

    def close(self) -> None:
        for ring in self._rings:
            ring.close()


def run(
    work: Callable[[Fanout, Feed], Awaitable[None]],
    on_error: Callable[[Problem | None], None] = lambda error: None,
) -> None:
    """Run with a fan-out, its feed, and a limit on all waiting."""

    async def main() -> None:
        feed = Feed()
        fanout = Fanout(
            encoding_frames(feed.event_fd, fps=200, max_bitrate_bps=10**6, on_error=on_error)
        )
        try:
            async with asyncio.timeout(60):
                await work(fanout, feed)
        finally:
            fanout.close()
            feed.close()

    asyncio.run(main())


def test_all_viewers_of_a_codec_get_the_same_packets_from_one_encoder() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewers = [fanout.subscribe(MAIN) for _ in range(5)]
        for level in range(20, 24):
            feed.show(fanout, level)
            packets = [await viewer.next() for viewer in viewers]
            assert all(each is packets[0] for each in packets)
        (stats,) = fanout.encodes.stats()
        assert stats.codec == "H264 Main"
        assert stats.keyframes == 1

    run(work)


def test_joining_viewer_gets_a_keyframe_of_the_still_picture_at_once() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        first = fanout.subscribe(MAIN)
        feed.show(fanout, 100)
        assert (await first.next()).is_keyframe
        second = fanout.subscribe(MAIN)
        assert (await second.next()).is_keyframe

    run(work)


def test_two_codecs_are_two_encoders() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewers = fanout.subscribe(MAIN), fanout.subscribe(VP8)
        feed.show(fanout, 100)
        for viewer in viewers:
            assert (await viewer.next()).is_keyframe
        assert {each.codec for each in fanout.encodes.stats()} == {"H264 Main", "VP8"}

    run(work)


def test_last_viewer_takes_the_encoder_along() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewers = [fanout.subscribe(MAIN) for _ in range(2)]
        fanout.unsubscribe(viewers[0])
        assert len(fanout.encodes.stats()) == 1
        fanout.unsubscribe(viewers[1])
        assert fanout.encodes.stats() == []

    run(work)


def test_picture_that_changes_its_size_starts_with_a_keyframe() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(MAIN)
        for width, height in [(64, 48), (128, 96), (32, 32)]:
            feed.show(fanout, 90, width, height)
            while not (await viewer.next()).is_keyframe:
                pass
            (stats,) = fanout.encodes.stats()
            assert (stats.width, stats.height) == (width, height)
        assert fanout.encodes.stats()[0].keyframes == 3

    run(work)


def test_still_picture_is_sent_again_so_that_lost_packets_are_noticed() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(MAIN)
        feed.show(fanout, 90)
        packets = [await viewer.next() for _ in range(4)]
        assert [each.is_keyframe for each in packets] == [True, False, False, False]
        stamps = [each.timestamp for each in packets]
        assert stamps == sorted(set(stamps))

    run(work)


def test_repeats_have_the_number_of_their_picture_and_the_next_picture_another_one() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(MAIN)
        feed.show(fanout, 90)
        shown = [await viewer.next() for _ in range(3)]
        feed.show(fanout, 120)
        while (packet := await viewer.next()).capture_ns == shown[0].capture_ns:
            shown.append(packet)
        numbers = {each.timestamp % PICTURES for each in shown}
        assert len(numbers) == 1
        assert packet.timestamp % PICTURES not in numbers

    run(work)


def test_size_that_cannot_be_encoded_is_told_once_and_so_is_its_end() -> None:
    told: list[Problem | None] = []

    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(VP8)
        feed.show(fanout, 90, 16_400, 16)
        await has_trouble.wait()
        feed.show(fanout, 90, 64, 48)
        await viewer.next()
        await is_well.wait()

    def hear(error: Problem | None) -> None:
        told.append(error)
        (has_trouble if error else is_well).set()

    has_trouble, is_well = asyncio.Event(), asyncio.Event()
    run(work, hear)
    assert isinstance(told[0], Problem)
    assert told[1:] == [None]


def test_codec_that_fails_leaves_the_viewers_of_another_one_playing() -> None:
    told: list[Problem | None] = []
    is_well = asyncio.Event()

    async def work(fanout: Fanout, feed: Feed) -> None:
        playing, failing = fanout.subscribe(MAIN), fanout.subscribe(VP8)
        for level in range(20, 26):
            feed.show(fanout, level, 16_384, 16)  # more than VP8 can have
            assert (await playing.next()).is_keyframe == (level == 20)
        feed.show(fanout, 90, 64, 48)
        assert (await failing.next()).is_keyframe
        await is_well.wait()

    def hear(error: Problem | None) -> None:
        told.append(error)
        if error is None:
            is_well.set()

    run(work, hear)
    assert ["VP8" in str(error) for error in told] == [True, False]


def test_viewers_in_two_tiers_get_two_sizes_and_a_move_costs_the_others_no_keyframe() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        good, poor = fanout.subscribe(MAIN), fanout.subscribe(MAIN)
        feed.show(fanout, 90)
        for viewer in (good, poor):
            assert (await viewer.next()).width == 64
        poor.member.tier = Tier.HALF
        fanout._enter(poor)
        level = 90
        while (packet := await poor.next()).width == 64:
            level += 1
            feed.show(fanout, level)
        assert (packet.width, packet.height, packet.is_keyframe) == (32, 24, True)
        assert not (await good.next()).is_keyframe
        tiers = {each.tier: each for each in fanout.encodes.stats()}
        assert tiers["full"].keyframes == 1
        assert (tiers["half"].width, tiers["half"].height) == (32, 24)
        fanout.unsubscribe(poor)
        assert [each.tier for each in fanout.encodes.stats()] == ["full"]

    run(work)


def test_poor_link_moves_to_a_smaller_picture_by_itself_and_gives_the_good_one_its_rate_back() -> (
    None
):
    fps, good_bps, poor_bps = 60, 5_000_000, 200_000
    noise = np.random.default_rng(0)

    async def work(fanout: Fanout, feed: Feed) -> None:
        fanout.encodes.set_limits(fps, 10**7)
        good, poor = fanout.subscribe(MAIN), fanout.subscribe(MAIN)
        good.report(target_bps=good_bps, free_s=0.0)
        poor.report(target_bps=poor_bps, free_s=0.0)

        targets_bps = []
        shown_ns = 0

        async def show_next() -> None:
            """Show a picture that is sharp at the good link's rate, and not at the poor one's."""
            nonlocal shown_ns
            pixels = noise.integers(100, 148, 192 * 144 * 3 // 2, np.uint8)
            feed.show_pixels(fanout, pixels, 192, 144)
            while (packet := await good.next()).capture_ns == shown_ns:
                pass
            assert packet.width == 192
            shown_ns = packet.capture_ns
            while (packet := poor.take()) is not None:
                assert packet.width == 192 // poor.tier
            targets_bps.append(full().target_bps)

        def full() -> EncoderStats:
            return next(each for each in fanout.encodes.stats() if each.tier == "full")

        while poor.tier is Tier.FULL:
            await show_next()
            assert len(targets_bps) < 3 * fps  # it moves after a second
        for _ in range(fps):
            await show_next()
        n_lowered = targets_bps.count(poor_bps)
        n_restored = len(targets_bps) - n_lowered
        assert targets_bps == [poor_bps] * n_lowered + [good_bps] * n_restored
        assert n_lowered > 0
        assert n_restored >= fps
        assert (good.tier, poor.tier) == (Tier.FULL, Tier.HALF)
        assert full().keyframes == 1

    run(work)


def test_viewer_that_keeps_its_tier_is_never_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_move_down(now_s: float, members: Sequence[Member], meters: object) -> object:
        return [(each, Tier.QUARTER) for each in members if each.tier is not Tier.QUARTER]

    monkeypatch.setattr(fanout_module, "moves", all_move_down)

    async def work(fanout: Fanout, feed: Feed) -> None:
        moving, keeping = fanout.subscribe(MAIN), fanout.subscribe(MAIN, Tier.HALF)
        level, widths = 20, set()
        while moving.tier is not Tier.QUARTER:
            level += 1
            feed.show(fanout, level)
            await moving.next()
            widths.add((await keeping.next()).width)
        assert widths == {32}
        assert keeping.member.tier is Tier.HALF

    run(work)


def test_link_that_is_full_holds_frames_before_the_encoder_and_gets_the_newest_one() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(MAIN)
        feed.show(fanout, 20)
        await viewer.next()
        viewer.report(target_bps=1e6, free_s=time.monotonic() + 0.2)
        for level in range(30, 35):
            feed.show(fanout, level)
        await viewer.next()
        assert time.monotonic() >= viewer.member.free_s
        assert fanout.encodes.frames_taken == 2

    run(work)


def test_one_late_viewer_does_not_hold_the_others() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        late, free = fanout.subscribe(MAIN), fanout.subscribe(MAIN)
        feed.show(fanout, 20)
        for viewer in (late, free):
            await viewer.next()
        hold_s = time.monotonic() + 60
        late.report(target_bps=1e6, free_s=hold_s)
        free.report(target_bps=1e6, free_s=0.0)
        feed.show(fanout, 30)
        await free.next()
        assert time.monotonic() < hold_s

    run(work)


def test_mush_becomes_a_smaller_picture_and_never_stands_still() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(MAIN)
        fanout.encodes.set_limits(200, 10**5)
        noise = np.random.default_rng(0)
        while True:
            feed.show_pixels(
                fanout, noise.integers(16, 236, 192 * 144 * 3 // 2, np.uint8), 192, 144
            )
            if (packet := await viewer.next()).width < 192:
                break
        assert (packet.width, packet.height) == (96, 72)
        assert viewer.tier is Tier.HALF

    run(work)


def test_nobody_watching_costs_no_encoding() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        for level in range(50):
            feed.show(fanout, level)
        viewer = fanout.subscribe(MAIN)
        assert (await viewer.next()).is_keyframe
        assert fanout.encodes.frames_taken == 1

    run(work)


def test_paused_viewer_costs_no_encoding_and_comes_back_with_a_keyframe_of_the_newest() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(MAIN)
        feed.show(fanout, 20)
        before = await viewer.next()
        fanout.pause(viewer)
        for level in range(30, 80):
            feed.show(fanout, level)
        assert fanout.encodes.stats() == []
        fanout.resume(viewer)
        after = await viewer.next()
        assert after.is_keyframe
        assert after.timestamp > before.timestamp
        assert fanout.encodes.frames_taken == 2

    run(work)


def test_viewer_that_pauses_leaves_the_others_playing_and_may_close_meanwhile() -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer, other = fanout.subscribe(MAIN), fanout.subscribe(MAIN)
        feed.show(fanout, 20)
        await other.next()
        fanout.pause(viewer)
        feed.show(fanout, 30)
        await other.next()
        assert not viewer._packets
        fanout.unsubscribe(viewer)
        (stats,) = fanout.encodes.stats()
        assert stats.keyframes == 1

    run(work)


@pytest.mark.parametrize("codec", [MAIN, VP8], ids=str)
def test_request_for_a_lost_picture_brings_a_keyframe(codec: Codec) -> None:
    async def work(fanout: Fanout, feed: Feed) -> None:
        viewer = fanout.subscribe(codec)
        feed.show(fanout, 90)
        await viewer.next()
        viewer.request_keyframe()
        while not (await viewer.next()).is_keyframe:
            pass
        assert fanout.encodes.stats()[0].keyframes == 2

    run(work)
