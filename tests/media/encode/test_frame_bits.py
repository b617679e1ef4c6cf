"""Bits for the next frame: the decisions, and what x264 and libvpx make of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.encode.codec import CLOCK_HZ, Codec, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.frame_bits import (
    KEYFRAME_S,
    MAX_FRAME_S,
    FrameTime,
    ceiling_bps,
    checked_target,
    is_band_left,
)

MAIN, VP8 = Codec("H264", "Main"), Codec("VP8")
WIDTH, HEIGHT = 320, 180


@given(st.floats(), st.integers(10**4, 10**8))
def test_whatever_is_reported_gives_a_bitrate_that_an_encoder_takes(
    target_bps: float, most_bps: int
) -> None:
    assert 0 < checked_target(target_bps, most_bps) <= most_bps


def test_target_within_the_limits_is_kept() -> None:
    assert checked_target(2.5e6, 20_000_000) == 2_500_000


@given(st.integers(16, 8192), st.integers(16, 8192), st.floats(1, 240), st.integers(10**5, 10**8))
def test_ceiling_is_never_above_what_is_allowed(
    width: int, height: int, fps: float, most_bps: int
) -> None:
    assert 0 < ceiling_bps(width, height, fps, most_bps) <= most_bps


def test_small_picture_has_no_use_for_the_bits_of_a_large_one() -> None:
    assert ceiling_bps(64, 64, 30, 20_000_000) < 10**6
    assert ceiling_bps(1280, 720, 30, 20_000_000) == 20_000_000


@pytest.mark.parametrize(("fps", "expected_s"), [(60, 1 / 60), (30, 1 / 30), (5, MAX_FRAME_S)])
def test_frame_gets_the_bits_of_its_time(fps: float, expected_s: float) -> None:
    frame_time = FrameTime(1 / 30)
    for number in range(40):
        seconds = frame_time.next(number / fps)
    assert seconds == pytest.approx(expected_s, rel=0.01)


@given(st.lists(st.floats(-10, 1e9), max_size=50))
def test_frame_time_is_bounded_whatever_the_clock_says(times_s: list[float]) -> None:
    frame_time = FrameTime(1 / 30)
    for now_s in times_s:
        assert 0 <= frame_time.next(now_s) <= MAX_FRAME_S


def test_motion_after_a_pause_is_soon_back_at_its_own_frame_time() -> None:
    frame_time = FrameTime(1 / 30)
    for now_s in (0.0, 5.0, 10.0):
        frame_time.next(now_s)
    extra_s = sum(frame_time.next(10 + number / 30) - 1 / 30 for number in range(1, 30))
    assert extra_s < 0.1


def test_encoder_is_opened_anew_for_a_change_that_matters_and_not_more_often_than_it_may() -> None:
    assert not is_band_left(1_000_000, 1_200_000, 60.0)
    assert is_band_left(1_000_000, 1_300_000, 60.0)
    assert is_band_left(1_000_000, 700_000, 2.0)
    assert not is_band_left(1_000_000, 50_000, 1.9)


def noise(n: int, seed: int = 0) -> list[av.VideoFrame]:
    planes = np.random.default_rng(seed).integers(16, 236, (n, HEIGHT * 3 // 2, WIDTH), np.uint8)
    planes[:, HEIGHT:] = 128
    return [av.VideoFrame.from_ndarray(each, format="yuv420p") for each in planes]


NOISE = noise(10)


def encoded(
    encoder: Encoder, targets_bps: Sequence[float], fps: float, *, keyframes: Sequence[int] = ()
) -> list[Packet]:
    """Encode new noise in each frame."""
    packets = []
    for number, target_bps in enumerate(targets_bps):
        packet = encoder.encode(
            NOISE[number % len(NOISE)],
            round(number * CLOCK_HZ / fps),
            0,
            is_keyframe=number in keyframes,
            target_bps=target_bps,
        )
        assert packet is not None
        packets.append(packet)
    return packets


def new_encoder(codec: Codec = MAIN, target_bps: float = math.inf) -> Encoder:
    return Encoder(codec, WIDTH, HEIGHT, fps=30, max_bitrate_bps=20_000_000, target_bps=target_bps)


def seconds_of(packets: list[Packet], targets_bps: Sequence[float]) -> list[float]:
    """Return how long each packet takes a link of its target."""
    return [packet.nbytes * 8 / target for packet, target in zip(packets, targets_bps, strict=True)]


def test_no_frame_takes_the_link_for_longer_than_its_time_however_far_the_rate_falls() -> None:
    targets = [8e6] * 10 + [2e6] * 10 + [1e6] * 10 + [3e5] * 10 + [8e6] * 10
    packets = encoded(new_encoder(), targets, 30, keyframes=(25, 45))
    assert [number for number, each in enumerate(packets) if each.is_keyframe] == [0, 25, 45]
    for number, seconds in enumerate(seconds_of(packets, targets)):
        assert seconds < 1.3 * (KEYFRAME_S if number in (0, 25, 45) else 1 / 30)


def test_rate_is_used_at_each_step() -> None:
    for target_bps in (3e5, 1e6, 4e6):
        packets = encoded(new_encoder(), [target_bps] * 40, 30)[10:]
        used_bps = sum(each.nbytes for each in packets) * 8
        assert 0.75 * target_bps < used_bps < 1.1 * target_bps


def test_five_frames_a_second_get_more_bits_each_and_do_not_overrun_the_link() -> None:
    targets = [1e6] * 20
    packets = encoded(new_encoder(), targets, 5)[5:]
    seconds = seconds_of(packets, targets[5:])
    assert sum(seconds) / len(seconds) > 0.08
    assert max(seconds) < 1.3 * MAX_FRAME_S


def test_rate_that_changes_with_each_frame_needs_no_keyframe() -> None:
    rng = np.random.default_rng(1)
    targets = [float(each) for each in rng.choice([0.0, math.nan, -1e9, 1e5, 1e7, math.inf], 100)]
    packets = encoded(new_encoder(), targets, 1000)
    assert sum(each.is_keyframe for each in packets) == 1


def test_libvpx_is_opened_at_the_target_and_not_anew_for_each_report() -> None:
    low, high = (
        encoded(new_encoder(VP8, target), [target, *[1e6, 3e6] * 10], 30) for target in (1e6, 8e6)
    )
    assert low[0].nbytes < high[0].nbytes
    assert sum(each.is_keyframe for each in low) == 1


@pytest.mark.parametrize("codec", [MAIN, VP8], ids=str)
def test_simple_picture_leaves_most_of_the_rate_unused(codec: Codec) -> None:
    encoder, nbytes = new_encoder(codec), 0
    ramp = np.add.outer(np.arange(HEIGHT * 3 // 2), np.arange(WIDTH)) // 4 % 200 + 16
    for number in range(10):
        frame = av.VideoFrame.from_ndarray(np.roll(ramp, number, 1).astype(np.uint8), "yuv420p")
        packet = encoder.encode(frame, number * 3000, 0, is_keyframe=False)
        assert packet is not None
        nbytes += packet.nbytes
    assert nbytes * 8 * 3 < encoder.ceiling_bps / 3
