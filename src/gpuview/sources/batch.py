"""The pictures in what one source returns, such as a DataLoader's ``[images, labels]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass

from gpuview.errors import FrameError
from gpuview.frames.picture.frame import read_part
from gpuview.frames.picture.geometry import Sides
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


def why_not_shown(part: object, batch: object, look: Look) -> str:
    """Return why a part of a collection is no picture; empty if it is one.

    Integers without a range are the labels of a picture of the same size, or else something that
    is not to be seen, such as tokens.
    """
    try:
        kind = read_part(part, look).kind
        look.scaling_of(kind)
    except FrameError as exc:
        return exc.problem
    if kind.content == "labels" and kind.tile not in _picture_sides(batch, look):
        return "integers, and no picture of their size beside them"
    return ""


def _picture_sides(batch: object, look: Look) -> set[Sides]:
    """Return the sides of all pictures and maps that are direct items of a collection."""
    sides = set()
    for item in (items_of(batch) or {}).values():
        with suppress(FrameError):
            kind = read_part(item, look).kind
            if kind.content != "labels":
                sides.add(kind.tile)
    return sides


def pictures_in(
    batch: object, why_not: Callable[[object, object], str]
) -> tuple[dict[str, object], dict[str, str]]:
    """Return the pictures in a collection by name; and why its other parts are none, by name.

    Args:
        batch: A collection of tensors, other values and further collections, whose names are
            joined by dots. Anything else has no parts.
        why_not: Returns why a part of a collection, its second argument, is no picture; empty if
            it is one.
    """
    pictures: dict[str, object] = {}
    others: dict[str, str] = {}
    for name, item in (items_of(batch) or {}).items():
        if items_of(item) is None:
            reason = why_not(item, batch)
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
