"""A view's messages to the kernel, and their order, as the page has it; no I/O and no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gpuview.protocol.messages import (
    Ack,
    Answer,
    Bye,
    Candidates,
    GetPeerConfig,
    Message,
    Offer,
    PeerConfig,
    Refusal,
)
from gpuview.protocol.wire import from_wire, to_wire

__all__ = ["REPEAT_S", "Conversation", "SendCustom", "Speech", "WriteOffer"]

REPEAT_S = 0.4
"""How long a view waits for an answer before it says the same again."""


@dataclass(frozen=True, slots=True)
class SendCustom:
    """Send this as a custom message."""

    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WriteOffer:
    """Write this into the ``offers`` trait."""

    offers: dict[str, Any]


Speech = tuple[SendCustom | WriteOffer, ...]


class Conversation:
    """One view's side of the signalling.

    Methods return the messages to send now. The caller sends them, passes on what it receives, and
    calls `repeat` whenever ``REPEAT_S`` have passed without the reply.

    Args:
        view: The view's id.
    """

    def __init__(self, view: str) -> None:
        self.view = view
        self.seq = 0
        self._unanswered: Message | None = None

    def hello(self) -> Speech:
        """Ask how to connect."""
        return self._ask(GetPeerConfig(view=self.view))

    def offer(self, sdp: str) -> Speech:
        """Offer anew: in the trait for a kernel that listens, and as a message for a busy one."""
        self.seq += 1
        offer = Offer(view=self.view, seq=self.seq, sdp=sdp)
        return (WriteOffer({self.view: to_wire(offer)}), *self._ask(offer))

    def repeat(self) -> Speech:
        """Repeat the message that has had no reply."""
        return () if self._unanswered is None else (SendCustom(to_wire(self._unanswered)),)

    def hear_peer_config(self, content: object) -> PeerConfig | Refusal | None:
        """Return the custom message ``content`` if it answers this view's hello."""
        if not isinstance(content, Mapping) or content.get("view") != self.view:
            return None
        kind = content.get("type")
        if kind != "PeerConfig" and (kind, content.get("seq")) != ("Refusal", 0):
            return None
        self._unanswered = None
        return cast(PeerConfig | Refusal, from_wire(content, Refusal, PeerConfig))

    def hear_answers(self, answers: Mapping[str, Any]) -> Answer | Refusal | None:
        """Return the reply to the last offer if the ``answers`` trait holds it."""
        if self.view not in answers:
            return None
        reply = cast(Answer | Refusal, from_wire(answers[self.view], Answer, Refusal))
        if reply.seq != self.seq:
            return None
        self._unanswered = None
        return reply

    def ack(self) -> Speech:
        """Acknowledge the reply, so that the kernel can forget it."""
        return (SendCustom(to_wire(Ack(view=self.view, seq=self.seq))),)

    def candidates(self, candidates: Sequence[str]) -> Speech:
        """Send this view's candidates, for a kernel that has to dial out."""
        message = Candidates(view=self.view, seq=self.seq, candidates=list(candidates))
        return (SendCustom(to_wire(message)),)

    def hear_candidates(self, content: object) -> list[str]:
        """Return what the custom message ``content`` adds to the answer to this view's offer."""
        if not isinstance(content, Mapping) or content.get("type") != "Candidates":
            return []
        message = cast(Candidates, from_wire(content, Candidates))
        is_ours = (message.view, message.seq) == (self.view, self.seq)
        return message.candidates if is_ours else []

    def bye(self) -> Speech:
        """Say that the view has gone."""
        return (SendCustom(to_wire(Bye(view=self.view))),)

    def _ask(self, message: Message) -> Speech:
        self._unanswered = message
        return (SendCustom(to_wire(message)),)
