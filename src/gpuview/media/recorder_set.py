"""The recordings of one stream that are being written. Lives on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from gpuview.media.encode.choice import why_no_h264
from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.record import CODEC, Recorder
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.media_messages import (
    RecordingEnded,
    RecordingProgress,
    StartRecording,
    StopRecording,
)
from gpuview.protocol.page_messages import Problem

__all__ = ["RecorderSet"]

logger = logging.getLogger("gpuview.media")

_LAST_FRAME_S = 2.0
_LOOK_EVERY_S = 0.005


class RecorderSet:
    """The recordings of one stream. Tells the kernel how each goes on and ends.

    Args:
        fanout: Gives the packets.
        send: Sends a message about the stream to the kernel.
        tasks: End the recordings in the background.
    """

    def __init__(
        self,
        fanout: Fanout,
        send: Callable[[RecordingProgress | RecordingEnded], None],
        tasks: BackgroundTasks,
    ) -> None:
        self._fanout = fanout
        self._send = send
        self._tasks = tasks
        self._recorders: dict[int, Recorder] = {}
        self._loop = asyncio.get_running_loop()

    def start(self, message: StartRecording, fds: list[int]) -> None:
        """Record, until the recording is stopped or fails; does nothing if it has begun.

        Args:
            message: The kernel's request.
            fds: The descriptors that came with it; those that are kept are removed.
        """
        if message.recording in self._recorders:
            return  # told again, as this process has just replaced another
        if why := why_no_h264():
            problem = Problem(
                problem=f"cannot record: {why}",
                expected="PyAV with libx264, as on PyPI",
                fix="pip install --force-reinstall av",
            )
            self._send(RecordingEnded(recording=message.recording, problem=problem))
            return
        taken = list(fds)
        fds.clear()  # the recorder owns them now
        self._recorders[message.recording] = self._fanout.add(
            CODEC, partial(Recorder, start=message, fds=taken, send=self._hear)
        )
        self._send(RecordingProgress(recording=message.recording))

    def stop(self, message: StopRecording) -> None:
        """End a recording in the background; does nothing if it has ended."""
        recorder = self._recorders.get(message.recording)
        if recorder is not None:
            self._tasks.spawn(self._end_after(recorder, message.seq))

    async def close(self) -> None:
        """End all recordings, and wait until their files are whole."""
        await asyncio.sleep(0)  # the last packets are on their way through the event loop
        recorders = list(self._recorders.values())
        for recorder in recorders:
            recorder.end()
        for recorder in recorders:
            await asyncio.to_thread(recorder.join)

    async def _end_after(self, recorder: Recorder, seq: int) -> None:
        """End a recording with the frame ``seq``, which may not have been encoded yet."""
        deadline_s = self._loop.time() + _LAST_FRAME_S
        while seq > 0 and self._loop.time() < deadline_s:
            if recorder.has_begun and self._fanout.encodes.encoded_seq >= seq:
                await asyncio.sleep(0)  # its packets are on their way through the event loop
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        recorder.end()

    def _hear(self, message: RecordingProgress | RecordingEnded) -> None:
        """Take a recorder's message from its thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._report, message)

    def _report(self, message: RecordingProgress | RecordingEnded) -> None:
        if isinstance(message, RecordingEnded):
            self._fanout.unsubscribe(self._recorders.pop(message.recording))
            if message.problem is not None:
                logger.warning("%s", message.problem.problem)
        self._send(message)

    def __repr__(self) -> str:
        return f"<RecorderSet {list(self._recorders.values())}>"
