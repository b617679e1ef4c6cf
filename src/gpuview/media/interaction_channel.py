"""What one view says about the picture over WebRTC, and what it is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import cast

from aiortc import RTCDataChannel

from gpuview.errors import SignalError
from gpuview.media.link.message_budget import Budget
from gpuview.protocol.interaction_messages import (
    FROM_VIEW,
    MAX_FROM_VIEW_CHARS,
    FromView,
    ToView,
)
from gpuview.protocol.wire import decode_text, encode_text

__all__ = ["MAX_MESSAGES_PER_S", "InteractionChannel"]

logger = logging.getLogger("gpuview.media")

MAX_MESSAGES_PER_S = 300.0
_MAX_FAULTS = 20
_MAX_UNSENT_NBYTES = 4 * 1024 * 1024


class InteractionChannel:
    """A data channel of one view. Lives on the event loop.

    Args:
        view: The only view that may speak here.
        pass_on: Gets what it says.
    """

    def __init__(self, view: str, pass_on: Callable[[FromView], None]) -> None:
        self.n_refused = 0
        """How many messages were malformed, or too many."""
        self._view = view
        self._pass_on = pass_on
        self._channel: RTCDataChannel | None = None
        self._budget = Budget(time.monotonic(), MAX_MESSAGES_PER_S)
        self._n_faults = 0

    def listen(self, channel: RTCDataChannel) -> None:
        """Hear the view on ``channel`` from now on."""
        self._channel = channel
        channel.on("message", self._hear)

    def send(self, message: ToView) -> bool:
        """Tell the view something; return whether it can be told here."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return False
        if channel.bufferedAmount < _MAX_UNSENT_NBYTES:  # else it is as good as lost
            channel.send(encode_text(message))
        return True

    def _hear(self, text: object) -> None:
        if self._n_faults > _MAX_FAULTS or not self._budget.spend(time.monotonic(), 1):
            self.n_refused += 1
            return
        try:
            self._pass_on(self._read(text))
        except SignalError as exc:
            self.n_refused += 1
            self._n_faults += 1
            if self._n_faults == 1:
                logger.warning("a message of view %s was refused: %s", self._view, exc)

    def _read(self, text: object) -> FromView:
        if not isinstance(text, str) or len(text) > MAX_FROM_VIEW_CHARS:
            raise SignalError(
                f"cannot read a message of {len(str(text))} characters",
                expected=f"text, at most {MAX_FROM_VIEW_CHARS} characters",
                fix="reload the page",
            )
        message = cast(FromView, decode_text(text, *FROM_VIEW))
        if message.view != self._view:
            raise SignalError(
                "a view spoke for another one",
                expected="its own id in each message",
                fix="reload the page",
            )
        return message

    def __repr__(self) -> str:
        return f"<InteractionChannel {self._view} n_refused={self.n_refused}>"
