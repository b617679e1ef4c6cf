"""Packets in files: what was shown, when it was shown, whatever ends the recording."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from gpuview.media import recorder_set
from gpuview.media.encode import record
from gpuview.media.encode.codec import CLOCK_HZ, Packet
from gpuview.media.encode.encoder import Encoder
from gpuview.media.encode.fanout import Fanout, encoding_frames
from gpuview.media.encode.mp4 import Mp4File
from gpuview.media.encode.record import CODEC, Recorder
from gpuview.media.encode.recording_keyframes import KeyframePace
from gpuview.media.encode.tiers import Demand, Tier
from gpuview.media.recorder_set import RecorderSet
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.media_messages import (
    RecordingEnded,
    RecordingProgress,
    StartRecording,
    StopRecording,
)
from gpuview.protocol.pixel_format import PixelFormat, frame_nbytes
from gpuview.protocol.recording import open_file
from gpuview.protocol.ring import RingWriter
from gpuview.protocol.stats import RecordingCounters
from tests.waiting import wait_until, wait_until_async

START = time.monotonic_ns() * CLOCK_HZ // 1_000_000_000
ORDINARY = ["ftyp", "free", "mdat", "moov"]  # not in fragments, which are of type moof
Shown = list[tuple[int, int]]


def encode(
    levels: Sequence[int],
    timestamps: Sequence[int],
    size: tuple[int, int] = (64, 48),
    keyframes: Sequence[int] = (0,),
) -> list[Packet]:
    """Return packets of gray pictures, with some noise so that they have a size."""
    encoder = Encoder(CODEC, *size, fps=30, max_bitrate_bps=8_000_000)
    chance = np.random.default_rng(0)
    packets = []
    for index, (level, timestamp) in enumerate(zip(levels, timestamps, strict=True)):
        planes = np.full((size[1] * 3 // 2, size[0]), level, np.uint8)
        planes[: size[1] // 2] = chance.integers(16, 236, (size[1] // 2, size[0]))
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        packet = encoder.encode(frame, timestamp, index, is_keyframe=index in keyframes)
        assert packet is not None
        packets.append(packet)
    return packets


def frames_in(path: Path) -> Shown:
    """Return each frame's time, 90 kHz, and the level of its lower half."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [
            (
                round(frame.pts * stream.time_base * CLOCK_HZ),
                round(float(frame.to_ndarray()[frame.height * 3 // 4, :].mean())),
            )
            for frame in container.decode(stream)
        ]


def duration_of(path: Path) -> int:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return round(container.duration * CLOCK_HZ / 1_000_000)


def boxes_in(path: Path) -> list[str]:
    """Return the types of the file's outermost boxes."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        nbytes = int.from_bytes(data[at : at + 4])
        found.append(data[at + 4 : at + 8].decode())
        at += nbytes if nbytes != 1 else int.from_bytes(data[at + 8 : at + 16])
    assert at == len(data)
    return found


def mp4(path: Path, first: Packet) -> Mp4File:
    return Mp4File(os.open(path, os.O_WRONLY | os.O_CREAT), first)


def add_all(file: Mp4File, packets: Sequence[Packet]) -> None:
    for packet in packets:
        file.add(packet)


@contextmanager
def full_after(nbytes: int) -> Iterator[None]:
    """Let this process write no file that is longer, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- one file ---------------------------------------------------------------------------------


def test_file_shows_every_picture_at_its_time_and_for_its_time(tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    times = [0, 3_000, 6_100, 90_000, 90_001, 900_000]  # a jitter, a pause, a burst, a long pause
    levels = [30, 60, 90, 120, 150, 180]
    packets = encode(levels, [START + each for each in times])
    file = mp4(path, packets[0])
    add_all(file, packets)
    file.close(START + 1_000_000)
    shown = frames_in(path)
    assert [time for time, _ in shown] == times
    assert [level for _, level in shown] == pytest.approx(levels, abs=3)
    assert duration_of(path) == pytest.approx(1_000_000, abs=100)
    assert file.nbytes == path.stat().st_size


def test_file_that_is_cut_off_at_any_time_plays_up_to_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    times = [START + 9_000 * index for index in range(40)]  # ten a second
    packets = encode([100] * 40, times, keyframes=(0, 17))
    file = mp4(path, packets[0])
    for index, packet in enumerate(packets):
        file.add(packet)
        if index >= 10:
            assert len(frames_in(path)) >= index - 6
            assert "moof" in boxes_in(path)
    file.close(times[-1])
    assert len(frames_in(path)) == 40


def test_file_that_was_closed_is_an_ordinary_one_whose_length_every_player_knows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.mp4"
    packets = encode([100] * 20, [START + 9_000 * index for index in range(20)])
    file = mp4(path, packets[0])
    add_all(file, packets)
    file.close(START + 180_000)
    assert boxes_in(path) == ORDINARY


def test_full_disk_leaves_a_file_that_plays_and_is_not_written_to_again(tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    packets = encode([100] * 100, [START + 3_000 * index for index in range(100)])
    file = mp4(path, packets[0])
    with full_after(60_000), pytest.raises(OSError, match="too large"):
        add_all(file, packets)
    nbytes = path.stat().st_size
    assert 0 < nbytes <= 60_000
    file.close(START)
    assert path.stat().st_size == nbytes == file.nbytes
    assert len(frames_in(path)) >= 15


def test_encoder_that_is_opened_anew_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    before = encode([60] * 10, [START + 3_000 * index for index in range(10)])
    after = encode([160] * 10, [START + 30_000 + 3_000 * index for index in range(10)])
    file = mp4(path, before[0])
    add_all(file, before + after)
    file.close(START + 60_000)
    assert [level for _, level in frames_in(path)] == pytest.approx([60] * 10 + [160] * 10, abs=3)


# --- keyframes to seek to ---------------------------------------------------------------------


def due(packets_per_s: int, duration_s: int) -> list[int]:
    """Return when keyframes are asked for, in seconds, if each is made at once."""
    pace, (first,), asked = KeyframePace(), encode([100], [START]), []
    pace.is_due(first)
    is_keyframe = False
    for index in range(1, packets_per_s * duration_s):
        timestamp = START + index * CLOCK_HZ // packets_per_s
        packet = replace(first, timestamp=timestamp, is_keyframe=is_keyframe)
        is_keyframe = pace.is_due(packet)
        if is_keyframe:
            asked.append(index // packets_per_s)
    return asked


def test_moving_picture_gets_a_keyframe_every_five_seconds() -> None:
    assert due(30, 21) == [5, 10, 15, 20]


def test_still_picture_gets_one_a_minute() -> None:
    assert due(1, 200) == [60, 121, 182]


# --- a disk that is too slow ------------------------------------------------------------------


def test_slow_disk_loses_packets_up_to_a_keyframe_and_asks_for_it_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [START + 3_000 * index for index in range(60)]
    packets = encode(range(60, 120), times, keyframes=(0, 30, 50))
    monkeypatch.setattr(record, "_MAX_WAITING_NBYTES", sum(each.nbytes for each in packets[1:21]))
    is_stuck, is_free = threading.Event(), threading.Event()
    told: list[RecordingProgress | RecordingEnded] = []
    asked: list[float] = []

    def tell(message: RecordingProgress | RecordingEnded) -> None:
        told.append(message)
        is_stuck.set()
        is_free.wait()

    recorder = recorder_of(tmp_path, asked.append, tell)
    recorder.put(packets[0])
    is_stuck.wait()
    for packet in packets[1:30]:
        recorder.put(packet)
    assert asked == []  # what comes would be lost, too
    is_free.set()
    wait_until(lambda: not recorder._waiting, "all is written")
    recorder.put(packets[40])
    assert len(asked) == 1
    for packet in packets[50:]:
        recorder.put(packet)
    recorder.end()
    recorder.join()
    shown = frames_in(tmp_path / "run.mp4")
    kept = [*range(21), *range(50, 60)]
    assert [time for time, _ in shown] == [3_000 * index for index in kept]
    assert [level for _, level in shown] == pytest.approx([60 + each for each in kept], abs=3)
    assert told[-1].counters == RecordingCounters(
        files=[1],
        frames=31,
        packets_dropped=10,
        nbytes=(tmp_path / "run.mp4").stat().st_size,
    )


def test_nothing_is_lost_before_the_first_keyframe(tmp_path: Path) -> None:
    packets = encode([100] * 6, [START + 3_000 * index for index in range(6)], keyframes=(0, 3))
    told: list[RecordingProgress | RecordingEnded] = []
    recorder = recorder_of(tmp_path, lambda spacing_s: None, told.append)
    for packet in packets[1:]:
        recorder.put(packet)
    recorder.end()
    recorder.put(packets[0])  # too late
    recorder.join()
    assert told[-1].counters.frames == 3
    assert told[-1].counters.packets_dropped == 0


def recorder_of(
    folder: Path,
    request: Callable[[float], None],
    send: Callable[[RecordingProgress | RecordingEnded], None],
) -> Recorder:
    return Recorder(CODEC, request, start=start_message(), fds=opened(folder), send=send)


def start_message(*, overwrite: bool = False) -> StartRecording:
    return StartRecording(recording=1, name="run.mp4", number=1, overwrite=overwrite)


def opened(folder: Path) -> list[int]:
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return [open_file(folder_fd, "run.mp4", overwrite=False), folder_fd]


# --- a stream's recordings --------------------------------------------------------------------


class Studio:
    """A stream with a ring, its fan-out, and its recordings in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[RecordingProgress | RecordingEnded] = []
        self.tasks = BackgroundTasks()
        self.fanout = Fanout(
            encoding_frames(
                os.eventfd(0), fps=200, max_bitrate_bps=10**6, on_error=lambda error: None
            )
        )
        self.recorders = RecorderSet(self.fanout, self._hear, self.tasks)
        self._said_something = asyncio.Event()
        self._rings: list[RingWriter] = []

    @property
    def path(self) -> Path:
        return self.folder / "run.mp4"

    @property
    def seq(self) -> int:
        return self._rings[-1].seq if self._rings else 0

    def record(self, *, overwrite: bool = False) -> None:
        fds = opened(self.folder)
        self.recorders.start(start_message(overwrite=overwrite), fds)
        assert fds == []

    def push(self, level: int, width: int = 64, height: int = 48) -> None:
        nbytes = frame_nbytes(PixelFormat.I420, width, height)
        if not self._rings or self._rings[-1].slot_nbytes < nbytes:
            self._rings.append(RingWriter.create(nbytes, seq=self.seq))
            self.fanout.encodes.attach(os.dup(self._rings[-1].fd))
        self._rings[-1].begin(nbytes)[:] = np.full(nbytes, level, np.uint8)
        self._rings[-1].publish(PixelFormat.I420, width, height)
        self.fanout.encodes._event_fd.wake()

    async def show(self, level: int, width: int = 64, height: int = 48) -> None:
        """Push, and wait until it was encoded."""
        self.push(level, width, height)
        await wait_until_async(
            lambda: self.fanout.encodes.encoded_seq >= self.seq, "the frame is encoded"
        )

    async def stop(self) -> RecordingEnded:
        self.recorders.stop(StopRecording(recording=1, seq=self.seq))
        return await self.end()

    async def end(self) -> RecordingEnded:
        while True:
            for message in self.said:
                if isinstance(message, RecordingEnded):
                    return message
            self._said_something.clear()
            await self._said_something.wait()

    async def close(self) -> None:
        await self.recorders.close()
        await self.tasks.cancel()
        self.fanout.close()
        for ring in self._rings:
            ring.close()

    def _hear(self, message: RecordingProgress | RecordingEnded) -> None:
        self.said.append(message)
        self._said_something.set()


def run(folder: Path, work: Callable[[Studio], Awaitable[None]]) -> None:
    async def main() -> None:
        studio = Studio(folder)
        try:
            async with asyncio.timeout(60):
                await work(studio)
        finally:
            await studio.close()

    asyncio.run(main())


def test_recording_without_a_viewer_has_every_frame_that_was_pushed(tmp_path: Path) -> None:
    levels = list(range(40, 200, 16))

    async def work(studio: Studio) -> None:
        studio.record()
        for level in levels:
            await studio.show(level)
        ended = await studio.stop()
        assert ended.problem is None
        assert ended.counters.frames == len(levels)
        assert ended.counters.nbytes == studio.path.stat().st_size
        assert studio.said[0] == RecordingProgress(recording=1)

    run(tmp_path, work)
    shown = [level for _, level in frames_in(tmp_path / "run.mp4")]
    changed = [shown[0], *(after for before, after in pairwise(shown) if after != before)]
    assert changed == pytest.approx(levels, abs=3)


def test_recording_has_the_very_packets_of_a_viewer_and_their_times(tmp_path: Path) -> None:
    packets: list[Packet] = []

    async def work(studio: Studio) -> None:
        studio.record()
        viewer = studio.fanout.subscribe(CODEC)
        for level in range(60, 70):
            await studio.show(level)
            while viewer._packets:
                packets.append(await viewer.next())
        assert len(studio.fanout.encodes.stats()) == 1
        await studio.stop()

    run(tmp_path, work)
    with av.open(str(tmp_path / "run.mp4")) as container:
        times = [each.pts for each in container.demux(video=0) if each.pts is not None]
    sent = [each.timestamp - packets[0].timestamp for each in packets]
    assert times[: len(sent)] == sent


def test_recording_follows_the_viewers_of_the_full_size_and_moves_none_of_them(
    tmp_path: Path,
) -> None:
    async def work(studio: Studio) -> None:
        studio.record()
        (group,) = studio.fanout._groups.values()
        assert group.demand(Tier.FULL) == Demand()  # alone, it gets all that the settings allow
        viewer = studio.fanout.subscribe(CODEC)
        viewer.report(target_bps=300_000, free_s=0.0)
        assert group.demand(Tier.FULL) == Demand(300_000, 0.0)
        await studio.show(60)
        studio.fanout.unsubscribe(viewer)
        assert len(studio.fanout.encodes.stats()) == 1
        await studio.stop()

    run(tmp_path, work)


def test_frame_that_was_pushed_just_before_the_stop_is_in_the_recording(tmp_path: Path) -> None:
    async def work(studio: Studio) -> None:
        studio.record()
        await studio.show(60)
        studio.push(150)
        ended = await studio.stop()
        assert ended.counters.frames == 2

    run(tmp_path, work)
    assert frames_in(tmp_path / "run.mp4")[-1][1] == pytest.approx(150, abs=3)


def test_still_picture_is_recorded_from_the_start_for_as_long_as_it_stands(tmp_path: Path) -> None:
    async def work(studio: Studio) -> None:
        viewer = studio.fanout.subscribe(CODEC)
        studio.push(90)
        await viewer.next()
        studio.record()
        for _ in range(5):  # the keyframe for the recording, and repeats
            await viewer.next()
        ended = await studio.stop()
        assert ended.counters.frames == 1

    run(tmp_path, work)
    shown = frames_in(tmp_path / "run.mp4")
    assert {level for _, level in shown} == {90}
    assert shown[-1][0] <= duration_of(tmp_path / "run.mp4")


def test_change_of_size_begins_a_new_file_whose_name_is_not_taken(tmp_path: Path) -> None:
    taken = tmp_path / "run-2.mp4"
    taken.write_text("mine")

    async def work(studio: Studio) -> None:
        studio.record()
        await studio.show(60)
        await studio.show(90, 128, 96)
        await studio.show(120, 64, 48)
        ended = await studio.stop()
        assert ended.counters.files == [1, 3, 4]
        assert ended.counters.frames == 3

    run(tmp_path, work)
    assert taken.read_text() == "mine"
    for name, level, size in [
        ("run.mp4", 60, (64, 48)),
        ("run-3.mp4", 90, (128, 96)),
        ("run-4.mp4", 120, (64, 48)),
    ]:
        assert frames_in(tmp_path / name)[-1][1] == pytest.approx(level, abs=3)
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == size


def test_picture_that_never_keeps_its_size_does_not_fill_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "_MAX_FILES", 3)

    async def work(studio: Studio) -> None:
        studio.record()
        for index in range(4):
            await studio.show(60, 64 + 16 * index, 48)
        ended = await studio.end()
        assert ended.problem is not None
        assert "has changed 3 times" in ended.problem.problem
        assert ended.counters.files == [1, 2, 3]

    run(tmp_path, work)
    assert len(list(tmp_path.iterdir())) == 3


def test_recording_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    async def work(studio: Studio) -> None:
        studio.record()
        ended = await studio.stop()
        assert ended == RecordingEnded(recording=1)

    run(tmp_path, work)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_ends_the_recording_and_the_viewers_play_on(tmp_path: Path) -> None:
    async def work(studio: Studio) -> None:
        viewer = studio.fanout.subscribe(CODEC)
        studio.record()
        await studio.show(60)
        with full_after(3_000):
            while not any(isinstance(each, RecordingEnded) for each in studio.said):
                await studio.show(60 + studio.seq % 100)
        ended = await studio.end()
        assert ended.problem is not None
        assert ended.problem.problem == "the recording run.mp4 has ended: File too large"
        assert "free some space" in ended.problem.fix
        viewer.request_keyframe()
        while not (await viewer.next()).is_keyframe:
            pass
        assert await studio.stop() is ended

    run(tmp_path, work)
    assert frames_in(tmp_path / "run.mp4")


def test_files_are_whole_when_the_kernel_has_gone(tmp_path: Path) -> None:
    async def work(studio: Studio) -> None:
        studio.record()
        for level in (60, 90, 120):
            await studio.show(level)

    run(tmp_path, work)
    assert boxes_in(tmp_path / "run.mp4") == ORDINARY
    assert frames_in(tmp_path / "run.mp4")[-1][1] == pytest.approx(120, abs=3)


def test_nothing_is_encoded_once_the_recording_has_ended(tmp_path: Path) -> None:
    async def work(studio: Studio) -> None:
        studio.record()
        await studio.show(60)
        await studio.stop()
        assert studio.fanout.encodes.stats() == []

    run(tmp_path, work)


def test_pyav_without_x264_refuses_to_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_set, "why_no_h264", lambda: "this PyAV has no libx264")

    async def work(studio: Studio) -> None:
        fds = opened(studio.folder)
        studio.recorders.start(start_message(), fds)
        ended = await studio.end()
        assert ended.problem is not None
        assert ended.problem.problem == "cannot record: this PyAV has no libx264"
        for fd in fds:  # they are still the caller's
            os.close(fd)

    run(tmp_path, work)


def test_recording_that_is_started_twice_is_one(tmp_path: Path) -> None:
    async def work(studio: Studio) -> None:
        studio.record()
        studio.recorders.start(start_message(), fds := [-1, -1])
        assert fds == [-1, -1]
        assert repr(studio.recorders) == "<RecorderSet [<Recorder run.mp4 open frames=0>]>"

    run(tmp_path, work)
