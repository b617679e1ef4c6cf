"""A device buffer for the pictures of one plan; each frame is drawn into it.

The background and the labels never change: they are drawn once, when the canvas is created.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gpuview.frames.cpu.measure import launch_present_rows, share_outside
from gpuview.frames.cpu.paint import is_classes, render
from gpuview.frames.cpu.ranges import range_of_all
from gpuview.frames.cpu.yuv import write_i420
from gpuview.frames.cuda.device import Gpu
from gpuview.frames.cuda.slot_layout import (
    i420_nbytes,
    part,
    planes,
    record_nbytes,
    rgb_planes,
)
from gpuview.frames.picture.geometry import BACKGROUND, Label, PanelPlan, Plan
from gpuview.frames.picture.label import label_image
from gpuview.frames.picture.tensor_layout import Tiles
from gpuview.protocol.pixel_format import PixelFormat
from gpuview.protocol.ring import (
    CAPTURE_WORD,
    FORMAT_WORD,
    HEADER_NBYTES,
    HEIGHT_WORD,
    SEQ_WORD,
    WIDTH_WORD,
)

if TYPE_CHECKING:
    from gpuview.frames.cuda.launch import PanelKernel

__all__ = ["Canvas"]

logger = logging.getLogger("gpuview")


class _Triton:
    """Whether this process uses the Triton kernel. The first failure is logged and disables it."""

    def __init__(self) -> None:
        self.is_disabled = False
        self.lock = threading.Lock()
        """Held for a launch, which may compile: older Tritons cannot compile in two threads."""

    def disable(self, reason: Exception) -> None:
        if not self.is_disabled:
            self.is_disabled = True
            logger.warning(
                "Triton does not work here, so PyTorch draws the frames, which takes several times "
                "as long on the GPU: %s: %s",
                type(reason).__name__,
                reason,
            )


_triton = _Triton()


class Canvas:
    """One buffer. One thread at a time. Drawing with the kernel allocates nothing.

    Create it while its device is current: the current stream draws the background and labels.

    Args:
        gpu: The device.
        plan: The picture.
        nonfinite: ``(2,)`` int64 on the device; drawing adds the numbers of NaN and Inf.
    """

    def __init__(self, gpu: Gpu, plan: Plan, nonfinite: Tensor) -> None:
        self.plan = plan
        self.is_used = False
        """Whether a frame was drawn and its copy launched, so that all events are recorded."""
        self.begun, self.drawn = gpu.new_event(), gpu.new_event()
        self.copying, self.copied = gpu.new_event(), gpu.new_event()
        nbytes = record_nbytes(plan.height, plan.width)
        self.record = torch.empty(nbytes, dtype=torch.uint8, device=gpu.device)
        """The whole record, including the header, in the ring's layout."""
        self._words = self.record[:HEADER_NBYTES].view(torch.int64)
        self.seq_bytes = self.record[8 * SEQ_WORD : 8 * SEQ_WORD + 8]
        """The frame's number, which goes last."""
        self.i420 = self.record[HEADER_NBYTES:][: i420_nbytes(plan.height, plan.width)]
        """The picture as it is encoded."""
        self._planes = planes(self.record, plan.height, plan.width)
        self._rgb = rgb_planes(self.record, plan.height, plan.width)
        self._gpu = gpu
        self._nonfinite = nonfinite
        self._kernels = self._new_kernels() if gpu.has_triton else []
        current = gpu.current_stream()
        current.run(self._draw_static)
        current.record(self.copied)  # other streams then wait for the background

    def draw(self, tiles: Sequence[Tiles], seq: int, capture_ns: int) -> None:
        """Launch the work for one frame on the current stream.

        Args:
            tiles: One for each panel, on the canvas' device.
            seq: The frame's number.
            capture_ns: When it was pushed.
        """
        if self._launches(lambda: self._draw_with_kernels(tiles, seq, capture_ns)):
            return
        self._words[SEQ_WORD].fill_(seq)
        self._words[CAPTURE_WORD].fill_(capture_ns)
        for panel, each in zip(self.plan.panels, tiles, strict=True):
            self._paint(panel, each.pixels)

    def measure(
        self, tiles: Sequence[Tiles], is_measured: Sequence[bool], measures: Tensor
    ) -> None:
        """Launch measuring some panels on the current stream.

        Args:
            tiles: As for `draw`, which has drawn them.
            is_measured: Which of them to measure.
            measures: ``(n_panels, N_MEASURES)`` float64; what is found, as for `as_measured`.
        """
        measures.zero_()
        for i, each in enumerate(tiles):
            if is_measured[i]:
                self._measure(i, each.pixels, measures[i])

    def record_use(self) -> None:
        """Do not let the allocator reuse the memory before the queued work is done."""
        used = [
            self.record,
            *(tensor for each in self._kernels for tensor in each.tensors),
        ]
        for tensor in used:
            self._gpu.record_stream(tensor, self._gpu.copy_stream)

    def _new_kernels(self) -> list[PanelKernel]:
        if _triton.is_disabled:
            return []
        try:
            from gpuview.frames.cuda.launch import PanelKernel
        except Exception as exc:  # such as a Triton that does not match this PyTorch
            _triton.disable(exc)
            return []
        sides = self.plan.height, self.plan.width
        return [
            PanelKernel(each, *sides, self.record, self._nonfinite) for each in self.plan.panels
        ]

    def _launches(self, launch: Callable[[], None]) -> bool:
        """Launch kernels; return False if Triton does not work."""
        if not self._kernels or _triton.is_disabled:
            return False
        try:
            with _triton.lock:
                launch()
        except Exception as exc:  # of any type; PyTorch raises a device's error again
            _triton.disable(exc)
            return False
        return True

    def _draw_with_kernels(self, tiles: Sequence[Tiles], seq: int, capture_ns: int) -> None:
        for kernel, each in zip(self._kernels, tiles, strict=True):
            kernel.draw(each.pixels, seq, capture_ns)

    def _measure(self, i: int, pixels: Tensor, measures: Tensor) -> None:
        panel, ends = self.plan.panels[i], measures[:2]
        auto = panel.scaling.auto
        if auto == "robust" or not self._launches(lambda: self._kernels[i].measure(pixels, ends)):
            ends.copy_(range_of_all(pixels, auto))
        if is_classes(panel):
            measures[3:].copy_(launch_present_rows(pixels))
        elif auto is None:
            measures[2].copy_(share_outside(pixels, panel.scaling))

    def _draw_static(self) -> None:
        self._words.fill_(0)
        for word, value in (
            (FORMAT_WORD, PixelFormat.I420_RGB24P),
            (WIDTH_WORD, self.plan.width),
            (HEIGHT_WORD, self.plan.height),
        ):
            self._words[word].fill_(int(value))
        # Converts 2 x 2 pixels on the device: setting values from the CPU would synchronise.
        back = torch.empty((3, 2, 2), dtype=torch.float32, device=self.record.device)
        for plane, level in zip(back, BACKGROUND, strict=True):
            plane.fill_(level / 255)
        pixel = torch.empty(6, dtype=torch.uint8, device=self.record.device)
        write_i420(back, pixel[:4].view(2, 2), pixel[4:5].view(1, 1), pixel[5:].view(1, 1))
        for plane, at in zip(self._planes, (0, 4, 5), strict=True):
            plane.copy_(pixel[at].expand_as(plane))
        for plane, level in zip(self._rgb, BACKGROUND, strict=True):
            plane.fill_(level)
        for label in self.plan.labels:
            self._write(label)

    def _write(self, label: Label) -> None:
        image = self._gpu.upload(label_image(label.text, label.height, label.width))
        levels = image.movedim(-1, 0)  # (3, height, width)
        self._rgb_part(label).copy_(levels)
        write_i420(levels.to(torch.float32).div_(255), *part(self._planes, label))

    def _paint(self, panel: PanelPlan, pixels: Tensor) -> None:
        painted = render(pixels, panel)
        write_i420(painted.rgb, *part(self._planes, panel))
        self._rgb_part(panel).copy_((painted.rgb * 255).add_(0.5))  # the cast truncates
        for count, found in zip(self._nonfinite, (painted.n_nan, painted.n_inf), strict=True):
            if found is not None:
                count.add_(found)

    def _rgb_part(self, where: PanelPlan | Label) -> Tensor:
        return self._rgb[:, where.y : where.y + where.height, where.x : where.x + where.width]
