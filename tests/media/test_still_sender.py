"""A still on its way to one viewer: paced, bounded, and broken off by the next picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gpuview.media.encode.codec import Packet
from gpuview.media.encode.still import Still, StillBoard
from gpuview.media.still_sender import (
    MAX_BUFFERED_NBYTES,
    StillDataChannel,
    StillSender,
    is_worth_sending,
)
from gpuview.protocol.still import MAX_STILL_NBYTES, PIECE_NBYTES, StillAssembler
from tests.clock import run_in_virtual_time

RATE_BPS = 8e6
PNG = bytes(10 * PIECE_NBYTES)
S = 10**9


class Channel:
    """A data channel whose page reads what comes, or nothing at all."""

    def __init__(self, *, is_read: bool = True) -> None:
        self.sent: list[bytes | str] = []
        self.readyState = "open"
        self.bufferedAmount = 0
        self.bufferedAmountLowThreshold = 0
        self._is_read = is_read
        self._on_low: Callable[[], None] = lambda: None

    def on(self, event: str, callback: Callable[[], None]) -> None:
        assert event == "bufferedamountlow"
        self._on_low = callback

    def send(self, message: bytes | str) -> None:
        self.sent.append(message)
        if not self._is_read:
            self.bufferedAmount += len(message)

    def read(self) -> None:
        """Read all that waits."""
        self.bufferedAmount = 0
        self._on_low()

    @property
    def pieces(self) -> list[bytes]:
        return [each for each in self.sent if isinstance(each, bytes)]


def packet(capture_s: float, timestamp: int) -> Packet:
    return Packet(b"x", [b"x"], timestamp, round(capture_s * S), False, 64, 48, None)


def run(
    work: Callable[[StillSender, StillBoard], Coroutine[Any, Any, None]],
    rate_bps: float = RATE_BPS,
) -> None:
    async def live() -> None:
        board = StillBoard(lambda is_wanted: None)
        sender = StillSender(board, lambda: rate_bps)
        await work(sender, board)
        await sender.close()

    run_in_virtual_time(live())


def test_viewer_gets_the_still_of_the_picture_that_it_sees() -> None:
    async def work(sender: StillSender, board: StillBoard) -> None:
        channel: Any = Channel()
        sender.open(StillDataChannel(channel))
        sender.follow(packet(0.5, 4000))
        board.post(Still(S // 2, PNG))
        await asyncio.sleep(10)
        assembler = StillAssembler()
        assert [assembler.take(each) for each in channel.pieces][-1] == (4000, PNG)
        assert sender.n_sent == 1

    run(work)


def test_viewer_that_has_not_been_sent_the_picture_yet_gets_its_still_afterwards() -> None:
    async def work(sender: StillSender, board: StillBoard) -> None:
        channel: Any = Channel()
        sender.open(StillDataChannel(channel))
        board.post(Still(S // 2, PNG))
        await asyncio.sleep(10)
        assert channel.sent == []
        sender.follow(packet(0.5, 4000))
        await asyncio.sleep(10)
        assert len(channel.pieces) == 10

    run(work)


def test_channel_that_opens_late_gets_the_still_that_is_there() -> None:
    async def work(sender: StillSender, board: StillBoard) -> None:
        sender.follow(packet(0.5, 4000))
        board.post(Still(S // 2, PNG))
        channel: Any = Channel()
        sender.open(StillDataChannel(channel))
        await asyncio.sleep(10)
        assert len(channel.pieces) == 10

    run(work)


def test_pieces_leave_room_on_the_link() -> None:
    async def work(sender: StillSender, board: StillBoard) -> None:
        channel: Any = Channel()
        sender.open(StillDataChannel(channel))
        sender.follow(packet(0.5, 4000))
        board.post(Still(S // 2, PNG))
        await asyncio.sleep(0.1)
        assert 0 < sum(map(len, channel.pieces)) * 8 < 0.1 * RATE_BPS + 8 * PIECE_NBYTES

    run(work)


def test_next_picture_breaks_it_off_and_its_repeats_do_not() -> None:
    async def work(sender: StillSender, board: StillBoard) -> None:
        channel: Any = Channel()
        sender.open(StillDataChannel(channel))
        sender.follow(packet(0.5, 4000))
        board.post(Still(S // 2, PNG))
        await asyncio.sleep(0.05)
        sender.follow(packet(0.5, 5000))
        await asyncio.sleep(0.05)
        n_pieces = len(channel.pieces)
        assert n_pieces > 2

        sender.follow(packet(0.6, 2**32 + 6000))
        await asyncio.sleep(10)

        assert channel.sent[n_pieces:] == ["moved 6000"]
        assert sender.n_sent == 0

    run(work)


def test_page_that_never_reads_costs_little_and_one_that_reads_late_gets_it_whole() -> None:
    async def work(sender: StillSender, board: StillBoard) -> None:
        channel: Any = Channel(is_read=False)
        sender.open(StillDataChannel(channel))
        sender.follow(packet(0.5, 4000))
        board.post(Still(S // 2, PNG))
        await asyncio.sleep(100)
        assert 0 < channel.bufferedAmount <= MAX_BUFFERED_NBYTES + 100
        for _ in range(5):
            channel.read()
            await asyncio.sleep(10)
        assert len(channel.pieces) == 10

    run(work)


@pytest.mark.parametrize(
    ("nbytes", "rate_bps", "stood_s", "gap_s", "expected"),
    [
        (500_000, 20e6, 0.3, 0.1, True),
        (10_000_000, 20e6, 0.3, 0.1, False),  # a 4K frame of noise
        (1_000_000, 1e6, 0.3, 0.1, False),  # takes 11 s
        (500_000, 0.0, 0.3, 0.1, False),
        (MAX_STILL_NBYTES + 1, 1e9, 0.3, 0.1, False),
        (500_000, 20e6, 0.3, 1.0, True),  # once a second: there in time
        (1_500_000, 20e6, 0.3, 1.0, False),  # the next picture would break it off
        (1_500_000, 20e6, 1.1, 1.0, True),  # that picture has not come
    ],
)
def test_still_is_sent_if_it_is_likely_to_be_seen(
    nbytes: int, rate_bps: float, stood_s: float, gap_s: float, expected: bool
) -> None:
    assert is_worth_sending(nbytes, rate_bps, stood_s=stood_s, gap_s=gap_s) is expected


@pytest.mark.parametrize(
    ("nbytes", "is_sent"),
    [
        (300_000, True),
        (1_300_000, True),  # takes 0.69 s of the 0.7 s that are left
        (1_330_000, False),  # takes 0.71 s
    ],
)
def test_loop_that_pushes_once_a_second_shows_each_picture_exactly_if_the_link_has_time_for_it(
    nbytes: int, is_sent: bool
) -> None:
    n_pictures = 5

    async def work(sender: StillSender, board: StillBoard) -> None:
        channel: Any = Channel()
        sender.open(StillDataChannel(channel))
        for second in range(1, n_pictures + 1):
            await asyncio.sleep(second - asyncio.get_running_loop().time())
            sender.follow(packet(second, 90_000 * second))
            await asyncio.sleep(0.3)
            board.post(Still(second * S, bytes(nbytes)))
        await asyncio.sleep(0.7)
        assert sender.n_sent == (n_pictures if is_sent else 0)
        assert bool(channel.sent) == is_sent

    run(work, rate_bps=20e6)
