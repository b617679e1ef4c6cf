"""A viewer without a browser: negotiates as the page does and hands back what it is shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from av import VideoFrame

from gpuview.errors import SettingsError, SignalError
from gpuview.protocol.page_messages import Pong
from gpuview.testing import current_test
from gpuview.testing.comparison import Comparison, Picture
from gpuview.testing.errors import WaitTimeoutError, WrongPictureError
from gpuview.testing.peer import Image, image_of, png_of, to_rgb
from gpuview.testing.stream import StreamProxy
from gpuview.testing.timing import Latency, Timing, is_picture_of
from gpuview.testing.view import Timings, View, ViewOptions

__all__ = ["AsyncViewer", "HeadlessViewer", "Timings"]

P = ParamSpec("P")
T = TypeVar("T")


class HeadlessViewer(View):
    """A view whose pictures are handed back, awaited and compared; see `View` for its options.

    Every frame is decoded, but converted to RGB only on request. aiortc takes a frame as complete
    when the next one begins, so the newest frame here is one frame old. A picture that stands still
    is repeated, and then comes once more without loss.

    All waits block the thread that calls. ``async with`` gives the same viewer with methods to be
    awaited.
    """

    def __init__(self, stream: StreamProxy, **options: Unpack[ViewOptions]) -> None:
        self._timing = Timing()
        self._stills: list[bytes] = []
        self._newest: tuple[int, VideoFrame] | None = None
        self._newest_still: tuple[int, bytes] | None = None
        self._n_stills = 0
        self._taps: list[list[VideoFrame]] = []
        super().__init__(stream, **options)

    # --- pictures ------------------------------------------------------------------------------

    def next_frame(self, *, timeout_s: float = 30.0) -> Image:
        """Return the next frame that is decoded, ``(H, W, 3)`` uint8 RGB.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: No frame came in time.
        """
        return self.frames(1, timeout_s=timeout_s)[0]

    def frames(self, count: int, *, timeout_s: float = 30.0) -> list[Image]:
        """Return the next ``count`` frames that are decoded, without leaving any out.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: Fewer frames came in time.
        """
        tap: list[VideoFrame] = []
        with self._changing.change():
            self._taps.append(tap)
        try:
            self._wait_unless_refused(lambda: len(tap) >= count, timeout_s, f"{count} frames")
        finally:
            self._taps.remove(tap)
        return [to_rgb(frame) for frame in tap[:count]]

    def wait_for_frames(self, count: int, *, timeout_s: float = 30.0) -> None:
        """Wait until ``count`` more frames have come, whether they are decoded or not.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: Fewer frames came in time.
        """
        target = self.frame_count + count
        self._wait_unless_refused(lambda: self.frame_count >= target, timeout_s, f"{count} frames")

    def wait_until(self, predicate: Callable[[Image], bool], *, timeout_s: float = 30.0) -> Image:
        """Return the first frame, from the newest on, for which ``predicate`` holds.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: No such frame came in time.
        """
        deadline = time.monotonic() + timeout_s
        seen = 0 if self._newest is None else self.frame_count - 1
        while True:
            is_late = time.monotonic() > deadline  # then frames that still come are not looked at
            seen, frame = self._wait_unless_refused(
                (lambda: None) if is_late else partial(self._newer_than, seen),
                deadline - time.monotonic(),
                f"a frame that satisfies the predicate, after {seen} frames",
            )
            image = to_rgb(frame)
            if predicate(image):
                return image

    def next_still(self, *, timeout_s: float = 30.0) -> Image:
        """Return the next still picture, ``(H, W, 3)`` uint8 RGB without loss.

        A still that has come is returned once; 0.3 s after its last frame, a stream sends one.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: None came in time.
        """
        self._wait_unless_refused(lambda: self._stills, timeout_s, "a still picture")
        return image_of(self._stills.pop(0))

    def assert_shows(self, frame: object, *, tolerance: float = 8, timeout_s: float = 10.0) -> None:
        """Wait until the picture is what gpuview draws of ``frame``.

        Each picture that comes from now on, and the newest that has come, is compared with what the
        stream's options make of ``frame``, at the video's size. The options of a kernel's stream
        are not known here: there, ``frame`` is drawn as by a ``GPUStream()`` without options. A
        frame of the video is compared with colours in the video's resolution; a picture that
        stands still comes without loss after 0.3 s, and is compared as it is.

        Args:
            frame: Whatever can be pushed: a tensor, an array, or a dict or list of these.
            tolerance: The largest difference of any value that passes, in levels of 0 to 255.
            timeout_s: How long to wait for it.

        Raises:
            FrameError: ``frame`` cannot be shown.
            SettingsError: The viewer does not decode.
            SignalError: The offer was refused.
            WaitTimeoutError: No picture came at all.
            WrongPictureError: An AssertionError: other pictures came. It names a PNG with the
                newest of them beside the one expected.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        if not self._is_decoding:
            raise SettingsError(
                "cannot look at the pictures of a viewer with is_decoding = False",
                expected="is_decoding=True, the default",
                fix="leave is_decoding out",
            )
        drawn = self._stream.draw(frame)
        deadline, seen, n_compared = time.monotonic() + timeout_s, (0, 0), 0
        comparison: Comparison | None = None
        while comparison is None or time.monotonic() < deadline:
            try:
                seen, picture = self._wait_unless_refused(
                    partial(self._shown_after, seen), deadline - time.monotonic(), "a picture"
                )
            except WaitTimeoutError:
                if comparison is None:
                    raise
                break
            n_compared += 1
            comparison = Comparison(picture(), drawn)
            if comparison.is_within(tolerance):
                return
        raise WrongPictureError(
            f"none of {n_compared} pictures in {timeout_s:g} s is the one expected; the newest is "
            f"{comparison.picture.name}: {comparison.describe(tolerance)}",
            expected=f"at most {tolerance:g} levels between the picture and the frame given, "
            f"{self._stream.drawing}",
            fix="see what came, on the left, beside what was expected: "
            f"{current_test.save_picture(png_of(comparison.side_by_side()))}",
        )

    # --- figures -------------------------------------------------------------------------------

    def fps(self, *, window_s: float = 2.0, timeout_s: float = 30.0) -> float:
        """Return how many new pictures come in a second, from now on or the first frame.

        A picture that stands still is repeated, which does not count.

        Args:
            window_s: So long they are counted.
            timeout_s: How long to wait for the first frame.

        Raises:
            SignalError: The offer was refused.
            ViewerEndedError: It was closed meanwhile, or its stream.
            WaitTimeoutError: No frame came.
        """
        self._wait_unless_refused(lambda: self.frame_count, timeout_s, "a frame")
        before, began_s = self._timing.n_pictures, time.monotonic()
        with suppress(WaitTimeoutError):
            self._wait_unless_refused(lambda: None, window_s, "the end of the window")
        return (self._timing.n_pictures - before) / (time.monotonic() - began_s)

    def latency_ms(self, *, timeout_s: float = 30.0) -> Latency:
        """Return how old the new pictures of the last ten seconds were when they came.

        From the push, or the end of the source's call, until the frame is decoded; without
        decoding, until its last packet has come. The media process's clock is learnt from the
        quickest of ten pings, as in a browser. aiortc decodes a frame when the next one begins, so
        this is one frame longer than a browser's.

        Args:
            timeout_s: How long to wait until one is known.

        Raises:
            SignalError: The offer was refused.
            WaitTimeoutError: No second picture came, or no pong.
        """
        return self._wait_unless_refused(
            lambda: self._timing.latency(_now_ms()),
            timeout_s,
            "a second picture, and a pong, of the last ten seconds",
        )

    def wait_for_seq(self, seq: int, *, timeout_s: float = 30.0) -> None:
        """Wait until it has made offer number ``seq``.

        Raises:
            WaitTimeoutError: It has not in time.
        """
        self._wait_unless_refused(lambda: self.seq >= seq, timeout_s, f"offer {seq}")

    def wait_for_pong(self, *, timeout_s: float = 30.0) -> None:
        """Wait until the kernel's side has answered a ping.

        Raises:
            WaitTimeoutError: It has not in time.
        """
        before = self._pongs
        self._wait_unless_refused(lambda: self._pongs > before, timeout_s, "a pong")

    # --- awaited -------------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncViewer:
        return AsyncViewer(self)

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.to_thread(self.close)

    # --- what comes, on the thread -------------------------------------------------------------

    def _begin(self) -> None:
        self._timing.begin()

    def _show(self, timestamp: int, frame: VideoFrame | None) -> None:
        with self._changing.change():
            super()._show(timestamp, frame)
            self._timing.see(timestamp, _now_ms())
            if self._newest_still and not is_picture_of(self._newest_still[0], timestamp):
                self._newest_still = None
            if frame is not None:
                self._newest = (timestamp, frame)
                for tap in self._taps:
                    tap.append(frame)

    def _take_still(self, timestamp: int, png: bytes) -> None:
        with self._changing.change():
            self._stills.append(png)
            self._n_stills += 1
            self._newest_still = (timestamp, png)

    def _hear_pong(self, pong: Pong) -> None:
        with self._changing.change():
            super()._hear_pong(pong)
            self._timing.hear(pong, _now_ms())

    # --- on the threads that wait --------------------------------------------------------------

    def _newer_than(self, seen: int) -> tuple[int, VideoFrame] | None:
        if self._newest is None or self.frame_count <= seen:
            return None
        return self.frame_count, self._newest[1]

    def _shown_after(
        self, seen: tuple[int, int]
    ) -> tuple[tuple[int, int], Callable[[], Picture]] | None:
        """Return the picture that is shown, if it is another than the one seen."""
        now = (self.frame_count, self._n_stills)
        if now == seen or (self._newest is None and self._newest_still is None):
            return None
        if self._newest_still is not None:
            return now, partial(Picture.of_still, self._newest_still[1])
        assert self._newest is not None
        name = f"frame {now[0]} of the video ({self.codec})"
        return now, partial(Picture.of_frame, self._newest[1], name)

    def _wait_unless_refused(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        def look_or_refuse() -> T | None:
            if (refusal := self.refusal) is not None:
                raise SignalError(refusal.problem, expected=refusal.expected, fix=refusal.fix)
            return look()

        return self._wait(look_or_refuse, timeout_s, what)


def _now_ms() -> float:
    return time.monotonic() * 1000


def _awaited(
    method: Callable[Concatenate[HeadlessViewer, P], T],
) -> Callable[Concatenate[AsyncViewer, P], Coroutine[Any, Any, T]]:
    @wraps(method)
    async def call(self: AsyncViewer, /, *args: P.args, **options: P.kwargs) -> T:
        __tracebackhide__ = True
        return await asyncio.to_thread(method, self.viewer, *args, **options)

    return call


class AsyncViewer:
    """The waits of a `HeadlessViewer`, each in a thread, so that the event loop goes on.

        async with connect(stream) as viewer:
            await viewer.assert_shows(expected)

    A wait that is cancelled ends for its caller at once; its thread ends when the viewer is closed,
    or at the wait's ``timeout_s``.

    Args:
        viewer: Closed by its own ``async with``.
    """

    def __init__(self, viewer: HeadlessViewer) -> None:
        self.viewer = viewer
        """The viewer itself: ``state``, ``codec``, ``frame_count`` and all that never waits."""

    assert_shows = _awaited(HeadlessViewer.assert_shows)
    close = _awaited(HeadlessViewer.close)
    fps = _awaited(HeadlessViewer.fps)
    frames = _awaited(HeadlessViewer.frames)
    latency_ms = _awaited(HeadlessViewer.latency_ms)
    next_frame = _awaited(HeadlessViewer.next_frame)
    next_still = _awaited(HeadlessViewer.next_still)
    vanish = _awaited(HeadlessViewer.vanish)
    wait_for_frames = _awaited(HeadlessViewer.wait_for_frames)
    wait_for_pong = _awaited(HeadlessViewer.wait_for_pong)
    wait_for_seq = _awaited(HeadlessViewer.wait_for_seq)
    wait_for_state = _awaited(HeadlessViewer.wait_for_state)
    wait_until = _awaited(HeadlessViewer.wait_until)

    def __repr__(self) -> str:
        return f"<AsyncViewer of {self.viewer!r}>"
