"""Carries signalling between a kernel and a view that lives in another process."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, TypedDict

from gpuview.testing.stream import StreamProxy

__all__ = ["Bridge", "News"]

_TRAITS = ("offers", "answers", "status", "interaction", "epoch", "needs_peer_config")


class News(TypedDict):
    """What the kernel has said that the view does not know yet."""

    traits: dict[str, Any]
    messages: list[Any]
    buffers: list[list[str]]
    """The binary parts of each message, as base64."""


class Bridge:
    """The kernel's end of one view's comm, without Jupyter between them.

    Args:
        stream: The stream that the view shows.
        carriers: What the view may use; there is no Jupyter server for the socket.
    """

    def __init__(self, stream: StreamProxy, carriers: Sequence[str] = ("webrtc",)) -> None:
        self._stream = stream
        self._carriers = list(carriers)
        self._known = self._traits()
        self._n_messages = len(stream.messages)

    @property
    def traits(self) -> dict[str, Any]:
        """The traits as the view knows them."""
        return dict(self._known)

    def say(self, message: dict[str, Any]) -> None:
        """Pass on to the kernel what the view said."""
        if "custom" in message:
            self._stream.send(message["custom"])
        else:
            self._stream.set_trait(message["trait"], message["value"])

    def take_news(self) -> News | None:
        """Return what the view does not know yet, or None; from now on it is known."""
        traits = self._traits()
        changed = {name: value for name, value in traits.items() if value != self._known[name]}
        messages = list(self._stream.messages[self._n_messages :])
        buffers = self._stream.buffers[self._n_messages : self._n_messages + len(messages)]
        texts = [[base64.b64encode(each).decode() for each in parts] for parts in buffers]
        self._known = traits
        self._n_messages += len(messages)
        if not changed and not messages:
            return None
        return News(traits=changed, messages=messages, buffers=texts)

    def _traits(self) -> dict[str, Any]:
        traits = self._stream.traits
        return {name: traits[name] for name in _TRAITS} | {"carriers": self._carriers}
