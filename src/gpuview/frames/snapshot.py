"""The newest frame as a still image, made from the tensor, not from the video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from gpuview.frames.cpu.extremes import finite_extremes
from gpuview.frames.cpu.paint import render
from gpuview.frames.cpu.writer import write_picture
from gpuview.frames.picture.frame import read_frame
from gpuview.frames.picture.geometry import BACKGROUND, MAX_SIDE, PanelPlan, Plan
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.look import Look, Size
from gpuview.frames.picture.measured import Extremes
from gpuview.frames.picture.plan import plan
from gpuview.frames.picture.tensor_layout import Reading, Tiles
from gpuview.frames.torch_compat import outside_transforms
from gpuview.protocol.pixel_format import MIN_SIDE, PixelFormat

__all__ = ["extremes", "preview", "snapshot", "video_picture"]

Pixels = npt.NDArray[np.uint8]


def snapshot(frame: object, look: Look, readings: Mapping[str | None, Reading]) -> Image.Image:
    """Draw ``frame`` as in the video, but at the tensor's own resolution.

    Waits for the frame's device. A uint8 picture comes back unchanged.

    Args:
        frame: A tensor, or a mapping or list of tensors, as for `FrameWriter.write`.
        look: How it is shown; its size is ignored.
        readings: How the stream's last frame was read; see Note [as before] in `layout`.

    Returns:
        Mode ``"L"`` for a single picture that has only greys; else ``"RGB"``.

    Raises:
        FrameError: The frame cannot be shown.
    """
    return Image.fromarray(outside_transforms(lambda: _drawn(frame, look, readings)))


def preview(
    frame: object,
    look: Look,
    readings: Mapping[str | None, Reading],
    *,
    longest_side: int,
) -> tuple[Image.Image, int]:
    """Draw ``frame`` as in the video, but no larger than ``longest_side``, in pixels.

    Waits for the frame's device.

    Args:
        frame: As for `snapshot`.
        look: How it is shown, with its size.
        readings: As for `snapshot`.
        longest_side: In pixels; at least `MIN_SIDE`.

    Returns:
        The picture, of mode ``"RGB"``, and the width of the video in pixels.

    Raises:
        FrameError: The frame cannot be shown.
    """
    pixels, width = outside_transforms(lambda: _previewed(frame, look, readings, longest_side))
    return Image.fromarray(pixels), width


def video_picture(frame: object, look: Look, readings: Mapping[str | None, Reading]) -> Image.Image:
    """Draw ``frame`` as in the video, in its full size.

    Waits for the frame's device.

    Args:
        frame, look, readings: As for `preview`.

    Returns:
        Mode ``"RGB"``.

    Raises:
        FrameError: The frame cannot be shown.
    """
    return preview(frame, look, readings, longest_side=MAX_SIDE)[0]


def extremes(
    frame: object, look: Look, readings: Mapping[str | None, Reading]
) -> tuple[float, float] | None:
    """Return the smallest and the largest finite value shown; None if no value is finite.

    Waits for the frame's device.

    Args:
        frame: As for `snapshot`.
        look: Only its layout is read.
        readings: As for `snapshot`.

    Raises:
        FrameError: The frame cannot be shown.
    """
    found = outside_transforms(lambda: _extremes(frame, look, readings))
    known = [each for each in found if each is not None]
    if not known:
        return None
    return min(low for low, _ in known), max(high for _, high in known)


@torch.inference_mode()
def _drawn(frame: object, look: Look, readings: Mapping[str | None, Reading]) -> Pixels:
    names, tiles = read_frame(frame, look, readings)
    picture = plan([each.kind for each in tiles], names, look, is_native=True)
    if names is None:
        return _grey_if_it_is(_painted(tiles[0], picture.panels[0]), picture.panels[0])
    return _composed(picture, tiles)


@torch.inference_mode()
def _previewed(
    frame: object, look: Look, readings: Mapping[str | None, Reading], longest_side: int
) -> tuple[Pixels, int]:
    names, tiles = read_frame(frame, look, readings)
    kinds = [each.kind for each in tiles]
    picture = plan(kinds, names, look)
    width, height = picture.width, picture.height
    scale = longest_side / max(width, height)
    if scale < 1:
        size: Size = longest_side
        if isinstance(look.size, tuple):
            size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
        picture = plan(kinds, names, replace(look, size=size))
    return _as_in_the_video(picture, tiles), width


@torch.inference_mode()
def _extremes(frame: object, look: Look, readings: Mapping[str | None, Reading]) -> list[Extremes]:
    _, tiles = read_frame(frame, look, readings)
    return [finite_extremes(each.pixels) for each in tiles]


def _as_in_the_video(picture: Plan, tiles: Sequence[Tiles]) -> Pixels:
    """Return ``(height, width, 3)``, drawn as for the ring: a cell waits for it."""
    canvas = _Canvas()
    write_picture(canvas, picture, tiles, 0)
    return canvas.pixels


class _Canvas:
    """A `FrameSink` in memory, for one picture."""

    pixels: Pixels
    """``(height, width, 3)``"""

    def begin(self, nbytes: int) -> memoryview:
        self._slot = np.empty(nbytes, np.uint8)
        return self._slot.data

    def publish(self, pixel_format: PixelFormat, width: int, height: int, capture_ns: int) -> None:
        if pixel_format is PixelFormat.RGB24:
            self.pixels = self._slot.reshape(height, width, 3)
        else:
            planes = self._slot.reshape(-1, height, width)  # one of grey, or three
            self.pixels = np.empty((height, width, 3), np.uint8)
            self.pixels[:] = planes.transpose(1, 2, 0)

    def release(self) -> None:
        pass


def _painted(tiles: Tiles, panel: PanelPlan) -> Pixels:
    """Return ``(height, width, 3)``; a single tile is cropped to its own, perhaps odd, sides."""
    rgb = render(tiles.pixels, panel).rgb
    if panel.n_tiles == 1:
        rgb = rgb[:, : panel.inner_height, : panel.inner_width]
    return _as_bytes(rgb)


def _as_bytes(rgb: Tensor) -> Pixels:
    levels = rgb.movedim(0, -1).cpu().numpy() * 255
    return np.floor(levels + 0.5).astype(np.uint8)


def _grey_if_it_is(pixels: Pixels, panel: PanelPlan) -> Pixels:
    """Return one channel of a grey picture, unless it shows the colours of NaN or Inf."""
    is_grey = panel.channels == 1 and panel.colormap == "gray"
    if is_grey and bool((pixels == pixels[..., :1]).all()):
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def _composed(picture: Plan, tiles: Sequence[Tiles]) -> Pixels:
    canvas = np.full((picture.height, picture.width, 3), BACKGROUND, np.uint8)
    for panel, each in zip(picture.panels, tiles, strict=True):
        part = _painted(each, panel)
        height, width, _ = part.shape
        canvas[panel.y : panel.y + height, panel.x : panel.x + width] = part
    for label in picture.labels:
        rows = slice(label.y, label.y + label.height)
        text = label_image(label.text, label.height, label.width)
        canvas[rows, label.x : label.x + label.width] = text.numpy()
    return canvas
