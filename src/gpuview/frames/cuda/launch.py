"""Launches the Triton kernels. Whatever stays the same from frame to frame is decided once, here.

Note [variants]: Triton compiles a variant for each combination of dtypes and flags, and of integer
arguments that are 1 or a multiple of 16. Arguments that do not affect memory access are excluded
(``do_not_specialize``). A variant takes half a second to compile; Triton caches it on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpuview.frames.cpu.area import max_taps
from gpuview.frames.cpu.dtypes import needs_float64
from gpuview.frames.cpu.paint import is_classes
from gpuview.frames.cpu.percentiles import sample_size
from gpuview.frames.cuda.kernel import draw_panel
from gpuview.frames.cuda.minmax import find_minmax, merge_minmax
from gpuview.frames.cuda.percentiles import find_percentiles
from gpuview.frames.cuda.pixel_value import Colouring, Scale
from gpuview.frames.cuda.slot_layout import part, planes, rgb_planes
from gpuview.frames.picture.colormap import palette
from gpuview.frames.picture.geometry import PanelPlan

__all__ = ["PanelKernel"]

_MINMAX_BLOCK = 1024
_MINMAX_CHUNK = 1 << 14  # values for one program of `find_minmax`
_MAX_CHUNKS = 256
_INT32_END = 1 << 31


@dataclass(frozen=True, slots=True)
class _Launch:
    """The launch options for tensors of one dtype and one set of strides."""

    dtype: torch.dtype
    strides: tuple[int, ...]
    """Of tiles, channels, rows and columns, in elements."""
    grid: tuple[int, int]
    options: dict[str, int | Scale | Colouring]
    minmax_options: dict[str, bool]


class PanelKernel:
    """Draws one panel into one buffer. One thread at a time; allocates only in the constructor.

    Args:
        panel: The panel to draw.
        height: The height of the whole picture.
        width: The width of the whole picture.
        record: The destination: a whole record of the ring, uint8, on the device.
        nonfinite: ``(2,)`` int64 on the device; drawing adds the numbers of NaN and Inf.
    """

    def __init__(
        self, panel: PanelPlan, height: int, width: int, record: Tensor, nonfinite: Tensor
    ) -> None:
        self._panel = panel
        self._record = record
        self._nonfinite = nonfinite
        name = "gray" if panel.channels == 3 else panel.colormap
        self._palette = palette(name, record.device)
        auto = panel.scaling.auto
        self._chunks = _n_chunks(panel)
        self._ranges = _new_ranges(panel, record.device)
        self._range_step = 2 if auto in ("tile", "robust") else 0
        self._parts = self._ranges
        if auto in ("frame", "symmetric") or (auto == "tile" and self._chunks > 1):
            shape = (panel.n_tiles * self._chunks, 2)
            self._parts = torch.empty(shape, dtype=torch.float64, device=record.device)
        self.tensors = (self._ranges, self._parts)
        """The tensors that work in flight may still read."""
        drawn = part(planes(record, height, width), panel)
        red = rgb_planes(record, height, width)[0, panel.y :, panel.x :]
        offsets = (plane.storage_offset() for plane in (*drawn, red))
        self._picture = (width, *offsets, height * width)
        self._places = (
            panel.width,
            panel.n_tiles,
            panel.columns,
            panel.cell_height,
            panel.cell_width,
            panel.inner_height,
            panel.inner_width,
            panel.tile_height,
            panel.tile_width,
            max_taps(panel.tile_height, panel.inner_height),
            max_taps(panel.tile_width, panel.inner_width),
        )
        self._is_direct = (panel.tile_height, panel.tile_width) == (
            panel.inner_height,
            panel.inner_width,
        )
        self._flags = {
            "channels": panel.channels,
            "is_direct": self._is_direct,
            "is_grid": panel.n_tiles > 1,
            "is_padded": panel.n_tiles == 1
            and (panel.height, panel.width) != (panel.inner_height, panel.inner_width),
            "colouring": _colouring(panel),
        }
        self._launch: _Launch | None = None

    def draw(self, pixels: Tensor, seq: int, capture_ns: int) -> None:
        """Launch the work on the current stream; the tensor's device must be current.

        Args:
            pixels: ``(T, C, H, W)``, the tiles of the panel; any strides, any real dtype.
            seq: The frame's number, written to the record.
            capture_ns: When the frame was pushed, written to the record.
        """
        if pixels.dtype == torch.bool:
            pixels = pixels.view(torch.uint8)
        launch = self._launch_of(pixels)
        if self._panel.scaling.auto == "robust":
            self._find_percentiles(pixels, launch)
        elif self._panel.scaling.auto is not None:
            self._find_minmax(pixels, launch)
        draw_panel[launch.grid](
            pixels,
            self._record,
            self._ranges,
            self._palette,
            self._nonfinite,
            seq,
            capture_ns,
            *self._picture,
            *self._places,
            *launch.strides,
            self._range_step,
            **launch.options,
        )

    def measure(self, pixels: Tensor, extremes: Tensor) -> None:
        """Launch finding the smallest and the largest finite value; of a flow, speed.

        Args:
            pixels: As for `draw`.
            extremes: ``(2,)`` float64; (inf, -inf) if no value is finite.
        """
        if pixels.dtype == torch.bool:
            pixels = pixels.view(torch.uint8)
        # Not `_parts`: on another stream, the next frame may be drawn already.
        shape = (self._panel.n_tiles * self._chunks, 2)
        parts = torch.empty(shape, dtype=torch.float64, device=pixels.device)
        self._find_parts(pixels, self._launch_of(pixels), parts, is_last=False)
        torch.amin(parts[:, 0], 0, out=extremes[0])
        torch.amax(parts[:, 1], 0, out=extremes[1])

    def _launch_of(self, pixels: Tensor) -> _Launch:
        launch = self._launch
        if launch is None or launch.dtype != pixels.dtype or launch.strides != pixels.stride():
            launch = self._launch = self._decide(pixels)
        return launch

    def _decide(self, pixels: Tensor) -> _Launch:
        """Decide the launch options for all tensors of this dtype and these strides."""
        panel, dtype = self._panel, pixels.dtype
        block, n_warps = _shape(pixels, is_direct=self._is_direct)
        is_long = _needs_int64(pixels, panel)
        options = {
            **self._flags,
            "scale": _scale(panel, dtype),
            "needs_float64": needs_float64(dtype, panel.scaling),
            "needs_int64": is_long,
            "may_have_nonfinite": dtype.is_floating_point,
            "block": block,
            "num_warps": n_warps,
        }
        return _Launch(
            dtype,
            pixels.stride(),
            (-(-panel.width // block), panel.height // 2),
            options,
            {
                "is_flat": panel.channels != 2 and pixels[0].is_contiguous(),
                "is_flow": panel.channels == 2,
                "needs_float64": needs_float64(dtype),
                "needs_int64": is_long,
            },
        )

    def _find_minmax(self, pixels: Tensor, launch: _Launch) -> None:
        panel = self._panel
        is_last = self._parts is self._ranges
        self._find_parts(pixels, launch, self._parts, is_last=is_last)
        if not is_last:
            is_frame = panel.scaling.auto != "tile"
            merge_minmax[(1 if is_frame else panel.n_tiles,)](
                self._parts,
                self._ranges,
                self._chunks * panel.n_tiles if is_frame else self._chunks,
                is_symmetric=panel.scaling.auto == "symmetric",
                block=_MINMAX_BLOCK,
            )

    def _find_percentiles(self, pixels: Tensor, launch: _Launch) -> None:
        panel = self._panel
        find_percentiles[(panel.n_tiles,)](
            pixels,
            self._ranges,
            panel.tile_height,
            panel.tile_width,
            panel.channels * panel.tile_height * panel.tile_width,
            *launch.strides,
            needs_float64=launch.minmax_options["needs_float64"],
            size=sample_size(panel.n_tiles),
            num_warps=8,
        )

    def _find_parts(self, pixels: Tensor, launch: _Launch, parts: Tensor, *, is_last: bool) -> None:
        panel = self._panel
        find_minmax[(panel.n_tiles, self._chunks)](  # only the first axis may exceed 65535
            pixels,
            parts,
            panel.tile_height,
            panel.tile_width,
            _n_values(panel),
            *launch.strides,
            is_last=is_last,
            block=_MINMAX_BLOCK,
            **launch.minmax_options,
        )


def _new_ranges(panel: PanelPlan, device: torch.device) -> Tensor:
    """Return ``(n, 2)`` float64: half the low bound, and the gain 1 / (half the range)."""
    n_ranges = panel.n_tiles if panel.scaling.auto in ("tile", "robust") else 1
    ranges = torch.empty((n_ranges, 2), dtype=torch.float64, device=device)
    if panel.scaling.auto is None:
        low, high = panel.scaling.low, panel.scaling.high
        ranges[:, 0].fill_(low / 2)
        ranges[:, 1].fill_(1 / (high / 2 - low / 2))
    return ranges


def _shape(pixels: Tensor, *, is_direct: bool) -> tuple[int, int]:
    """Return the number of pixels of a row that a program draws, and its number of warps.

    Planes are read 16 bytes at a time, so each thread should have many neighbours. With interleaved
    pixels, more pixels per thread spread a warp's reads over more cache lines. Resizing needs many
    registers for each pixel.
    """
    if pixels.stride(3) == 1 and is_direct:
        return 512, 2
    return (512, 4) if pixels.element_size() <= 2 or not is_direct else (256, 4)


def _colouring(panel: PanelPlan) -> Colouring:
    if panel.channels == 2:
        return "flow"
    if panel.channels == 3 or panel.colormap == "gray":
        return "levels"
    return "classes" if is_classes(panel) else "map"


def _scale(panel: PanelPlan, dtype: torch.dtype) -> Scale:
    scaling = panel.scaling
    bounds = (scaling.low, scaling.high)
    if is_classes(panel):
        return "as is"
    if scaling.auto is None and dtype.is_floating_point and bounds == (0, 1):
        return "as is"
    if scaling.auto is None and dtype == torch.uint8 and bounds == (0, 255):
        return "byte"
    return "range"


def _n_values(panel: PanelPlan) -> int:
    """Return of how many values a tile's range is found: the two of a flow are one."""
    channels = 1 if panel.channels == 2 else panel.channels
    return channels * panel.tile_height * panel.tile_width


def _n_chunks(panel: PanelPlan) -> int:
    return min(_MAX_CHUNKS, -(-_n_values(panel) // _MINMAX_CHUNK))


def _needs_int64(pixels: Tensor, panel: PanelPlan) -> bool:
    """Tell whether an index that the kernels compute may not fit into 32 bits."""
    end = sum((side - 1) * step for side, step in zip(pixels.shape, pixels.stride(), strict=True))
    longest = max(
        2 * (panel.inner_height + 1) * (panel.tile_height + 1),
        2 * (panel.inner_width + 1) * (panel.tile_width + 1),
        pixels[0].numel() + _MAX_CHUNKS * _MINMAX_BLOCK,
        end + 1,
    )
    return longest >= _INT32_END
