"""The pictures in what one source returns, such as a DataLoader's ``[images, labels]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass

from gpuview.errors import FrameError
from gpuview.frames.picture.layout import read_tiles
from gpuview.frames.picture.look import Look

__all__ = ["items_of", "pictures_in", "why_not_shown"]


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


def why_not_shown(tensor: object, look: Look) -> str:
    """Return why ``tensor`` cannot be shown by itself; empty if it can."""
    try:
        look.scaling_of(read_tiles(tensor, look.layout).kind)
    except FrameError as exc:
        return exc.problem
    return ""


def pictures_in(
    batch: object, why_not: Callable[[object], str]
) -> tuple[dict[str, object], dict[str, str]]:
    """Return the pictures in a collection by name; and why its other parts are none, by name.

    Args:
        batch: A collection of tensors, other values and further collections, whose names are
            joined by dots. Anything else has no parts.
        why_not: Returns why a tensor cannot be shown; empty if it can.
    """
    pictures: dict[str, object] = {}
    others: dict[str, str] = {}
    for name, item in (items_of(batch) or {}).items():
        if items_of(item) is None:
            reason = why_not(item)
            if reason:
                others[name] = reason
            else:
                pictures[name] = item
            continue
        inner, rest = pictures_in(item, why_not)
        pictures |= {f"{name}.{key}": picture for key, picture in inner.items()}
        prefixed = {f"{name}.{key}": reason for key, reason in rest.items()}
        others |= prefixed if inner else {name: "no picture in it"}
    return pictures, others
