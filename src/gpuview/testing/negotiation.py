"""A view's signalling with a live stream: sends its conversation, and waits for the replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from typing import TypeVar

from gpuview.protocol.messages import Answer, PeerConfig, Refusal
from gpuview.testing.signalling import REPEAT_S, Conversation, SendCustom, Speech
from gpuview.testing.stream import StreamProxy

__all__ = ["Negotiation"]

T = TypeVar("T")


class Negotiation:
    """One view's exchange with the kernel; all its coroutines run on one event loop.

    Args:
        stream: The stream to watch.
        view: The view's id.
        loop: The event loop.
    """

    def __init__(self, stream: StreamProxy, view: str, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._conversation = Conversation(view)
        self._loop = loop
        self._epoch = 0
        self._news = asyncio.Event()
        self.close = stream.listen(self.wake)

    @property
    def seq(self) -> int:
        """The number of the last offer."""
        return self._conversation.seq

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
        default = PeerConfig(view=self._conversation.view)
        if not self._stream.traits["needs_peer_config"]:
            return default
        reply: PeerConfig | Refusal | None = await self._ask(
            self._conversation.hello(), self._find_peer_config, lambda: not self.is_over
        )
        return reply or default

    async def offer(self, sdp: str) -> Answer | Refusal | None:
        """Make an offer; return None if the media process ends before it replies."""
        self._epoch = self._stream.traits["epoch"]
        reply: Answer | Refusal | None = await self._ask(
            self._conversation.offer(sdp), self._find_answer, lambda: self.is_current
        )
        if reply is not None:
            self._say(self._conversation.ack())
        return reply

    def send_candidates(self, candidates: Sequence[str]) -> None:
        """Send this view's candidates, for a kernel that has to dial out."""
        self._say(self._conversation.candidates(candidates))

    def received_candidates(self) -> list[str]:
        """Return every candidate that the kernel has sent after the answer to the last offer."""
        heard = map(self._conversation.hear_candidates, self._stream.messages)
        return list(chain.from_iterable(heard))

    def bye(self) -> None:
        """Tell the kernel that the view has gone."""
        self._say(self._conversation.bye())

    async def _ask(
        self, speech: Speech, find_reply: Callable[[], T | None], is_worthwhile: Callable[[], bool]
    ) -> T | None:
        """Say something, and repeat it until the reply is there or no longer worthwhile."""
        self._say(speech)
        while (reply := find_reply()) is None and is_worthwhile():
            try:
                async with asyncio.timeout(REPEAT_S):
                    await self.wait_for_news()
            except TimeoutError:
                self._say(self._conversation.repeat())
        return reply

    def _say(self, speech: Speech) -> None:
        for each in speech:
            if isinstance(each, SendCustom):
                self._stream.send(each.content)
            else:
                self._stream.set_trait("offers", each.offers)

    def _find_answer(self) -> Answer | Refusal | None:
        return self._conversation.hear_answers(self._stream.traits["answers"])

    def _find_peer_config(self) -> PeerConfig | Refusal | None:
        heard = map(self._conversation.hear_peer_config, self._stream.messages)
        return next((reply for reply in heard if reply is not None), None)
