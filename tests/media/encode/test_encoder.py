"""Encoders, judged by FFmpeg's decoders."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.codec.codec import UnknownCodecError

from gpuview.errors import MediaError
from gpuview.media.encode import choice
from gpuview.media.encode.choice import usable_codecs, why_no_h264
from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.frame_bits import MAX_FRAME_S
from gpuview.media.encode.output import Output

CODECS = [Codec("H264", "Main"), Codec("H264", "Constrained Baseline"), Codec("VP8")]
STEP = 3000  # 90 kHz ticks of a frame at 30 fps


def picture(number: int, width: int = 128, height: int = 96) -> av.VideoFrame:
    """Return a gradient that moves, as ``yuv420p``."""
    ramp = np.add.outer(np.arange(height), np.arange(width) + 5 * number)
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = 16 + ramp % 200
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def encoder(codec: Codec, width: int = 128, height: int = 96) -> Encoder:
    return Encoder(codec, width, height, fps=30, max_bitrate_bps=2_000_000)


def joined(codec: Codec, packet: Packet) -> bytes:
    """Put a packet's RTP payloads together again, as a receiver does."""
    parameters = RTCRtpCodecParameters(mimeType=f"video/{codec.name}", clockRate=90_000)
    return b"".join(depayload(parameters, payload) for payload in packet.payloads)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_each_frame_gives_one_packet_without_delay_and_decodes(codec: Codec) -> None:
    running = encoder(codec)
    decoder = av.CodecContext.create("h264" if codec.name == "H264" else "vp8", "r")
    for number in range(8):
        frame = picture(number)
        packet = running.encode(frame, number * STEP, number, is_keyframe=False)
        assert packet is not None
        assert packet.timestamp == number * STEP
        (decoded,) = decoder.decode(av.Packet(joined(codec, packet)))
        luma = frame.to_ndarray()[:96].astype(int)
        assert np.abs(decoded.to_ndarray()[:96].astype(int) - luma).mean() < 8


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_packet_has_the_bitstream_and_says_what_it_shows(codec: Codec) -> None:
    packet = encoder(codec).encode(picture(0), 0, 77, is_keyframe=True)
    assert packet is not None
    assert (packet.width, packet.height, packet.capture_ns) == (128, 96, 77)
    assert packet.nbytes == len(packet.data) >= len(joined(codec, packet)) - 8
    decoder = av.CodecContext.create("h264" if codec.name == "H264" else "vp8", "r")
    assert len(decoder.decode(av.Packet(packet.data))) == 1


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_quantiser_is_coarser_where_bits_are_few(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(16, 236, (144, 128), dtype=np.uint8)
    quantisers = []
    for bitrate_bps in (100_000, 20_000_000):
        running = Encoder(codec, 128, 96, fps=30, max_bitrate_bps=bitrate_bps)
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
            packet = running.encode(frame, number * STEP, number, is_keyframe=False)
            if packet is not None:
                quantisers.append(packet.quantiser)
    assert quantisers[0] > quantisers[-1] >= 0


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_keyframes_come_first_and_when_asked_for_and_not_otherwise(codec: Codec) -> None:
    running = encoder(codec)
    packets = [
        running.encode(picture(number), number * STEP, number, is_keyframe=number == 40)
        for number in range(60)
    ]
    assert [n for n, packet in enumerate(packets) if packet and packet.is_keyframe] == [0, 40]


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_keyframe_in_the_middle_is_decodable_by_itself(codec: Codec) -> None:
    running = encoder(codec)
    for number in range(10):
        packet = running.encode(picture(number), number * STEP, number, is_keyframe=number == 9)
    assert packet is not None
    decoder = av.CodecContext.create("h264" if codec.name == "H264" else "vp8", "r")
    assert len(decoder.decode(av.Packet(joined(codec, packet)))) == 1


def test_flat_vp8_comes_out_as_it_went_in_once_the_picture_stands_still() -> None:
    encode = encoder(Codec("VP8"))
    decoder = av.CodecContext.create("vp8", "r")
    # Grey, then BT.601's red, green and blue.
    for second, flat in enumerate([(126, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110)]):
        frame = av.VideoFrame(128, 96, "yuv420p")
        for plane, level in zip(frame.planes, flat, strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        for repeat in range(5):
            packet = encode.encode(
                frame, (5 * second + repeat + 1) * 18_000, 0, is_keyframe=second + repeat == 0
            )
            assert packet is not None
            (shown,) = decoder.decode(av.Packet(packet.data))
        for plane, level in zip(shown.planes, flat, strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            assert (rows[:, : plane.width] == level).all()


def test_vp8_starts_no_threads_which_would_keep_busy_cores_busier() -> None:
    before = len(os.listdir("/proc/self/task"))
    encoder = Encoder(Codec("VP8"), 1920, 1080, fps=30, max_bitrate_bps=5_000_000)
    frame = av.VideoFrame(1920, 1080, "yuv420p")
    assert encoder.encode(frame, 0, 0, is_keyframe=True) is not None
    assert len(os.listdir("/proc/self/task")) == before


def test_vp8_frame_after_a_pause_takes_no_more_than_a_tenth_of_a_seconds_bits() -> None:
    target_bps = 2_000_000
    encoder = Encoder(Codec("VP8"), 640, 360, fps=30, max_bitrate_bps=target_bps)
    noise = np.random.default_rng(0)
    nbytes = []
    for n in range(20):
        rgb = noise.integers(0, 256, (360, 640, 3), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(rgb).reformat(format="yuv420p")
        timestamp = n * 90_000  # one a second, as from an encoder that cannot keep up
        packet = encoder.encode(frame, timestamp, n, is_keyframe=False, target_bps=target_bps)
        assert packet is not None
        assert packet.timestamp == timestamp
        nbytes.append(packet.nbytes)
    assert max(nbytes[10:]) * 8 < 2 * target_bps * MAX_FRAME_S


def test_h264_says_which_matrix_its_colours_are_in() -> None:
    packet = encoder(CODECS[0]).encode(picture(0), 0, 0, is_keyframe=True)
    assert packet is not None
    decoder = av.CodecContext.create("h264", "r")
    (frame,) = decoder.decode(av.Packet(joined(CODECS[0], packet)))
    # SMPTE 170M, which is BT.601; limited range.
    assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)


def test_payloads_fit_into_a_datagram() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (720 * 3 // 2, 1280), dtype=np.uint8)
    for codec in CODECS:
        frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
        packet = encoder(codec, 1280, 720).encode(frame, 0, 0, is_keyframe=True)
        assert packet is not None
        assert max(map(len, packet.payloads)) <= 1300


@pytest.mark.parametrize(
    ("codec", "name"), [(Codec("H264", "Main"), "an H264 Main"), (Codec("VP8"), "a VP8")]
)
def test_size_that_no_codec_takes_is_a_media_error(codec: Codec, name: str) -> None:
    with pytest.raises(MediaError) as caught:
        encoder(codec, 20_000, 20_000)
    assert caught.value.problem == (
        f"cannot open {name} encoder for 20000 x 20000 pixels: Invalid argument"
    )


class Broken:
    """An encoder library that does not open."""

    def open(self) -> None:
        raise av.FFmpegError(22, "no such preset")


@pytest.mark.parametrize("is_built_without", [True, False])
def test_pyav_that_does_not_encode_h264_encodes_vp8_and_says_why(
    monkeypatch: pytest.MonkeyPatch, is_built_without: bool
) -> None:
    create = av.CodecContext.create

    def create_vp8_only(library: str, mode: str) -> av.CodecContext | Broken:
        if library != "libx264":
            return create(library, mode)
        return create("libx264_that_nobody_has", mode) if is_built_without else Broken()

    monkeypatch.setattr(av.CodecContext, "create", create_vp8_only)
    choice._why_no_h264.cache_clear()
    try:
        assert usable_codecs() == ("VP8",)
        reason = "built without libx264" if is_built_without else "no such preset"
        assert reason in why_no_h264()
        output = Output(Codec("VP8"), fps=30, max_bitrate_bps=10**6)
        assert reason in output.stats().why_no_h264
    finally:
        choice._why_no_h264.cache_clear()


def test_pyav_that_encodes_nothing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_nothing(library: str, mode: str) -> None:
        raise UnknownCodecError(library)

    monkeypatch.setattr(av.CodecContext, "create", create_nothing)
    choice._why_no_h264.cache_clear()
    try:
        with pytest.raises(MediaError, match="cannot encode VP8: it was built without libvpx"):
            usable_codecs()
    finally:
        choice._why_no_h264.cache_clear()


def test_viewer_whose_browser_does_not_offer_h264_is_told_so() -> None:
    assert usable_codecs() == ("H264", "VP8")
    reasons = [Output(each, fps=30, max_bitrate_bps=10**6).stats().why_no_h264 for each in CODECS]
    assert reasons == ["", "", "the browser does not offer it"]
