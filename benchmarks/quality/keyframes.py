"""Measure what the keyframes of the replay cost, in bytes.

    python -m benchmarks.quality.keyframes

Prints a table; takes some minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

import av

from benchmarks.document import markdown_table
from benchmarks.quality.contents import CONTENTS
from benchmarks.quality.measure import CODECS, FPS, MAX_BITRATE_BPS, to_frame
from gpuview.media.encode.codec import CLOCK_HZ, Codec
from gpuview.media.encode.encoder import Encoder

_S = 20
_EVERY_S = 5


def main() -> None:
    """Measure, print."""
    names = tuple(CODECS)
    rows = []
    for content, make in CONTENTS.items():
        frames = [to_frame(image) for image in make(_S * FPS)]
        rows.append((content, [_cost(CODECS[name][0], frames) for name in names]))
    print(markdown_table([f"{name}, bytes more" for name in names], rows))


def _cost(codec: Codec, frames: Sequence[av.VideoFrame]) -> str:
    without, with_ = (_nbytes(codec, frames, every_s) for every_s in (_S, _EVERY_S))
    return f"{with_ / without - 1:+.1%}"


def _nbytes(codec: Codec, frames: Sequence[av.VideoFrame], every_s: int) -> int:
    """Return the bytes of all frames, with a keyframe every so many seconds."""
    size = frames[0].width, frames[0].height
    encoder = Encoder(codec, *size, fps=FPS, max_bitrate_bps=MAX_BITRATE_BPS)
    packets = (
        encoder.encode(
            frame, number * CLOCK_HZ // FPS, 0, is_keyframe=number % (every_s * FPS) == 0
        )
        for number, frame in enumerate(frames)
    )
    return sum(packet.nbytes for packet in packets if packet is not None)


if __name__ == "__main__":
    main()
