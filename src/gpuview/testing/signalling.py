"""A view's signalling with a live stream: what a page says to the kernel, and waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from gpuview.protocol.page_messages import (
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
from gpuview.testing.stream import StreamProxy

__all__ = ["REPEAT_S", "Signalling"]

T = TypeVar("T")

REPEAT_S = 0.4
"""How long a view waits for an answer before it says the same again."""


class Signalling:
    """One view's exchange with the kernel; all its coroutines run on one event loop.

    Args:
        stream: The stream to watch.
        view: The view's id.
        loop: The event loop.
    """

    def __init__(self, stream: StreamProxy, view: str, loop: asyncio.AbstractEventLoop) -> None:
        self.view = view
        self.seq = 0
        """The number of the last offer."""
        self._stream = stream
        self._loop = loop
        self._epoch = 0
        self._news = asyncio.Event()
        self.close = stream.listen(self.wake)

    @property
    def is_over(self) -> bool:
        """Whether the stream is closed, or its kernel gone."""
        return not self._stream.is_open or self._stream.traits["status"]["state"] == "closed"

    @property
    def is_current(self) -> bool:
        """Whether the media process that the last offer was made to still runs."""
        return not self.is_over and self._stream.traits["epoch"] == self._epoch

    def wake(self) -> None:
        """End `wait_for_news`; from any thread."""
        with suppress(RuntimeError):  # the loop was closed at this very moment
            self._loop.call_soon_threadsafe(self._news.set)

    async def wait_for_news(self) -> None:
        """Wait until the stream has changed, or `wake` was called, since the last wait."""
        await self._news.wait()
        self._news.clear()

    async def ask_for_peer_config(self) -> PeerConfig | Refusal:
        """Ask how to connect, if the stream has anything to say about it."""
        default = PeerConfig(view=self.view)
        if not self._stream.traits["needs_peer_config"]:
            return default
        question = GetPeerConfig(view=self.view)
        reply: PeerConfig | Refusal | None = await self._ask(
            question, self._find_peer_config, lambda: not self.is_over
        )
        return reply or default

    async def offer(self, sdp: str) -> Answer | Refusal | None:
        """Make an offer; return None if the media process ends before it replies."""
        self._epoch = self._stream.traits["epoch"]
        self.seq += 1
        offer = Offer(view=self.view, seq=self.seq, sdp=sdp)
        # In the trait for a kernel that listens, and as a message for a busy one.
        self._stream.set_trait("offers", {self.view: to_wire(offer)})
        reply: Answer | Refusal | None = await self._ask(
            offer, self._find_answer, lambda: self.is_current
        )
        if reply is not None:
            self._send(Ack(view=self.view, seq=self.seq))
        return reply

    def send_candidates(self, candidates: Sequence[str]) -> None:
        """Send this view's candidates, for a kernel that has to dial out."""
        self._send(Candidates(view=self.view, seq=self.seq, candidates=list(candidates)))

    def received_candidates(self) -> list[str]:
        """Return every candidate that the kernel has sent after the answer to the last offer."""
        ours = [each for each in self._messages(Candidates) if each.seq == self.seq]
        return [candidate for each in ours for candidate in each.candidates]

    def bye(self) -> None:
        """Tell the kernel that the view has gone."""
        self._send(Bye(view=self.view))

    async def _ask(
        self,
        question: Message,
        find_reply: Callable[[], T | None],
        is_worthwhile: Callable[[], bool],
    ) -> T | None:
        """Send a message, and repeat it until the reply is there or no longer worthwhile."""
        self._send(question)
        while (reply := find_reply()) is None and is_worthwhile():
            try:
                async with asyncio.timeout(REPEAT_S):
                    await self.wait_for_news()
            except TimeoutError:
                self._send(question)
        return reply

    def _send(self, message: Message) -> None:
        self._stream.send(to_wire(message))

    def _find_answer(self) -> Answer | Refusal | None:
        """Return the reply to the last offer if the ``answers`` trait holds it."""
        answers = self._stream.traits["answers"]
        if self.view not in answers:
            return None
        reply = cast(Answer | Refusal, from_wire(answers[self.view], Answer, Refusal))
        return reply if reply.seq == self.seq else None

    def _find_peer_config(self) -> PeerConfig | Refusal | None:
        replies = self._messages(PeerConfig, Refusal)
        return next(
            (each for each in replies if not isinstance(each, Refusal) or each.seq == 0), None
        )

    def _messages(self, *kinds: type[Message]) -> Iterator[Any]:
        """Return the kernel's custom messages of these kinds to this view."""
        names = [kind.__name__ for kind in kinds]
        for content in self._stream.messages:
            is_ours = isinstance(content, Mapping) and content.get("view") == self.view
            if is_ours and content.get("type") in names:
                yield from_wire(content, *kinds)
