"""What a headless view says, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gpuview.protocol.page_messages import Answer, PeerConfig, Refusal
from gpuview.testing.signalling import Signalling
from gpuview.testing.stream import StreamProxy
from gpuview.testing.waiting import Changing

TRAITS = {
    "answers": {},
    "epoch": 1,
    "needs_peer_config": True,
    "status": {"type": "Status", "state": "live"},
}
OFFER = {"type": "Offer", "view": "a", "seq": 1, "sdp": "v=0"}
HELLO = {"type": "GetPeerConfig", "view": "a"}


class Kernel:
    """A kernel that hears what a view says, and says what the test tells it to."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._stream = StreamProxy("model", TRAITS, send=self.heard.put_nowait, changing=Changing())
        self.view = Signalling(self._stream, "a", asyncio.get_running_loop())

    def answer(self, **answers: dict[str, Any]) -> None:
        self._stream.receive({"method": "update", "state": {"answers": answers}})

    def say(self, content: dict[str, Any]) -> None:
        self._stream.receive({"method": "custom", "content": content})

    async def hear(self) -> object:
        """Return the next custom message, or what is written to the trait ``offers``."""
        data = await self.heard.get()
        return data["content"] if data["method"] == "custom" else data["state"]


def with_kernel(test: Callable[[Kernel], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await test(Kernel())

    asyncio.run(run())


def answer(seq: int) -> dict[str, Any]:
    return {"type": "Answer", "view": "a", "seq": seq, "sdp": "v=0"}


def test_an_offer_goes_out_as_a_trait_and_as_a_message_which_is_repeated_until_the_answer() -> None:
    async def test(kernel: Kernel) -> None:
        offered = asyncio.create_task(kernel.view.offer("v=0"))

        assert await kernel.hear() == {"offers": {"a": OFFER}}
        assert [await kernel.hear() for _ in range(3)] == [OFFER] * 3
        kernel.answer(a=answer(1))
        assert await offered == Answer(view="a", seq=1, sdp="v=0")
        assert await kernel.hear() == {"type": "Ack", "view": "a", "seq": 1}
        assert kernel.heard.empty()

    with_kernel(test)


def test_the_answer_to_another_view_or_to_an_earlier_offer_is_not_taken() -> None:
    async def test(kernel: Kernel) -> None:
        kernel.answer(a=answer(1))
        await kernel.view.offer("v=0")
        offered = asyncio.create_task(kernel.view.offer("v=0"))
        kernel.answer(a=answer(1), b=answer(2))
        while await kernel.hear() != {**OFFER, "seq": 2}:
            pass

        assert await kernel.hear() == {**OFFER, "seq": 2}  # repeated, so not answered
        kernel.answer(a=answer(2))
        assert await offered == Answer(view="a", seq=2, sdp="v=0")

    with_kernel(test)


def test_a_refusal_is_an_answer_too() -> None:
    async def test(kernel: Kernel) -> None:
        refusal = {"view": "a", "seq": 1, "problem": "p", "expected": "e", "fix": "f"}
        kernel.answer(a={"type": "Refusal", **refusal})

        assert await kernel.view.offer("v=0") == Refusal(**refusal)
        _, _, ack = [await kernel.hear() for _ in range(3)]
        assert ack == {"type": "Ack", "view": "a", "seq": 1}

    with_kernel(test)


def test_hello_is_repeated_until_this_views_welcome_comes() -> None:
    async def test(kernel: Kernel) -> None:
        kernel.say({"type": "PeerConfig", "view": "b", "ice_servers": []})
        kernel.say({"type": "Refusal"})
        asked = asyncio.create_task(kernel.view.ask_for_peer_config())

        assert [await kernel.hear() for _ in range(2)] == [HELLO] * 2
        kernel.say({"type": "PeerConfig", "view": "a", "ice_servers": []})
        assert await asked == PeerConfig(view="a")
        assert kernel.heard.empty()

    with_kernel(test)


def test_each_offer_has_a_higher_number() -> None:
    async def test(kernel: Kernel) -> None:
        for seq in (1, 2, 3):
            kernel.answer(a=answer(seq))
            await kernel.view.offer("v=0")

        assert kernel.view.seq == 3

    with_kernel(test)
