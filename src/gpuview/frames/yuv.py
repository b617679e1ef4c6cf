"""RGB to I420 on the tensor's device, in plain torch.

Note [one colour matrix]: every codec is given limited-range BT.601. Browsers assume it for VP8,
which has no way to say otherwise, and H.264's header says it; so one conversion serves all viewers.

Only element-wise operations are used. Matrix products would follow the user's autocast and
``torch.set_float32_matmul_precision``, and then colours would change with them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpuview.errors import FrameError

__all__ = ["GREY_CHROMA", "LUMA_OFFSET", "LUMA_RANGE", "rgb_to_i420"]

LUMA_OFFSET, LUMA_RANGE = 16, 219
"""Black is 16 and white is 235."""

GREY_CHROMA = 128
"""Both chroma values of a pixel without colour."""

_CHROMA_RANGE = 224
_KR, _KG, _KB = 0.299, 0.587, 0.114
_LUMA = (_KR, _KG, _KB)
_CB = (-_KR / (1 - _KB) / 2, -_KG / (1 - _KB) / 2, 0.5)
_CR = (0.5, -_KG / (1 - _KR) / 2, -_KB / (1 - _KR) / 2)


def rgb_to_i420(rgb: Tensor) -> Tensor:
    """Convert one RGB picture to the three planes that a video encoder reads.

    Runs on ``rgb.device``, on the current stream, and only launches work: it never synchronises.
    All values are within one level of the exact result, whatever the user's matmul precision.

    Args:
        rgb: ``(3, H, W)`` of any strides, H and W even; gamma-encoded; uint8 in [0, 255], or
            floating in [0, 1]. Outside values are clamped, NaN is 0.

    Returns:
        ``(H * W * 3 / 2,)`` uint8 on ``rgb.device``, made anew. First the luma plane ``(H, W)`` in
        [16, 235], then Cb and Cr, each ``(H/2, W/2)`` in [16, 240], the mean of its 2x2 block.

    Raises:
        FrameError: Not three channels, or an odd side.

    Source:
        ITU-R BT.601-7 section 2.5. See Note [one colour matrix].
    """
    _check(rgb)
    height, width = rgb.shape[1:]
    pixels = height * width
    unit = _to_unit(rgb)  # (3, H, W)
    quads = _sum_2x2(unit)  # (3, H/2, W/2)
    i420 = torch.empty(pixels * 3 // 2, dtype=torch.uint8, device=rgb.device)
    chroma = i420[pixels:].view(2, -1)
    _mix(unit, _LUMA, LUMA_RANGE, LUMA_OFFSET, out=i420[:pixels])
    _mix(quads, _CB, _CHROMA_RANGE / 4, GREY_CHROMA, out=chroma[0])
    _mix(quads, _CR, _CHROMA_RANGE / 4, GREY_CHROMA, out=chroma[1])
    return i420


def _check(rgb: Tensor) -> None:
    shape = tuple(rgb.shape)
    if len(shape) != 3 or shape[0] != 3 or shape[1] % 2 or shape[2] % 2:
        raise FrameError(
            f"cannot subsample a frame with {shape = }",
            expected="(3, H, W) with H and W even",
            fix="push it through a stream, which completes odd sides",
        )


def _to_unit(rgb: Tensor) -> Tensor:
    """Return ``rgb`` as float32 in [0, 1]."""
    if rgb.dtype == torch.uint8:
        return rgb.to(torch.float32).div_(255)
    # NaN passes through a clamp; infinities do not.
    return rgb.to(torch.float32).clamp(0, 1).nan_to_num_(0)


def _sum_2x2(planes: Tensor) -> Tensor:
    rows = planes[:, 0::2] + planes[:, 1::2]  # (C, H/2, W)
    return rows[:, :, 0::2] + rows[:, :, 1::2]  # (C, H/2, W/2)


def _mix(
    rgb: Tensor, weights: tuple[float, float, float], scale: float, offset: int, out: Tensor
) -> None:
    """Write ``round(weights . rgb * scale + offset)`` to ``out``, which is flat."""
    red, green, blue = (weight * scale for weight in weights)
    mixed = rgb[0] * red
    mixed.add_(rgb[1], alpha=green).add_(rgb[2], alpha=blue)
    mixed.add_(offset + 0.5)  # the cast to uint8 cuts, so this rounds half up
    out.view(mixed.shape).copy_(mixed)
