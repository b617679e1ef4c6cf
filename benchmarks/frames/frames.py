"""The frames that are shown, and how a person shows each of them without gpuview."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import av
import torch
from torch import Tensor

__all__ = ["KINDS", "SIZES", "Kind", "picture"]

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}
"""(height, width)."""

_GRID_SIDE = 8


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of frame."""

    name: str
    make: Callable[[int, int, str], Tensor]
    """From height, width and device: random, made anew."""
    usual: Callable[[Tensor], av.VideoFrame]
    """The way that most people have in their notebooks: to RGB on the CPU, then swscale."""


def picture(height: int, width: int, device: str, *, dtype: torch.dtype, layout: str) -> Tensor:
    """Return a random picture: floating in [0, 1], or uint8 in [0, 255]."""
    shape = (3, height, width) if layout == "CHW" else (height, width, 3)
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=dtype, device=device)
    return torch.rand(shape, device=device).to(dtype)


def _float32(height: int, width: int, device: str) -> Tensor:
    return picture(height, width, device, dtype=torch.float32, layout="CHW")


def _float16(height: int, width: int, device: str) -> Tensor:
    return picture(height, width, device, dtype=torch.float16, layout="CHW")


def _uint8(height: int, width: int, device: str) -> Tensor:
    return picture(height, width, device, dtype=torch.uint8, layout="HWC")


def _with_nan(height: int, width: int, device: str) -> Tensor:
    tensor = _float32(height, width, device)
    tensor[:, height // 2, : width // 2] = torch.nan
    return tensor


def _feature_map(height: int, width: int, device: str) -> Tensor:
    # With a gap of two pixels between them, they fill about as much as the picture.
    tile = (height // _GRID_SIDE - 2, width // _GRID_SIDE - 2)
    return torch.randn(1, _GRID_SIDE**2, *tile, device=device)


def _show_float(tensor: Tensor) -> av.VideoFrame:
    return _encoders_frame((tensor.clamp(0, 1) * 255).byte().permute(1, 2, 0))


def _show_uint8(tensor: Tensor) -> av.VideoFrame:
    return _encoders_frame(tensor)


def _show_feature_map(tensor: Tensor) -> av.VideoFrame:
    tiles = tensor[0]  # (64, H/8, W/8)
    low, high = tiles.amin((1, 2), keepdim=True), tiles.amax((1, 2), keepdim=True)
    colours = _ramp(tensor.device)[((tiles - low) / (high - low) * 255).long()]
    rows = colours.unflatten(0, (_GRID_SIDE, _GRID_SIDE)).permute(0, 2, 1, 3, 4)
    return _encoders_frame(rows.flatten(2, 3).flatten(0, 1))  # (H, W, 3)


def _ramp(device: torch.device) -> Tensor:
    """Return a colour map, ``(256, 3)`` uint8; which one does not matter."""
    steps = torch.arange(256, dtype=torch.uint8, device=device)
    return torch.stack((steps, 255 - steps, steps // 2), dim=1)


def _encoders_frame(pixels: Tensor) -> av.VideoFrame:
    """From ``(H, W, 3)`` uint8 to what an encoder reads."""
    frame = av.VideoFrame.from_ndarray(pixels.cpu().numpy(), format="rgb24")
    return frame.reformat(format="yuv420p")


KINDS = (
    Kind("float32 CHW", _float32, _show_float),
    Kind("float16 CHW", _float16, _show_float),
    Kind("uint8 HWC", _uint8, _show_uint8),
    Kind("float32 CHW with NaN", _with_nan, _show_float),
    Kind("feature map, 64 channels", _feature_map, _show_feature_map),
)
