"""Read a whole frame: one tensor, or several that become labelled panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpuview.frames.picture.errors import explaining, naming_panel
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.panel import Panel
from gpuview.frames.picture.tensor_layout import Reading, Tiles, read_tiles

__all__ = ["read_frame", "read_part", "readings_of"]

_NOTHING: Mapping[str | None, Reading] = {}
_USUAL = Look()


def read_frame(
    frame: object, look: Look = _USUAL, before: Mapping[str | None, Reading] = _NOTHING
) -> tuple[tuple[str, ...] | None, list[Tiles]]:
    """Read a frame: a single tensor, or a mapping, list or tuple of tensors.

    Args:
        frame: As for `read_part`, or a collection of these.
        look: How the stream is shown. A layout is that of each tensor; None guesses, for each
            tensor separately.
        before: The `readings_of` the stream's last frame.

    Returns:
        The tensors' names and the tiles of each tensor. The items of a list are named by their
        index. For a single tensor, the names are None.

    Raises:
        FrameError: As for `read_part`; the error names the panel. Or the collection itself raised.
    """
    with explaining("reading its panels"):
        parts = _parts(frame)
    if parts is None:
        return None, [read_part(frame, look, before.get(None), is_alone=True)]
    names = tuple(name for name, _ in parts)  # two keys may have the same text
    tiles = []
    for name, part in parts:
        with naming_panel(name):
            tiles.append(read_part(part, look, before.get(name)))
    return names, tiles


def read_part(
    part: object, look: Look = _USUAL, before: Reading | None = None, *, is_alone: bool = False
) -> Tiles:
    """Read what becomes one panel: a tensor as for `layout.read_tiles`, or a `Panel` of one.

    Args:
        part: The tensor, or a `Panel`, whose own options come first.
        look: How the stream is shown.
        before: How the stream's last tensor was read; see Note [as before] in `layout`.
        is_alone: Whether it is the whole frame.

    Raises:
        FrameError: As for `read_tiles`; or the panel's ``select`` failed.
    """
    with explaining("reading it"):
        is_panel = isinstance(part, Panel)
    own, layout = None, look.layout
    has_range, has_colormap = look.value_range is not None, look.colormap is not None
    if is_panel:
        assert isinstance(part, Panel)
        own, layout = part.look, part.layout or layout
        has_range |= own is not None and own.value_range is not None
        has_colormap |= own is not None and own.colormap is not None
        part = part.source if part.select is None else part.select(part.source)
    tiles = read_tiles(
        part,
        layout,
        before,
        may_be_labels=not (has_range or has_colormap),
        may_be_flow=not has_colormap,
        is_alone=is_alone,
    )
    return tiles if own is None else replace(tiles, own=own)


def readings_of(names: tuple[str, ...] | None, tiles: Sequence[Tiles]) -> dict[str | None, Reading]:
    """Return how each tensor of a frame was read, for the next call of `read_frame`."""
    readings = zip(names or (None,), (each.reading for each in tiles), strict=True)
    return {name: reading for name, reading in readings if reading is not None}


def _parts(frame: object) -> list[tuple[str, object]] | None:
    """Return the named tensors of a collection; None for a single tensor."""
    if isinstance(frame, list | tuple):
        return [(str(index), part) for index, part in enumerate(frame)]
    if isinstance(frame, Mapping):
        return [(str(name), part) for name, part in frame.items()]
    return None
