"""A ZeroMQ socket on the event loop."""

from __future__ import annotations

import asyncio

import zmq

from gpuview.media.cluster.loop_socket import LoopSocket, watch_events
from tests.waiting import wait_until_async


def test_socket_that_is_full_costs_nothing_until_it_has_room() -> None:
    async def main() -> None:
        context = zmq.Context()
        far = context.socket(zmq.PAIR)
        far.set(zmq.RCVHWM, 1)
        far.bind("inproc://full")
        near = context.socket(zmq.PAIR)
        near.set(zmq.SNDHWM, 1)
        near.connect("inproc://full")
        n_tries = n_sent = 0

        def send_all() -> None:
            nonlocal n_tries, n_sent
            n_tries += 1
            while sock.send([b"x"]):
                n_sent += 1

        sock = LoopSocket(near, lambda frames: None, send_all)
        await wait_until_async(lambda: n_sent >= 2, "it is full")
        before = n_tries
        for _ in range(1000):
            await asyncio.sleep(0)
        assert n_tries - before < 10
        full = n_sent
        far.recv()
        far.recv()
        await wait_until_async(lambda: n_sent > full, "there is room again")
        sock.close()
        far.close(linger=0)
        context.term()

    asyncio.run(main())


def test_nothing_is_overlooked_when_both_sides_send_at_a_time() -> None:
    async def main() -> None:
        context = zmq.Context()
        socks = [context.socket(zmq.PAIR) for _ in range(2)]
        socks[0].bind("inproc://exchange")
        socks[1].connect("inproc://exchange")
        got: list[list[bytes]] = [[], []]
        ends: list[LoopSocket] = []
        for sock, taken in zip(socks, got, strict=True):
            ends.append(
                LoopSocket(
                    sock,
                    lambda frames, taken=taken: taken.append(frames[0].bytes),  # type: ignore[misc]
                )
            )
        for number in range(900):
            for end in ends:
                assert end.send([str(number).encode()])
            if number % 100 == 0:
                await asyncio.sleep(0)
        for taken in got:
            await wait_until_async(
                lambda taken=taken: len([each for each in taken if each]) == 900,  # type: ignore[misc]
                "all came",
            )
            assert [int(each) for each in taken if each] == list(range(900))
        for end in ends:
            end.close()
        context.term()

    asyncio.run(main())


def test_exception_of_whoever_hears_a_message_costs_that_message() -> None:
    async def main() -> None:
        context = zmq.Context()
        far = context.socket(zmq.PAIR)
        far.bind("inproc://faulty")
        near = context.socket(zmq.PAIR)
        near.connect("inproc://faulty")
        got: list[int] = []

        def hear(frames: list[zmq.Frame]) -> None:
            got.append(100 // int(frames[0].bytes))

        sock = LoopSocket(near, hear)
        for content in (b"5", b"0", b"4"):
            far.send(content)
        await wait_until_async(lambda: len(got) == 2, "both others came")
        assert got == [20, 25]
        sock.close()
        assert not sock.send([b"x"])
        sock.close()
        far.close(linger=0)
        context.term()

    asyncio.run(main())


def test_a_connection_that_ends_when_nobody_looks_any_more_stops_no_other() -> None:
    async def main() -> bool:
        theirs, ours = zmq.Context(), zmq.Context()
        far = theirs.socket(zmq.ROUTER)
        port = far.bind_to_random_port("tcp://127.0.0.1")
        dealer = ours.socket(zmq.DEALER)
        events = watch_events(dealer, zmq.Event.DISCONNECTED, lambda *_: None)
        dealer.connect(f"tcp://127.0.0.1:{port}")
        dealer.send(b"hello")
        await asyncio.to_thread(far.recv_multipart)

        events.close()
        far.close(linger=0)  # which is an event

        next_far = theirs.socket(zmq.ROUTER)
        next_port = next_far.bind_to_random_port("tcp://127.0.0.1")
        other = ours.socket(zmq.DEALER)
        other.connect(f"tcp://127.0.0.1:{next_port}")
        other.send(b"hello")
        has_come = await asyncio.to_thread(next_far.poll, 20_000)
        if has_come:  # otherwise the context cannot be ended
            for context in (ours, theirs):
                context.destroy(linger=0)
        return bool(has_come)

    assert asyncio.run(main())
