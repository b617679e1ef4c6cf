"""What the viewer makes of a decoded frame, and of an answer."""

from __future__ import annotations

import numpy as np
import pytest
from av import VideoFrame

from gpuview.testing.peer import first_codec, to_rgb

CODECS = "a=rtpmap:96 VP8/90000\r\na=rtpmap:99 H264/90000\r\n"


def flat_frame(y: int, cb: int, cr: int) -> VideoFrame:
    frame = VideoFrame(64, 48, "yuv420p")
    for plane, level in zip(frame.planes, (y, cb, cr), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    return frame


def bt601(y: int, cb: int, cr: int) -> np.ndarray:
    """Return RGB in float64, as ITU-R BT.601-7 defines it."""
    luma, blue, red = (y - 16) * 255 / 219, (cb - 128) * 255 / 224, (cr - 128) * 255 / 224
    green = luma - 0.344136 * blue - 0.714136 * red
    return np.clip([luma + 1.402 * red, green, luma + 1.772 * blue], 0, 255)


def test_every_colour_is_within_one_level_of_the_definition() -> None:
    levels = np.random.default_rng(0).integers([16, 16, 16], [236, 241, 241], size=(200, 3))
    for y, cb, cr in levels.tolist():
        image = to_rgb(flat_frame(y, cb, cr))

        assert image.shape == (48, 64, 3)
        assert np.abs(image - bt601(y, cb, cr)).max() <= 1.5  # one level, and rounding


@pytest.mark.parametrize(
    ("sdp", "codec"),
    [
        (f"m=video 9 UDP/TLS/RTP/SAVPF 99 96\r\n{CODECS}", "H264"),
        (f"m=video 9 UDP/TLS/RTP/SAVPF 96 99\r\n{CODECS}", "VP8"),
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", None),
    ],
)
def test_the_codec_is_the_first_of_the_video_section(sdp: str, codec: str | None) -> None:
    assert first_codec(sdp) == codec
