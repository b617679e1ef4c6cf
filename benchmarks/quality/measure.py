"""Encodes a content both ways, and compares the luma with the frames' own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
import simplejpeg
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from benchmarks.quality.contents import CONTENTS, Image
from gpuview.media.encode.codec import CLOCK_HZ, Codec
from gpuview.media.encode.encoder import Encoder

__all__ = ["CODECS", "FPS", "MAX_BITRATE_BPS", "WAYS", "Figures", "measure", "to_frame"]

FPS = 30
WAYS = ("JPEG 80", "H.264", "VP8")
_FRAMES = 90
_FROM = 15  # the first keyframe has been refined by then
MAX_BITRATE_BPS = 20_000_000
CODECS = {"H.264": (Codec("H264", "Main"), "h264"), "VP8": (Codec("VP8"), "vp8")}

_reformatter = VideoReformatter()


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way makes of one content."""

    psnr_db: float
    """Of the luma, as the mean of the frames' values."""
    mbit_per_s: float
    cpu_ms: float
    """A frame's, of the encoding thread."""


def measure(content: str, way: str) -> Figures:
    """Encode 3 s of a content from `CONTENTS` in a way from `WAYS`."""
    images = list(CONTENTS[content](_FRAMES))
    frames = [to_frame(image) for image in images]
    if way == "JPEG 80":
        return _jpeg(images, frames)
    return _video(way, frames)


def _jpeg(images: Sequence[Image], frames: Sequence[av.VideoFrame]) -> Figures:
    start_s = time.thread_time()
    files = [simplejpeg.encode_jpeg(each, 80, colorsubsampling="420") for each in images]
    cpu_s = time.thread_time() - start_s
    shown = [to_frame(simplejpeg.decode_jpeg(each)) for each in files]
    return _figures(frames, shown, sum(map(len, files)), cpu_s)


def _video(way: str, frames: Sequence[av.VideoFrame]) -> Figures:
    codec, decoder_name = CODECS[way]
    width, height = frames[0].width, frames[0].height
    encoder = Encoder(codec, width, height, fps=FPS, max_bitrate_bps=MAX_BITRATE_BPS)
    decoder = av.CodecContext.create(decoder_name, "r")
    shown: list[av.VideoFrame] = []
    nbytes, cpu_s = 0, 0.0
    for number, frame in enumerate(frames):
        start_s = time.thread_time()
        packet = encoder.encode(frame, number * CLOCK_HZ // FPS, 0, is_keyframe=number == 0)
        cpu_s += time.thread_time() - start_s
        if packet is not None:
            nbytes += packet.nbytes
            shown += decoder.decode(av.Packet(packet.data))  # type: ignore[attr-defined]
    return _figures(frames, shown, nbytes, cpu_s)


def _figures(
    frames: Sequence[av.VideoFrame], shown: Sequence[av.VideoFrame], nbytes: int, cpu_s: float
) -> Figures:
    pairs = list(zip(frames, shown, strict=True))[_FROM:]
    psnr_db = float(np.mean([_psnr(_luma(source), _luma(copy)) for source, copy in pairs]))
    return Figures(psnr_db, nbytes * 8 * FPS / len(frames) / 1e6, cpu_s * 1000 / len(frames))


def to_frame(image: Image) -> av.VideoFrame:
    """Convert as the media process does."""
    return _reformatter.reformat(
        av.VideoFrame.from_ndarray(image, format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.AREA,
        threads=1,
    )


def _luma(frame: av.VideoFrame) -> NDArray[np.float64]:
    return frame.to_ndarray()[: frame.height].astype(np.float64)


def _psnr(exact: NDArray[np.float64], shown: NDArray[np.float64]) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((exact - shown) ** 2), 1e-3)))
