"""Packets of a worker that are not what they say: they reach no viewer, and end its session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gpuview.media.encode.codec import Codec, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.fanout import Subscription
from gpuview.media.encode.tiers import Tier
from gpuview.media.encode.timestamp import timestamp_of
from gpuview.protocol.carrier_messages import Received
from gpuview.protocol.carrier_packets import STILL_PIECE, PacketHeader
from gpuview.protocol.cluster_messages import Joined, JoinRefused, WantStills, WatchTier
from gpuview.protocol.local_socket import BINARY, TEXT
from gpuview.protocol.page_messages import Message, Ping, Pong, Status
from gpuview.protocol.still import still_pieces
from gpuview.protocol.worker_channels import ChannelMessage
from tests.media.cluster.streams import Notebook, RawWorker
from tests.waiting import wait_until_async

MAIN = Codec("H264", "Main")
WIDTH, HEIGHT = 64, 48
AHEAD_MS = 9e8  # of its clock: it has run ten days longer


class Liar:
    """A worker that the notebook watches, and that makes packets as it likes."""

    def __init__(self, raw: RawWorker, clock: Callable[[], float]) -> None:
        self.raw = raw
        self.base = self.channel = 0
        self._clock = clock
        self._seq = 0
        self._n_frames = 0
        self._stamp = 0
        self._encoder = Encoder(MAIN, WIDTH, HEIGHT, fps=30, max_bitrate_bps=10**6)

    async def join(self) -> None:
        self.raw.join()
        await self.raw.hear(Joined)
        self.base, ping = await self.raw.hear(Ping)
        clock_ms = self._clock() * 1000 + AHEAD_MS
        self.raw.say(
            Pong(sent_ms=ping.sent_ms, clock_ms=clock_ms, width=WIDTH, height=HEIGHT), self.base
        )
        self.channel, _ = await self.raw.hear(WatchTier)

    def frame(self, *, is_keyframe: bool = False) -> tuple[PacketHeader, bytes]:
        """Return the next frame's packet, which is what it says."""
        self._n_frames += 1
        pixels = np.full((HEIGHT * 3 // 2, WIDTH), self._n_frames * 9 % 256, np.uint8)
        shown_ns = round((self._clock() * 1000 + AHEAD_MS) * 1e6)
        self._stamp = timestamp_of(shown_ns, self._n_frames, after=self._stamp)
        packet: Packet | None = self._encoder.encode(
            av.VideoFrame.from_ndarray(pixels, format="yuv420p"),
            self._stamp,
            self._n_frames,
            is_keyframe=is_keyframe,
        )
        assert packet is not None
        header = PacketHeader(
            "H264", packet.is_keyframe, self._seq, packet.timestamp, WIDTH, HEIGHT, 30
        )
        self._seq += 1
        return header, packet.data

    def send(self, header: PacketHeader, data: bytes) -> None:
        self.send_binary(header.pack() + data)

    def send_binary(self, content: bytes) -> None:
        self.raw.send(*ChannelMessage(self.channel, BINARY, content).pack())


def run(folder: Path, use: Callable[[Notebook, Liar, Subscription], Awaitable[None]]) -> None:
    """Run with a worker that the notebook watches for one viewer."""

    async def live() -> None:
        notebook = Notebook(folder)
        try:
            with RawWorker(notebook, notebook.worker_keys) as raw:
                subscription = notebook.streams._streams["s1"].fanout.subscribe(MAIN)
                liar = Liar(raw, asyncio.get_running_loop().time)
                await liar.join()
                await use(notebook, liar, subscription)
        finally:
            await notebook.close()

    asyncio.run(live())


def test_what_is_true_reaches_the_viewer_on_our_clock_and_is_acknowledged(tmp_path: Path) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        for number in range(3):
            liar.send(*liar.frame(is_keyframe=number == 0))
            packet = await asyncio.wait_for(viewer.next(), 60)
            assert packet.is_keyframe == (number == 0)
            assert (packet.width, packet.height, packet.quantiser) == (WIDTH, HEIGHT, 30)
            now_s = asyncio.get_running_loop().time()
            assert now_s - 60 < packet.timestamp / 90_000 < now_s + 1
            assert now_s - 60 < packet.capture_ns / 1e9 <= now_s
            assert packet.payloads
            _, received = await liar.raw.hear(Received)
            assert received.seq == number

    run(tmp_path, use)


def test_when_its_newest_frame_was_made_is_told_on_our_clock(tmp_path: Path) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        await wait_until_async(lambda: notebook.encodes.picture_size, "its pong was heard")
        made_ms = asyncio.get_running_loop().time() * 1000 - 5000
        told = []
        for theirs_ms in (made_ms + AHEAD_MS, 0.0):
            liar.raw.say(Status(state="live", made_ms=theirs_ms, caption=f"{theirs_ms}"), liar.base)
            await wait_until_async(
                lambda said=f"{theirs_ms}": (
                    (status := notebook.workers()[0].status) and status.caption == said
                ),
                "it is told",
            )
            status = notebook.workers()[0].status
            assert status is not None
            told.append(status.made_ms)
        assert abs(told[0] - made_ms) < 60_000 < AHEAD_MS / 2
        assert told[1] == 0

    run(tmp_path, use)


def test_time_that_cannot_be_ends_the_session(tmp_path: Path) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        liar.raw.say(Status(state="live", made_ms=-1.0), liar.base)
        _, refused = await liar.raw.hear(JoinRefused)
        assert "a time that cannot be" in refused.problem.problem

    run(tmp_path, use)


@pytest.mark.parametrize(
    "said",
    [
        Status(state="live", width=16_385, height=9),
        Status(state="live", width=9, height=-1),
        Pong(sent_ms=0, clock_ms=0, width=9, height=16_385),
    ],
)
def test_size_that_cannot_be_ends_the_session(tmp_path: Path, said: Message) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        liar.raw.say(said, liar.base)
        _, refused = await liar.raw.hear(JoinRefused)
        assert "a picture that cannot be" in refused.problem.problem

    run(tmp_path, use)


def test_request_for_a_keyframe_is_said_once_until_there_is_one(tmp_path: Path) -> None:
    def asked(liar: Liar) -> list[float]:
        liar.raw.read()
        found = [json.loads(each.content) for each in liar.raw.got if each.kind == TEXT]
        return [each["spacing_s"] for each in found if each["type"] == "WantKeyframe"]

    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        await wait_until_async(lambda: notebook.encodes.picture_size, "its pong was heard")
        assert asked(liar) == []  # the request of who joins goes with the watch
        liar.send(*liar.frame(is_keyframe=True))
        await asyncio.wait_for(viewer.next(), 60)
        for spacing_s in (2.0, 2.0, 0.5, 2.0):
            notebook.encodes.request_keyframe(MAIN, spacing_s, Tier.FULL)
        await liar.raw.hear(Received)
        await wait_until_async(lambda: asked(liar) == [2.0, 0.5], "both are said")
        liar.send(*liar.frame(is_keyframe=True))
        await asyncio.wait_for(viewer.next(), 60)
        notebook.encodes.request_keyframe(MAIN, 0.5, Tier.FULL)
        await wait_until_async(lambda: asked(liar) == [2.0, 0.5, 0.5], "the next is said")

    run(tmp_path, use)


LIES: dict[str, Callable[[PacketHeader, bytes], tuple[PacketHeader, bytes]]] = {
    "another codec": lambda header, data: (replace(header, codec="VP8"), data),
    "another size": lambda header, data: (replace(header, width=1920), data),
    "no keyframe": lambda header, data: (replace(header, is_keyframe=False), data),
    "no video": lambda header, data: (header, b"\0" * 100),
    "cut short": lambda header, data: (header, data[:6]),
    "the future": lambda header, data: (replace(header, timestamp=header.timestamp + 10**9), data),
    "another picture": lambda header, data: (
        header,
        Encoder(MAIN, 128, 96, fps=30, max_bitrate_bps=10**6)
        .encode(
            av.VideoFrame.from_ndarray(np.zeros((144, 128), np.uint8), format="yuv420p"),
            1,
            1,
            is_keyframe=True,
        )
        .data,  # type: ignore[union-attr]
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_lie_ends_the_session_with_a_sentence(tmp_path: Path, lie: Any) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        liar.send(*lie(*liar.frame(is_keyframe=True)))
        _, refused = await liar.raw.hear(JoinRefused)
        assert "rank 0 on node9 has sent" in refused.problem.problem
        await wait_until_async(
            lambda: notebook.last_problem == refused.problem, "the notebook is told"
        )
        assert notebook.present == []
        assert not viewer._packets

    run(tmp_path, use)


def test_packet_whose_number_says_that_some_are_missing_waits_for_a_keyframe(
    tmp_path: Path,
) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        liar.send(*liar.frame(is_keyframe=True))
        await asyncio.wait_for(viewer.next(), 60)
        liar.frame()  # lost
        liar.send(*liar.frame())
        keyframe, data = liar.frame(is_keyframe=True)
        liar.send(keyframe, data)
        assert (await asyncio.wait_for(viewer.next(), 60)).is_keyframe
        assert notebook.present == [0]

    run(tmp_path, use)


def test_timestamps_that_go_back_do_not_go_back_for_the_viewer(tmp_path: Path) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        stamps = []
        for number in range(5):
            header, data = liar.frame(is_keyframe=number == 0)
            liar.send(replace(header, timestamp=header.timestamp - 90_000 * number), data)
            stamps.append((await asyncio.wait_for(viewer.next(), 60)).timestamp)
        assert stamps == sorted(set(stamps))

    run(tmp_path, use)


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n", b"x" * 40_000])
def test_malformed_still_ends_the_session(tmp_path: Path, content: bytes) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        board = notebook.streams._streams["s1"].fanout.stills
        board.listen(lambda: None)
        await liar.raw.hear(WantStills)
        header, data = liar.frame(is_keyframe=True)
        liar.send(header, data)
        for piece in still_pieces(header.timestamp, content):
            liar.send_binary(bytes((STILL_PIECE,)) + piece)
        await liar.raw.hear(JoinRefused)
        assert board.newest is None

    run(tmp_path, use)


def test_still_that_nobody_wants_ends_the_session(tmp_path: Path) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        liar.send_binary(bytes((STILL_PIECE,)) + next(still_pieces(1, b"x" * 100)))
        await liar.raw.hear(JoinRefused)

    run(tmp_path, use)


def test_worker_that_has_lied_leaves_the_other_streams_alone(tmp_path: Path) -> None:
    async def use(notebook: Notebook, liar: Liar, viewer: Subscription) -> None:
        other_keys = type(notebook.keys)()
        notebook.open_run("s2", "run2", other_keys)
        with RawWorker(notebook, other_keys) as raw:
            raw.join(run="run2")
            await raw.hear(Joined)
            liar.send_binary(b"\1nothing")
            await liar.raw.hear(JoinRefused)
            await wait_until_async(lambda: notebook.last_problem, "the notebook is told")
            assert [each.silent_s for each in notebook.workers("s2")] == [None]
            await wait_until_async(lambda: notebook.present == [], "the liar is out")

    run(tmp_path, use)
