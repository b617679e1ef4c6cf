"""RGB to I420 on the tensor's device, in plain torch.

The matrix is limited-range BT.601: see Note [one colour matrix] in ``gpuview.media.encode.codec``.

Only element-wise operations are used. Matrix products would follow the user's autocast and
``torch.set_float32_matmul_precision``, and so would the colours.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["write_i420"]

_LUMA_OFFSET, _LUMA_RANGE = 16, 219
"""Black is 16 and white is 235."""

_GREY_CHROMA = 128
"""Both chroma values of a pixel without colour."""

_CHROMA_RANGE = 224
_KR, _KG, _KB = 0.299, 0.587, 0.114
_LUMA = (_KR, _KG, _KB)
_CB = (-_KR / (1 - _KB) / 2, -_KG / (1 - _KB) / 2, 0.5)
_CR = (0.5, -_KG / (1 - _KR) / 2, -_KB / (1 - _KR) / 2)


def write_i420(rgb: Tensor, y: Tensor, cb: Tensor, cr: Tensor) -> None:
    """Convert RGB to I420, writing to the three planes of a picture or to a part of them.

    Runs on ``rgb.device``, on the current stream, and only launches work: it never synchronises.
    All values are within one level of the exact result, whatever the user's matmul precision.

    Args:
        rgb: ``(3, H, W)`` float32 in [0, 1], any strides, H and W even; gamma-encoded.
        y: ``(H, W)`` uint8, any strides; becomes luma in [16, 235].
        cb: ``(H/2, W/2)`` uint8, any strides; in [16, 240], the mean of each 2x2 block.
        cr: As ``cb``.

    Source:
        ITU-R BT.601-7 section 2.5. See Note [one colour matrix].
    """
    quads = _sum_2x2(rgb)  # (3, H/2, W/2)
    _mix(rgb, _LUMA, _LUMA_RANGE, _LUMA_OFFSET, out=y)
    _mix(quads, _CB, _CHROMA_RANGE / 4, _GREY_CHROMA, out=cb)
    _mix(quads, _CR, _CHROMA_RANGE / 4, _GREY_CHROMA, out=cr)


def _sum_2x2(planes: Tensor) -> Tensor:
    rows = planes[:, 0::2] + planes[:, 1::2]  # (C, H/2, W)
    return rows[:, :, 0::2] + rows[:, :, 1::2]  # (C, H/2, W/2)


def _mix(
    rgb: Tensor, weights: tuple[float, float, float], scale: float, offset: int, out: Tensor
) -> None:
    """Write ``round(dot(weights, rgb) * scale + offset)`` to ``out``."""
    red, green, blue = (weight * scale for weight in weights)
    mixed = rgb[0] * red
    mixed.add_(rgb[1], alpha=green).add_(rgb[2], alpha=blue)
    out.copy_(mixed.add_(offset + 0.5))  # the cast to uint8 truncates, so this rounds half up
