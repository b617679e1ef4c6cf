"""Carries what page and kernel say to one another past the network under test."""

from __future__ import annotations

from typing import Any, TypedDict

from gpuview.testing.stream import StreamProxy

__all__ = ["Bridge", "News"]

_TRAITS = ("offers", "answers", "status", "epoch", "needs_peer_config")


class News(TypedDict):
    """What the kernel has said that the page does not know yet."""

    traits: dict[str, Any]
    messages: list[Any]


class Bridge:
    """One page's comm. Jupyter would carry it; here it must not share the way of the media.

    Args:
        stream: What the page shows.
    """

    def __init__(self, stream: StreamProxy) -> None:
        self._stream = stream
        self._told = self._traits()
        self._heard = len(stream.messages)

    @property
    def traits(self) -> dict[str, Any]:
        """The traits, as the page knows them."""
        return dict(self._told)

    def say(self, message: dict[str, Any]) -> None:
        """Tell the kernel what the page said."""
        if "custom" in message:
            self._stream.send(message["custom"])
        else:
            self._stream.set_trait(message["trait"], message["value"])

    def take_news(self) -> News | None:
        """Return what the page does not know yet, or None; from now on it counts as known."""
        traits = self._traits()
        changed = {name: value for name, value in traits.items() if value != self._told[name]}
        messages = list(self._stream.messages[self._heard :])
        self._told = traits
        self._heard += len(messages)
        return News(traits=changed, messages=messages) if changed or messages else None

    def _traits(self) -> dict[str, Any]:
        traits = self._stream.traits
        return {name: traits[name] for name in _TRAITS}
