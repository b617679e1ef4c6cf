"""JPEG: as good as its bits allow, and in the right colours."""

from __future__ import annotations

import io
from typing import cast

import av
import numpy as np
import pytest
from PIL import Image

from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.jpeg import BEST_QUANTISER, WORST_QUANTISER

WIDTH, HEIGHT, FPS = 640, 360, 30
JPEG = Codec("JPEG")


def encoder() -> Encoder:
    return Encoder(JPEG, WIDTH, HEIGHT, fps=FPS, max_bitrate_bps=10**8)


def detailed(n: int) -> av.VideoFrame:
    """Return a picture with as much detail as a photograph, shifted by ``n``."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3))
    picture = np.kron(coarse, np.ones((8, 8, 1))) + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    shifted = np.roll(picture, n, axis=1).clip(0, 255).astype(np.uint8)
    return in_one_colour(shifted)


def in_one_colour(rgb: np.ndarray) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame.reformat(
        format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", src_color_range="JPEG"
    )


def play(target_bps: float, n: int = 20) -> list[Packet]:
    encode = encoder()
    packets = [
        encode.encode(
            detailed(each),
            each * 90_000 // FPS,
            each + 1,
            is_keyframe=each == 0,
            target_bps=target_bps,
        )
        for each in range(n)
    ]
    return cast(list[Packet], packets)


@pytest.mark.parametrize("target_bps", [8e6, 20e6])
def test_frames_take_about_what_the_link_has(target_bps: float) -> None:
    packets = play(target_bps)[5:]
    bits = target_bps / FPS
    assert 0.5 * bits < np.mean([each.nbytes * 8 for each in packets]) < 1.5 * bits
    assert max(each.nbytes * 8 for each in packets) < 2 * bits


def test_it_is_never_better_or_worse_than_makes_sense() -> None:
    assert {each.quantiser for each in play(1e9)[1:]} == {BEST_QUANTISER}
    assert {each.quantiser for each in play(1e4)[1:]} == {WORST_QUANTISER}


def test_each_frame_is_a_keyframe_without_rtp() -> None:
    for packet in play(5e6, 3):
        assert packet.is_keyframe
        assert packet.payloads == []
        assert (packet.width, packet.height) == (WIDTH, HEIGHT)
    assert [each.timestamp for each in play(5e6, 3)] == [0, 3000, 6000]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255,) * 3])
def test_colours_are_right(colour: tuple[int, int, int]) -> None:
    flat = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    packet = encoder().encode(in_one_colour(flat), 0, 1, is_keyframe=True)
    assert packet is not None
    shown = np.asarray(Image.open(io.BytesIO(packet.data)).convert("RGB"))
    assert np.abs(shown.astype(int) - colour).max() <= 4


def test_picture_that_stands_still_is_repeated_only_until_it_is_good() -> None:
    encode = encoder()
    frame = detailed(0)

    def repeat(n: int, target_bps: float, *, is_keyframe: bool = False) -> Packet | None:
        timestamp = n * 90_000
        return encode.encode(frame, timestamp, 1, is_keyframe=is_keyframe, target_bps=target_bps)

    first = repeat(0, 1e6)
    assert first is not None
    better = repeat(1, 1e8)
    assert better is not None
    assert better.quantiser == BEST_QUANTISER
    assert repeat(2, 1e8) is None
    assert repeat(3, 1e8, is_keyframe=True) is not None
