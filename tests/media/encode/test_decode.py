"""The picture that is asked for is the one that is decoded, wherever the decoder was before."""

from __future__ import annotations

import io
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from gpuview.errors import MediaError
from gpuview.media.encode import decode
from gpuview.media.encode.codec import CLOCK_HZ, Codec
from gpuview.media.encode.decode import MAX_JPEG_NBYTES, PictureDecoder
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.history import History, Picture
from gpuview.media.encode.tiers import Tier

CODECS = [Codec("H264", "Main"), Codec("H264", "Constrained Baseline"), Codec("VP8"), Codec("JPEG")]
N = 24
KEYFRAMES = (0, 10, 17)


def level(number: int) -> int:
    """Return the grey that numbers a picture, as a screen shows it."""
    return 20 + number * 9


def kept(codec: Codec, size: tuple[int, int] = (64, 48)) -> list[Picture]:
    """Return pictures whose grey numbers them."""
    encoder = Encoder(codec, *size, fps=30, max_bitrate_bps=8_000_000)
    history = History(10, 10**9)
    for number in range(N):
        luma = round(16 + level(number) * 219 / 255)
        planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
        planes[: size[1]] = luma
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        timestamp = (number + 1) * CLOCK_HZ // 30
        packet = encoder.encode(frame, timestamp, number, is_keyframe=number in KEYFRAMES)
        assert packet is not None
        history.take(codec, Tier.FULL, packet)
    return history.span("").pictures()


def number_in(jpeg: bytes) -> int:
    with Image.open(io.BytesIO(jpeg)) as image:
        return round((float(np.asarray(image.convert("L")).mean()) - 20) / 9)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_each_picture_is_shown_again_in_any_order(codec: Codec) -> None:
    pictures = kept(codec)
    decoder = PictureDecoder(lambda: False)
    order = [5, 5, 6, 9, 10, 3, 23, 22, 0, *range(N), *reversed(range(N))]
    assert [number_in(decoder.jpeg(pictures[number])) for number in order] == order


def spoil(pictures: list[Picture], n: int) -> None:
    """Make the first packets of the first group such that they cannot be decoded again."""
    packets = pictures[0].group.packets
    packets[:n] = [replace(each, data=b"none") for each in packets[:n]]


def test_steps_both_ways_decode_nothing_again() -> None:
    pictures = kept(CODECS[0])
    decoder = PictureDecoder(lambda: False)
    decoder.jpeg(pictures[3])
    spoil(pictures, 4)
    assert [number_in(decoder.jpeg(pictures[n])) for n in (4, 4, 3, 2, 5, 1)] == [4, 4, 3, 2, 5, 1]


def test_only_so_many_pictures_stay_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_MAX_DECODED_NBYTES", 3 * 64 * 48 * 3 // 2)
    pictures = kept(CODECS[0])
    decoder = PictureDecoder(lambda: False)
    decoder.jpeg(pictures[8])
    spoil(pictures, 4)
    assert [number_in(decoder.jpeg(pictures[n])) for n in (7, 6)] == [7, 6]
    with pytest.raises(MediaError):
        decoder.jpeg(pictures[5])


def test_what_cannot_be_decoded_says_so_and_the_next_picture_is_shown() -> None:
    pictures = kept(CODECS[2])
    first = pictures[0].group
    first.packets[0] = replace(first.packets[0], data=b"\xff" * 9)
    decoder = PictureDecoder(lambda: False)
    with pytest.raises(MediaError, match="cannot be decoded any more"):
        decoder.jpeg(pictures[4])
    assert number_in(decoder.jpeg(pictures[12])) == 12


def test_large_picture_is_made_coarser_until_it_fits() -> None:
    encoder = Encoder(CODECS[0], 960, 540, fps=30, max_bitrate_bps=100_000_000)
    chance = np.random.default_rng(0)
    noise = chance.integers(16, 236, (810, 960), np.uint8)
    packet = encoder.encode(av.VideoFrame.from_ndarray(noise, "yuv420p"), 1, 1, is_keyframe=True)
    assert packet is not None
    history = History(10, 10**9)
    history.take(CODECS[0], Tier.FULL, packet)
    jpeg = PictureDecoder(lambda: False).jpeg(history.span("").pictures()[0])
    assert len(jpeg) < 1.6 * MAX_JPEG_NBYTES
