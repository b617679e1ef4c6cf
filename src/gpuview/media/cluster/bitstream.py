"""What an encoded picture says of itself: pure. Nothing about the bytes is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["Shown", "look_at"]

_SLICE, _IDR_SLICE, _SPS = 1, 5, 7
_BASELINE, _MAIN = 66, 77
_VP8_START = b"\x9d\x01\x2a"
_JPEG_START = b"\xff\xd8"
_BASELINE_JPEG, _SCAN = 0xC0, 0xDA
_LONGEST_SPS = 256


class Shown(NamedTuple):
    """What one packet's bitstream shows."""

    is_keyframe: bool
    width: int
    """Pixels; 0 where only a keyframe tells."""
    height: int


def look_at(codec_name: str, data: bytes) -> Shown:
    """Return whether a packet is a keyframe, and of what size.

    Args:
        codec_name: ``"H264"``, ``"VP8"`` or ``"JPEG"``.
        data: The bitstream, Annex B for H.264.

    Raises:
        ValueError: It is no packet of that codec, as far as its headers tell.
    """
    try:
        return _READERS[codec_name](data)
    except IndexError:
        raise ValueError(f"a {codec_name} packet of {len(data)} bytes ends in a header") from None


def _look_at_h264(data: bytes) -> Shown:
    size = 0, 0
    for start in _nal_starts(data):
        kind = data[start] & 0x1F
        if kind == _SPS:
            size = _sps_size(data[start + 1 : start + 1 + _LONGEST_SPS])
        elif kind == _IDR_SLICE and size != (0, 0):
            return Shown(True, *size)
        elif kind == _SLICE and size == (0, 0):
            return Shown(False, 0, 0)
        elif kind in (_SLICE, _IDR_SLICE):
            break
    raise ValueError("no H264 packet of one picture")


def _nal_starts(data: bytes) -> Iterator[int]:
    """Yield where each NAL unit begins, up to the first that has no start code."""
    if not data.startswith((b"\0\0\1", b"\0\0\0\1")):
        raise ValueError("no start code")
    found = data.find(b"\0\0\1")
    while found >= 0 and found + 3 < len(data):
        yield found + 3
        found = data.find(b"\0\0\1", found + 3)


def _sps_size(sps: bytes) -> tuple[int, int]:
    """Return the width and height in a sequence parameter set of Baseline or Main profile."""
    if sps[0] not in (_BASELINE, _MAIN):
        raise ValueError(f"an H264 profile of {sps[0]}")
    bits = _Bits(sps[3:].replace(b"\0\0\3", b"\0\0"))
    bits.golomb()  # its id
    bits.golomb()  # log2_max_frame_num
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        raise ValueError("an H264 picture order that no encoder of ours has")
    bits.golomb()  # reference frames
    bits.take(1)
    columns, rows = bits.golomb() + 1, bits.golomb() + 1
    is_frame = bits.take(1)
    if not is_frame:
        raise ValueError("interlaced H264")
    bits.take(1)
    left, right, top, bottom = (bits.golomb() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    # 4:2:0, as every picture of these profiles is: cropped in units of two pixels.
    return columns * 16 - 2 * (left + right), rows * 16 - 2 * (top + bottom)


class _Bits:
    """Reads a bitstream from its most significant bit on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - self._at % 8) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        """Take an unsigned Exp-Golomb code of at most 32 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("a number of more than 32 bits")
        return (1 << zeros) - 1 + self.take(zeros)


def _look_at_vp8(data: bytes) -> Shown:
    if data[0] & 1:
        return Shown(False, 0, 0)
    if data[3:6] != _VP8_START:
        raise ValueError("no start code")
    return Shown(True, (data[6] | data[7] << 8) & 0x3FFF, (data[8] | data[9] << 8) & 0x3FFF)


def _look_at_jpeg(data: bytes) -> Shown:
    if not data.startswith(_JPEG_START):
        raise ValueError("no JPEG")
    at = len(_JPEG_START)
    while data[at] == 0xFF and data[at + 1] != _SCAN:
        if data[at + 1] == _BASELINE_JPEG:
            return Shown(True, data[at + 7] << 8 | data[at + 8], data[at + 5] << 8 | data[at + 6])
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    raise ValueError("no JPEG with a size")


_READERS: dict[str, Callable[[bytes], Shown]] = {
    "H264": _look_at_h264,
    "VP8": _look_at_vp8,
    "JPEG": _look_at_jpeg,
}
