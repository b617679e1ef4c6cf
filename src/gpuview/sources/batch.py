"""The pictures in what one source returns, such as a DataLoader's ``[images, labels]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass

from gpuview.errors import FrameError
from gpuview.frames.picture.layout import read_tiles
from gpuview.frames.picture.look import Look

__all__ = ["can_show", "items_of", "pictures_in"]


def items_of(value: object) -> Mapping[str, object] | None:
    """Return the named parts of a mapping, list, tuple or dataclass; None for anything else."""
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", None) or map(str, range(len(value)))
        return dict(zip(names, value, strict=True))
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return None


def can_show(tensor: object, look: Look) -> bool:
    """Tell whether ``tensor`` can be shown by itself."""
    try:
        look.scaling_of(read_tiles(tensor, look.layout).kind)
    except FrameError:
        return False
    return True


def pictures_in(
    batch: object, is_picture: Callable[[object], bool]
) -> tuple[dict[str, object], list[str]]:
    """Return the pictures in a collection by name, and the names of its other parts.

    Args:
        batch: A collection of tensors, other values and further collections, whose names are
            joined by dots. Anything else has no parts.
        is_picture: Tells whether a tensor can be shown.
    """
    pictures: dict[str, object] = {}
    others: list[str] = []
    for name, item in (items_of(batch) or {}).items():
        if items_of(item) is None and is_picture(item):
            pictures[name] = item
            continue
        inner, left = pictures_in(item, is_picture)
        pictures |= {f"{name}.{key}": picture for key, picture in inner.items()}
        others += [f"{name}.{key}" for key in left] if inner else [name]
    return pictures, others
