"""From any frame to a slot of the ring, in the caller's thread.

First each tensor is read as tiles and placed in the picture. If a tensor is on a CUDA device, that
device draws and copies the picture asynchronously (`gpuview.frames.cuda.writer`). If not, the CPU
writes it at once (`gpuview.frames.cpu.writer`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from gpuview.errors import FrameError, MediaError, shorten
from gpuview.frames.cpu.measure import extremes_of_no_classes, measured
from gpuview.frames.cpu.unscaled import NonFinite
from gpuview.frames.cpu.writer import Written, write_picture
from gpuview.frames.hint_reporter import Found, HintReporter
from gpuview.frames.picture.frame import read_frame, readings_of
from gpuview.frames.picture.geometry import Plan, TileKind
from gpuview.frames.picture.hints import is_measured, no_classes, range_hint, reading_hint
from gpuview.frames.picture.legend import Meaning, has_legend, legend_of
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.measured import Measured
from gpuview.frames.picture.picture_map import PictureMap
from gpuview.frames.picture.plan import plan
from gpuview.frames.picture.tensor_layout import Reading, Tiles
from gpuview.frames.plan_cache import Alike, alike_of
from gpuview.frames.sink import FrameSink, WriteStats
from gpuview.frames.torch_compat import outside_transforms

if TYPE_CHECKING:
    from gpuview.frames.cuda.writer import CudaWriter

__all__ = ["FrameWriter"]

_MAX_NAMES = 64

_planned = lru_cache(maxsize=64)(plan)


class _Hints(NamedTuple):
    """What there is to say about a frame; see `gpuview.frames.picture.hints` and `legend`."""

    reading: str
    found: Found | Callable[[], Found] | None
    """A function waits for a device; None if the frame was not measured."""
    legend: tuple[Meaning, ...] | None
    """Of a frame whose values do not matter for it; None if it is as for the frame before."""


class FrameWriter:
    """Writes frames into a sink.

    Args:
        sink: Where frames go; used by one thread at a time, not owned. CUDA frames go faster into
            a `gpuview.frames.sink.DeviceSink`.
        on_hint: Called when the hint for the cell changes, also from a thread of ours; see
            `gpuview.frames.picture.hints`. An empty string ends it.
        on_legend: Called when the legend for the cell changes, as ``on_hint`` is.
    """

    def __init__(
        self,
        sink: FrameSink,
        on_hint: Callable[[str], None] = lambda _: None,
        on_legend: Callable[[tuple[Meaning, ...]], None] = lambda _: None,
    ) -> None:
        self._sink = sink
        self._hints = HintReporter(on_hint, on_legend)
        self._lock = threading.Lock()
        self._cuda: CudaWriter | None = None
        self._is_newest_on_cuda = False
        self._stats = WriteStats()
        self._alike: Alike | None = None  # what the last frame has shown, like `map` and `readings`
        self._legend_plan: Plan | None = None  # of the frame before
        self._with_labels: set[str | None] = set()  # the panels that have shown some
        self.readings: dict[str | None, Reading] = {}
        """How the tensors of the newest frame were read or checked; see `layout.readings_of`."""
        self.map: PictureMap | None = None
        """What its picture shows where; None before the first frame."""

    def write(self, frame: object, look: Look) -> None:
        """Make ``frame`` the stream's newest picture.

        From any thread. A CPU frame has been read when this returns. A CUDA frame is read in the
        order of the caller's current stream, so later work on that stream may overwrite it. Never
        synchronises with a CUDA device.

        Args:
            frame: A tensor, as for `layout.read_tiles`; or a mapping or list of tensors, each of
                which becomes a labelled panel. With several CUDA devices, the first one draws.
            look: How it is shown.

        Raises:
            FrameError: The frame cannot be shown.
            MediaError: There is no memory for it.
        """
        capture_ns = time.monotonic_ns()
        with _explained():
            hints = outside_transforms(lambda: self._write(frame, look, capture_ns))
        if hints is None:
            return
        self._hints.report_reading(hints.reading, capture_ns)
        if hints.legend is not None:
            self._hints.report_legend(hints.legend, capture_ns)
        if isinstance(hints.found, Found):
            self._hints.report_found(hints.found, look, capture_ns)
        elif hints.found is not None:
            self._hints.report_later(hints.found, look, capture_ns)

    def _write(self, frame: object, look: Look, capture_ns: int) -> _Hints | None:
        """Return what there is to say; None if that is nothing new."""
        if self._write_alike(frame, look, capture_ns):
            return None
        names, tiles = read_frame(frame, look, self.readings)  # may call its library
        self._check_first_labels(names, tiles)
        # Always in inference mode: buffers created in it cannot be written outside of it.
        with torch.inference_mode():
            kinds = tuple(each.kind for each in tiles)
            picture = _planned(kinds, names, look)
            device = _drawing_device(tiles)
            for_legend = [has_legend(kind, look) for kind in kinds]
            to_measure = self._to_measure(kinds, look, for_legend, capture_ns)
            with self._lock:
                written: Written | None = None
                if device is None:
                    written = self._write_from_cpu(picture, tiles, capture_ns)
                else:
                    tiles = _moved(tiles, device)
                    self._cuda_writer().write(picture, tiles, capture_ns)
                self._is_newest_on_cuda = device is not None
                self.readings = readings_of(names, tiles)
                self.map = _map_of(picture, names, tiles)
                is_said = any(for_legend) or reading_hint(names, tiles)
                self._alike = None
                plain = None if written is None else written.plain
                is_range_known = picture.panels[0].scaling.auto is None
                if plain is not None and is_range_known and not is_said:
                    self._alike = alike_of(frame, look, tiles, plain)
                found = None
                if to_measure is not None:
                    ranges = () if written is None else written.ranges
                    found = self._find(names, tiles, picture, look, to_measure, ranges)
            legend = None
            if picture is not self._legend_plan and not any(for_legend):
                legend = legend_of(names, kinds, look, [Measured()] * len(kinds))
            self._legend_plan = picture
            return _Hints(reading_hint(names, tiles), found, legend)

    def _write_alike(self, frame: object, look: Look, capture_ns: int) -> bool:
        """Write a frame that is like the one before and not to be measured; return whether it is.

        Such frames have neither a legend nor a hint about how they are read.
        """
        with self._lock:
            alike = self._alike
            planes = None if alike is None else alike.planes(frame, look)
            if alike is None or planes is None or self._hints.admit(look, capture_ns):
                return False
            begin = time.perf_counter()
            nonfinite = alike.picture.write(self._sink, planes, capture_ns)
            if nonfinite is None:
                return False
            self._count(nonfinite, begin)
            return True

    def check(self, frame: object, look: Look) -> None:
        """Find out whether `write` would refuse this frame, without drawing it.

        Raises:
            FrameError: The frame cannot be shown.
        """
        with _explained():
            outside_transforms(lambda: self._check(frame, look))

    def _check(self, frame: object, look: Look) -> None:
        names, tiles = read_frame(frame, look, self.readings)
        self._check_first_labels(names, tiles)
        picture = _planned(tuple(each.kind for each in tiles), names, look)
        _drawing_device(tiles)
        self._alike = None
        self.readings = readings_of(names, tiles)
        self.map = _map_of(picture, names, tiles)

    def stats(self) -> WriteStats:
        """Return the current counters. From any thread.

        Waits for a copy of 16 bytes from each CUDA device that has drawn a frame.

        Raises:
            FrameError: A device has failed.
        """
        with self._lock:
            ours, is_on_cuda, cuda = self._stats, self._is_newest_on_cuda, self._cuda
        if cuda is None:
            return ours
        with _explained():
            theirs = cuda.stats()
        newest = theirs if is_on_cuda else ours
        return replace(newest, n_nan=ours.n_nan + theirs.n_nan, n_inf=ours.n_inf + theirs.n_inf)

    def close(self) -> None:
        """Drop the frames in flight on devices and free their memory. The sink stays open."""
        with self._lock:
            cuda, self._cuda = self._cuda, None
        if cuda is not None:
            cuda.close()

    def release(self) -> None:
        """Free the memory on devices until the next frame. The counters stay."""
        with suppress(FrameError):  # of a device that has failed: its counters are lost
            self._stats = self.stats()
        self.close()

    def renew_lock(self) -> None:
        """Make a new lock in a forked child, where CUDA does not work anyway."""
        self._lock = threading.Lock()
        self._hints.renew_lock()
        self._parents_cuda, self._cuda = self._cuda, None  # kept, as freeing its memory calls CUDA

    def _cuda_writer(self) -> CudaWriter:
        if self._cuda is None:
            from gpuview.frames.cuda.writer import CudaWriter

            self._cuda = CudaWriter(self._sink, self._lock)
        return self._cuda

    def _check_first_labels(self, names: tuple[str, ...] | None, tiles: Sequence[Tiles]) -> None:
        """Refuse the first integers of a panel that nobody has explained, if they are no labels.

        Later ones are shown, and a hint says so: values must not end a loop that has run for hours.
        So are those of a device, because to read them would be to wait for it.
        """
        for name, each in zip(names or [None] * len(tiles), tiles, strict=True):
            if each.content != "labels" or each.pixels.device.type != "cpu":
                continue
            if name in self._with_labels or len(self._with_labels) >= _MAX_NAMES:
                continue
            extremes = extremes_of_no_classes(each.pixels)
            if extremes is not None:
                raise _too_many(name, *extremes)
            self._with_labels.add(name)

    def _to_measure(
        self, kinds: Sequence[TileKind], look: Look, for_legend: Sequence[bool], capture_ns: int
    ) -> list[bool] | None:
        """Return which tensors to measure; None if the frame is not due."""
        if not self._hints.admit(look, capture_ns, has_legend=any(for_legend)):
            return None
        pairs = zip(kinds, for_legend, strict=True)
        return [is_wanted or is_measured(kind, look) for kind, is_wanted in pairs]

    def _find(
        self,
        names: tuple[str, ...] | None,
        tiles: Sequence[Tiles],
        picture: Plan,
        look: Look,
        to_measure: Sequence[bool],
        ranges: Sequence[Tensor | None],
    ) -> Found | Callable[[], Found]:
        """Measure the frame just written; for CUDA, return a function that waits for the result."""
        kinds = [each.kind for each in tiles]

        def found(each: Sequence[Measured]) -> Found:
            hint = range_hint(names, kinds, look, each)
            return Found(hint, legend_of(names, kinds, look, each))

        if not any(to_measure):
            return found([Measured()] * len(kinds))
        if self._cuda is not None and self._is_newest_on_cuda:
            read = self._cuda.measure(tiles, to_measure)
            return lambda: found(read())
        parts = zip(tiles, picture.panels, ranges, to_measure, strict=True)
        return found(
            [
                measured(each.pixels, panel, raw) if is_wanted else Measured()
                for each, panel, raw, is_wanted in parts
            ]
        )

    def _write_from_cpu(self, picture: Plan, tiles: Sequence[Tiles], capture_ns: int) -> Written:
        begin = time.perf_counter()
        written = write_picture(self._sink, picture, tiles, capture_ns)
        self._count(written.nonfinite, begin)
        return written

    def _count(self, nonfinite: NonFinite, begin_s: float) -> None:
        self._stats = WriteStats(
            self._stats.n_nan + nonfinite.n_nan,
            self._stats.n_inf + nonfinite.n_inf,
            conversion_ms=(time.perf_counter() - begin_s) * 1e3,
        )


def _too_many(name: str | None, least: float, greatest: float) -> FrameError:
    problem, fix = no_classes(least, greatest)
    return FrameError(
        problem if name is None else f"{problem}, in panel {name!r}",
        expected="0 to 255, where 255 and -100 are ignored; or what other integers are",
        fix=f'{fix}; or colormap="labels" if they are classes',
    )


def _map_of(picture: Plan, names: tuple[str, ...] | None, tiles: Sequence[Tiles]) -> PictureMap:
    return PictureMap(picture, names, tuple(each.axes for each in tiles))


def _drawing_device(tiles: Sequence[Tiles]) -> torch.device | None:
    """Return the device of the first CUDA tensor; None if all tensors are elsewhere."""
    for each in tiles:
        if each.pixels.is_cuda:
            _check_not_capturing(each.pixels.device)
            return each.pixels.device
    return None


def _moved(tiles: Sequence[Tiles], device: torch.device) -> list[Tiles]:
    """Return all tiles on ``device``. Most are there already."""
    return [replace(each, pixels=_on_device(each.pixels, device)) for each in tiles]


def _on_device(pixels: Tensor, device: torch.device) -> Tensor:
    if pixels.device.type == "cpu":
        # The caller may overwrite this memory right away, so the device reads a pinned copy.
        pixels = torch.empty_like(pixels, pin_memory=True).copy_(pixels)
    return pixels.to(device, non_blocking=True)


def _check_not_capturing(device: torch.device) -> None:
    with torch.cuda.device(device):
        is_capturing = torch.cuda.is_current_stream_capturing()
    if is_capturing:
        raise FrameError(
            "cannot show a tensor while a CUDA graph is captured",
            expected="a push outside of torch.cuda.graph(...)",
            fix="push the graph's output after graph.replay()",
        )


class _explained:  # noqa: N801 - as `explaining` in `picture.errors`
    """Turn torch's errors into ours: want of memory, or a failed device."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, exc: BaseException | None, _traceback: object) -> None:
        if isinstance(exc, torch.cuda.OutOfMemoryError | MemoryError):
            raise MediaError(
                "there is no memory left to draw the frame",
                expected="memory for a few pictures of the encoded size",
                fix="show a smaller picture: size=1280",
            ) from exc
        if isinstance(exc, RuntimeError):
            reason = shorten(str(exc).partition("\n")[0], 200)
            raise FrameError(
                f"cannot read the tensor: {reason}",
                expected="a tensor on a working device",
                fix="restart the kernel: after most CUDA errors a device stays unusable"
                if "CUDA" in reason
                else "read it in a cell of its own: tensor.cpu()",
            ) from exc
