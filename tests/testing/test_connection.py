"""The end of a headless viewer's connection."""

from __future__ import annotations

import asyncio
import contextlib

from gpuview.protocol.page_messages import PeerConfig
from gpuview.testing.connection import Connection


def test_close_that_is_cancelled_ends_after_the_connection_has() -> None:
    async def live() -> None:
        connection = Connection(
            ("H264",),
            PeerConfig(view="v"),
            is_decoding=False,
            on_frame=lambda *_: None,
            on_pong=lambda _: None,
            on_still=lambda *_: None,
            on_loss=lambda: None,
        )
        await connection.make_offer()
        closing = asyncio.create_task(connection.close())
        for _ in range(2):
            await asyncio.sleep(0)
            closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        assert connection._peer.iceConnectionState == "closed"

    asyncio.run(live())  # no socket is left behind, or the test fails
