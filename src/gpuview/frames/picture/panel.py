"""`gpuview.Panel`: a tensor or a source, and how it is shown where that differs from its stream."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Never

from gpuview.errors import FrameError, closest
from gpuview.frames.picture.geometry import PanelLook, ValueRange
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.select import Index, Select, as_select
from gpuview.frames.picture.tensor_layout import Layout

__all__ = ["Panel"]

_OPTIONS = ("value_range", "colormap", "layout", "select")
_OF_THE_STREAM = ("size", "columns", "fps", "max_bitrate_bps", "layer", "settings")


class Panel:
    """One panel of a picture, with options of its own.

        stream.push({"image": image, "depth": Panel(depth, value_range=(0, 80), colormap="turbo")})
        GPUStream({"in": Panel(camera, select=0), "out": Panel(model, colormap="gray")})

    It stands for its tensor or source: as a value of a dict or list, or alone. What it sets holds
    for this panel, and the stream's options hold for the rest; those may still change. Immutable.

    Args:
        source: A tensor or array for `GPUStream.push`; a source for `GPUStream`, but no collection.
        value_range, colormap, layout, select: As for `GPUStream`. None takes the stream's.

    Raises:
        FrameError: An option is invalid or unknown, or ``source`` is a panel or a collection.
    """

    __slots__ = ("layout", "look", "options", "select", "source")

    source: object
    look: PanelLook | None
    """None if it sets neither a value range nor a colour map."""
    layout: Layout | None
    select: Select | None
    options: object
    """All of them, as one value that can be hashed and compared."""

    def __init__(
        self,
        source: object,
        *,
        value_range: ValueRange = None,
        colormap: str | None = None,
        layout: Layout | None = None,
        select: Index | Select | None = None,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise _unknown_option(*next(iter(unknown.items())))
        _check_source(source)
        checked = Look(layout=layout, value_range=value_range, colormap=colormap)
        look = PanelLook(checked.value_range, checked.colormap)
        self._set(
            source=source,
            look=None if look == PanelLook() else look,
            layout=layout,
            select=as_select(select),
        )
        self._set(options=(self.look, self.layout, _hashable(select, self.select)))

    def replaced(self, **fields: object) -> Panel:
        """Return a panel with other ``fields``, such as another source. Checks nothing."""
        panel = copy(self)
        panel._set(**fields)
        return panel

    def __copy__(self) -> Panel:
        panel = Panel.__new__(Panel)
        panel._set(**{name: getattr(self, name) for name in self.__slots__})
        return panel

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(
            f"cannot set {name} of a Panel, which does not change\n"
            "  expected: a new one for each change\n"
            f"  try:      Panel(tensor, {name}=...)"
        )

    def __repr__(self) -> str:
        return f"<Panel {type(self.source).__name__}>"

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _hashable(select: object, otherwise: object) -> object:
    """Return ``select``, which another panel may equal; ``otherwise`` if it has no hash."""
    try:
        hash(select)
    except TypeError:  # a slice, before Python 3.12
        return otherwise
    return select


def _check_source(source: object) -> None:
    if isinstance(source, Panel):
        raise FrameError(
            "cannot put a panel into a panel",
            expected="a tensor or a source",
            fix="give all options to one of them: Panel(tensor, value_range=..., colormap=...)",
        )
    if isinstance(source, Mapping | list):
        raise FrameError(
            f"cannot show a {type(source).__name__} as one panel",
            expected="a tensor or a source, for one picture",
            fix='make a panel of each item: {"a": Panel(a), "b": Panel(b)}',
        )


def _unknown_option(name: str, value: object) -> FrameError:
    if name in _OF_THE_STREAM:
        fix = f"give it to the stream, for all panels: GPUStream(..., {name}=...)"
    else:
        fix = f"Panel(tensor, {closest(name.lower(), _OPTIONS) or 'value_range'}=...)"
    return FrameError(
        f"a Panel has no option {name}={value!r}", expected=", ".join(_OPTIONS), fix=fix
    )
