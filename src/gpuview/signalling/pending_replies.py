"""The replies that the pages of one stream have not acknowledged yet.

Values only: no traits, no comm, no lock. A message may come late, twice, or again after its answer,
so every method is idempotent. The media process decides whether an offer is new; it answers a
repeated offer again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from gpuview.errors import SignalError
from gpuview.protocol.page_messages import (
    MAX_CANDIDATES,
    Ack,
    Answer,
    Bye,
    Candidates,
    Offer,
    Problem,
    Refusal,
)
from gpuview.protocol.wire import to_wire

__all__ = ["PendingReplies"]

_REMEMBERED_VIEWS = 256


@dataclass(slots=True)
class _View:
    """The newest offer of one view, and its reply."""

    seq: int
    reply: Answer | Refusal | None = None
    is_acknowledged: bool = False
    problems: list[Problem] = field(default_factory=list)  # of all its offers, each once


class PendingReplies:
    """One stream's views, by id; the oldest are forgotten beyond 256."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, _View] = OrderedDict()

    @property
    def answers(self) -> dict[str, Any]:
        """The answers and refusals without an acknowledgement, by view, as JSON objects."""
        return {
            name: to_wire(view.reply)
            for name, view in self._views.items()
            if view.reply is not None and not view.is_acknowledged
        }

    def take(self, message: Offer | Ack | Bye) -> None:
        """Expect the reply to a view's newest offer, until an acknowledgement or a bye.

        Raises:
            SignalError: It is no offer, and the view is unknown.
        """
        if isinstance(message, Offer):
            self._expect_reply(message)
            return
        view = self._views.get(message.view)
        if view is None:
            raise SignalError(
                f"no offer of view {message.view} has been seen",
                expected="a view that has made an offer to this stream",
                fix="reload the page",
            )
        if isinstance(message, Bye) or view.seq == message.seq:
            view.is_acknowledged = True  # a closed view needs no reply

    def _expect_reply(self, offer: Offer) -> None:
        known = self._views.get(offer.view)
        if known is not None and known.seq >= offer.seq:
            return
        self._views[offer.view] = _View(offer.seq, problems=known.problems if known else [])
        self._views.move_to_end(offer.view)
        while len(self._views) > _REMEMBERED_VIEWS:
            self._views.popitem(last=False)

    def take_problems(self, message: Candidates) -> list[Problem]:
        """Return the problems that are new for this view, until it has some 64."""
        view = self._views.get(message.view)
        if view is None or len(view.problems) >= MAX_CANDIDATES:
            return []
        new = [each for each in dict.fromkeys(message.problems) if each not in view.problems]
        view.problems += new
        return new

    def take_reply(self, message: Answer | Refusal) -> bool:
        """Keep the first reply to an offer; return whether its view waits for this reply."""
        view = self._views.get(message.view)
        if view is None or view.seq != message.seq or view.is_acknowledged:
            return False
        if view.reply is None:
            view.reply = message
        return view.reply == message

    def forget_answers_but(self, views: Collection[str]) -> None:
        """Drop the answers to all other views: their connections are closed."""
        for name, view in self._views.items():
            if name not in views and isinstance(view.reply, Answer):
                view.reply = None

    def __repr__(self) -> str:
        return f"<PendingReplies views={len(self._views)} answers={len(self.answers)}>"
