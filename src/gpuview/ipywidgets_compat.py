"""The only file with ipywidgets' private names, and what happens without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakMethod, ref

from ipywidgets import Output, Widget
from ipywidgets._version import __protocol_version__
from ipywidgets.widgets import widget as _module

__all__ = ["PROTOCOL_VERSION", "is_captured", "read_messages_weakly", "unregistered"]

PROTOCOL_VERSION = __protocol_version__


def _registry() -> dict[str, Any]:
    """Return the dict that keeps every open widget alive, by its model's id.

    If ipywidgets renames it, it is empty here, and streams that nothing refers to stay.
    """
    registry: dict[str, Any] = getattr(_module, "_instances", {})
    return registry


def read_messages_weakly(widget: Any) -> None:
    """Give a widget's comm another reader of messages, which does not keep the widget alive."""
    method = WeakMethod(widget._handle_msg)

    def read(message: dict[str, Any]) -> None:
        handle = method()
        if handle is not None:
            handle(message)

    widget.comm.on_msg(read)


def is_captured(msg_id: str) -> bool:
    """Tell whether pages put what this message causes into an ``Output`` widget."""
    return any(
        isinstance(widget, Output) and widget.msg_id == msg_id
        for widget in list(_registry().values())
    )


@contextmanager
def unregistered(widgets: Mapping[str, ref[Widget]]) -> Iterator[None]:
    """Let ipywidgets keep none of these alive for a while; those that die stay unregistered."""
    registry = _registry()
    names = [name for name in widgets if registry.pop(name, None) is not None]
    try:
        yield
    finally:
        for name in names:
            widget = widgets[name]()
            if widget is not None:
                registry[name] = widget
