"""The options of a stream that may change while it is live, as traits.

A trait checks a new value as the constructor does. If the value is invalid, the old one stays in
force. The traits are not synced: pages do not read or write them.

Note [layout]. ipywidgets gives each widget a trait ``layout``, the CSS of its box. In a
`GPUStream`, the word means the layout of a tensor, and this trait takes the place of that one. The
page gets no CSS object, which ipywidgets' views allow. To style a stream, put it in a box, or use
``add_class``. A template that sets the CSS of its children, such as ``AppLayout``, needs the box.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import traitlets

from gpuview.errors import FrameError, SettingsError, closest
from gpuview.frames.picture.look import Look
from gpuview.frames.picture.select import as_select

__all__ = ["LIMITS", "LOOK", "OPTIONS", "LineOptions", "LiveOptions", "unknown_attribute"]

LOOK = ("layout", "value_range", "colormap", "size", "columns")
"""The fields of `Look`."""

LIMITS = ("fps", "max_bitrate_bps")
"""What the media process must know as well."""

OPTIONS = (*LOOK, "select", *LIMITS, "caption")
"""All of them."""

_ONCE = ("source", "layer", "settings")
_MAX_FPS = 240
_CAPTION_CHARS = 300
_READ_CHARS = 1000


class _Option(traitlets.TraitType[Any, Any]):
    """A trait whose values are checked, and perhaps normalised, by a function."""

    def __init__(self, check: Callable[[object], Any], doc: str) -> None:
        super().__init__(allow_none=False)
        self._check = check
        self.__doc__ = doc

    def validate(self, _stream: object, value: object) -> object:
        return self._check(value)


def _look_option(name: str, doc: str) -> _Option:
    return _Option(lambda value: getattr(Look(**{name: value}), name), doc)  # type: ignore[arg-type]


def _checked_layout(layout: object) -> object:
    if not isinstance(layout, dict | traitlets.HasTraits):  # such as ipywidgets.Layout
        return Look(layout=layout).layout  # type: ignore[arg-type]
    raise FrameError(
        "cannot style a GPUStream with layout=: here it is the meaning of a tensor's dimensions",
        expected="'HW', 'HWC', 'CHW' or the like, or None to guess",
        fix="ipywidgets.Box([stream], layout=ipywidgets.Layout(width='50%'))",
    )


def _checked_select(select: object) -> object:
    as_select(select)
    return select


def _checked_fps(fps: Any) -> float:
    if not (isinstance(fps, Real) and 0 < float(fps) <= _MAX_FPS):
        raise SettingsError(
            f"cannot show a stream with {fps = }",
            expected=f"0 < fps <= {_MAX_FPS}",
            fix="leave fps out for 30",
        )
    return float(fps)


def _checked_bitrate(max_bitrate_bps: Any) -> int:
    if not (isinstance(max_bitrate_bps, Real) and 1e5 <= float(max_bitrate_bps) <= 1e8):
        raise SettingsError(
            f"cannot encode with {max_bitrate_bps = }",
            expected="100_000 to 100_000_000 bits per second",
            fix="leave max_bitrate_bps out for 20_000_000",
        )
    return int(float(max_bitrate_bps))


def _checked_caption(caption: object) -> str:
    if caption is not None and not isinstance(caption, str):
        raise SettingsError(
            f"cannot show a caption of type {type(caption).__name__}",
            expected="a str, or None for no caption",
            fix='stream.caption = f"step {step}, loss {loss:.3f}"',
        )
    # What cannot be encoded becomes question marks.
    line = " ".join((caption or "")[:_READ_CHARS].encode(errors="replace").decode().split())
    is_short = len(line) <= _CAPTION_CHARS and len(caption or "") <= _READ_CHARS
    return line if is_short else line[: _CAPTION_CHARS - 1] + "…"


class LineOptions(traitlets.HasTraits):
    """The traits of every stream, wherever its frames come from."""

    max_bitrate_bps = _Option(_checked_bitrate, "The maximum bitrate for each viewer.")
    caption = _Option(_checked_caption, "A line of text below the picture.")


class LiveOptions(LineOptions):
    """The traits of a stream whose frames are here; see `GPUStream` for their meaning."""

    layout = _Option(_checked_layout, "The meaning of a tensor's dimensions.")
    """See Note [layout]."""
    value_range = _look_option("value_range", "The values that are shown as black and white.")
    colormap = _look_option("colormap", "The colours of a map's values.")
    size = _look_option("size", "The longest side of the video, or its width and height.")
    columns = _look_option("columns", "How many tiles or panels stand side by side.")
    select = _Option(_checked_select, "The part of each frame that is shown.")
    fps = _Option(_checked_fps, "The maximum frame rate.")


def unknown_attribute(name: str) -> AttributeError:
    """Return the error of an assignment that would have no effect."""
    known = OPTIONS
    if name in _ONCE:
        fix = f"make a new stream: GPUStream({name}=...)"
    else:
        fix = f"stream.{closest(name.lower(), known) or known[0]} = ..."
    return AttributeError(
        f"cannot set {name} on a GPUStream\n"
        f"  expected: {', '.join(known)}, or a name of your own that begins with an underscore\n"
        f"  try:      {fix}"
    )
