"""Streams and their viewers: offer in, answer or refusal out. Lives on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine

from gpuview.errors import (
    ConnectTimeout,
    GpuviewError,
    MediaError,
    NetworkError,
    SignalError,
)
from gpuview.media.encode.fanout import Fanout
from gpuview.media.ice.network import Network
from gpuview.media.ice.sockets import bind_sockets
from gpuview.media.ice.udp_mux import UdpMux
from gpuview.media.viewer import Viewer
from gpuview.protocol.messages import (
    Answer,
    Bye,
    Candidates,
    Configure,
    EncodeFailed,
    IceServers,
    Message,
    Offer,
    OpenStream,
    Problem,
    Refusal,
    Stats,
    Viewers,
    WantIceServers,
    is_new_offer,
)
from gpuview.protocol.ring import RingReader
from gpuview.protocol.stats import NetworkStats
from gpuview.webrtc import sdp
from gpuview.webrtc.rewrite import rewrite_answer, rewrite_candidates

__all__ = ["Hub"]

logger = logging.getLogger("gpuview.media")

_REAP_EVERY_S = 1.0
_SETTLE_S = 0.1  # the longest that an answer waits for STUN and TURN servers
_SETTLE_RELAY_S = 2.0  # where there is no other way than a relay
_REMEMBERED_VIEWS = 256

Send = Callable[[str, Message], None]


class _Stream:
    """One GPUStream's fan-out and viewers."""

    def __init__(self, fanout: Fanout) -> None:
        self.fanout = fanout
        self.viewers: dict[str, Viewer] = {}
        # The newest offer of each view, with its answer in the making: also of views that have
        # gone, so that a late repetition is not taken for a new view. Bounded.
        self.offers: OrderedDict[str, tuple[Offer, asyncio.Task[Message]]] = OrderedDict()

    def remember(self, offer: Offer, answer: asyncio.Task[Message]) -> None:
        self.offers[offer.view] = (offer, answer)
        self.offers.move_to_end(offer.view)
        while len(self.offers) > _REMEMBERED_VIEWS:
            self.offers.popitem(last=False)


class Hub:
    """All streams of one kernel.

    Args:
        send: Sends a message about a stream to the kernel.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._configuration = Configure()
        self._streams: dict[str, _Stream] = {}
        self._network: Network | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._reap())

    # --- what the kernel says -----------------------------------------------------------------

    def configure(self, configuration: Configure) -> None:
        """Set the process-wide settings; comes before the first stream."""
        self._configuration = configuration

    def open_stream(self, stream: str, message: OpenStream, event_fd: int) -> None:
        """Make a stream; the eventfd is owned from now on."""
        self._streams[stream] = _Stream(
            Fanout(
                event_fd,
                fps=message.fps,
                max_bitrate_bps=message.max_bitrate_bps,
                on_error=lambda error: self._send(stream, _encode_failed(error)),
            )
        )
        if self._configuration.has_ice_servers:
            # The servers are asked before the first viewer comes; it hears of a port's failing.
            with contextlib.suppress(NetworkError):
                self._open_network()

    def attach_ring(self, stream: str, ring: RingReader) -> None:
        """Take the stream's frames from ``ring`` from now on."""
        found = self._streams.get(stream)
        if found is None:
            ring.close()
        else:
            found.fanout.attach(ring)

    def offer(self, stream: str, offer: Offer) -> None:
        """Answer an offer, or refuse it; a repetition gets the same answer again."""
        try:
            answer = self._take_offer(stream, offer)
        except GpuviewError as exc:
            self._refuse(stream, offer, exc)
        else:
            self._spawn(self._reply(stream, offer, answer))

    def candidates(self, stream: str, message: Candidates) -> None:
        """Use a page's own addresses; those of an older offer are of no use any more."""
        viewer = self._viewers(stream).get(message.view)
        if viewer is not None and viewer.seq == message.seq:
            self._spawn(viewer.add_page_candidates(message.candidates))

    def take_ice_servers(self, message: IceServers) -> None:
        """Use these servers for our own side."""
        if self._network is not None:
            self._network.take_servers(message)

    def bye(self, stream: str, message: Bye) -> None:
        """Close a view's connection; a view that has none is not an error, as byes are repeated."""
        viewer = self._viewers(stream).get(message.view)
        if viewer is not None:
            self._spawn(self._close_viewer(stream, viewer, "the page said goodbye"))

    def close_stream(self, stream: str) -> None:
        """Send the stream's viewers away, and forget it."""
        self._spawn(self._close_stream(stream))

    def stats(self, stream: str, request: int) -> Stats:
        """Return the stream's counters."""
        found = self._streams.get(stream)
        return Stats(
            request=request,
            frames_taken=found.fanout.frames_taken if found else 0,
            viewers=[viewer.stats() for viewer in self._viewers(stream).values()],
            encoders=found.fanout.stats() if found else [],
            network=self._network.stats() if self._network else NetworkStats(),
        )

    async def close(self) -> None:
        """Close every stream and the socket."""
        for stream in list(self._streams):
            await self._close_stream(stream)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._network is not None:
            await self._network.close()
            self._network.mux.close()

    # --- offer -> answer ----------------------------------------------------------------------

    def _take_offer(self, stream: str, offer: Offer) -> asyncio.Task[Message]:
        """Return the answer in the making, which is the same one for a repeated offer.

        Without waiting: the page's candidates and its bye, which may come right after the offer,
        find its viewer.

        Raises:
            GpuviewError: The offer is refused.
        """
        found = self._find(stream)
        known, answer = found.offers.get(offer.view, (None, None))
        if is_new_offer(offer, known) or answer is None:
            viewer = self._admit(stream, found, offer)
            answer = asyncio.ensure_future(self._connect(stream, viewer, offer))
            found.remember(offer, answer)
        return answer

    def _admit(self, stream: str, found: _Stream, offer: Offer) -> Viewer:
        sdp.check_offer(offer.sdp)
        network = self._open_network()
        viewer = Viewer(offer, found.fanout, network, lambda ended: self._ended(stream, ended))
        previous = found.viewers.get(offer.view)
        found.viewers[offer.view] = viewer
        if previous is not None:
            self._spawn(self._close_viewer(stream, previous, "the page made a new offer"))
        self._tell_viewers(stream)
        return viewer

    async def _reply(self, stream: str, offer: Offer, answer: asyncio.Task[Message]) -> None:
        try:
            # Shielded, as the repetitions wait for the same answer.
            self._send(stream, await asyncio.shield(answer))
        except GpuviewError as exc:
            self._refuse(stream, offer, exc)
        viewer = self._viewers(stream).get(offer.view)
        if viewer is not None:
            self._tell_candidates(stream, viewer)

    def _refuse(self, stream: str, offer: Offer, error: GpuviewError) -> None:
        logger.warning("view %s of stream %s refused: %s", offer.view, stream, error)
        refusal = Refusal(
            view=offer.view,
            seq=offer.seq,
            problem=error.problem,
            expected=error.expected,
            fix=error.fix,
        )
        self._send(stream, refusal)

    async def _connect(self, stream: str, viewer: Viewer, offer: Offer) -> Message:
        network = self._open_network()
        try:
            await self._settle(network)
            self._check_wanted(stream, viewer)
            answer = self._rewritten(await viewer.answer(), network)
        except GpuviewError:
            await self._close_viewer(stream, viewer, "the offer was refused")
            raise
        viewer.told = self._all_candidates(viewer, [])
        return Answer(view=offer.view, seq=offer.seq, sdp=answer)

    def _check_wanted(self, stream: str, viewer: Viewer) -> None:
        if self._find(stream).viewers.get(viewer.view) is not viewer:
            raise SignalError(
                f"view {viewer.view} has gone, or has made another offer since",
                expected="a page that waits for this answer",
                fix="nothing; a page that comes back makes a new offer",
            )

    def _rewritten(self, answer: str, network: Network) -> str:
        shown = rewrite_answer(
            answer,
            public_ips=network.public_ips,
            port_map=network.port_map,
            keep_private=self._configuration.keep_private,
        )
        logger.debug("the answer as it was:\n%s", sdp.redact(answer))
        logger.debug("the answer as it is sent:\n%s", sdp.redact(shown))
        for candidate in sdp.candidates_of(shown):
            logger.debug("our candidate: %s", candidate)
        return shown

    async def _settle(self, network: Network) -> None:
        is_relay_only = self._configuration.ice_transport_policy == "relay"
        await network.settle(_SETTLE_RELAY_S if is_relay_only else _SETTLE_S)
        network.check_usable()

    def _open_network(self) -> Network:
        """Bind the socket for the first viewer; try again for the next one if that failed."""
        if self._network is None:
            sockets = bind_sockets(self._configuration.port_min, self._configuration.port_max)
            self._network = Network(
                UdpMux(asyncio.get_running_loop(), sockets),
                self._configuration,
                want_servers=lambda anew: self._send("", WantIceServers(anew=anew)),
                on_change=self._network_changed,
            )
        return self._network

    # --- candidates that come later -----------------------------------------------------------

    def _network_changed(self) -> None:
        for stream, found in self._streams.items():
            for viewer in found.viewers.values():
                self._tell_candidates(stream, viewer)

    def _tell_candidates(self, stream: str, viewer: Viewer) -> None:
        """Tell a page what it does not know yet of our side of its connection."""
        if viewer.told is None or self._network is None:
            return
        message = self._all_candidates(viewer, self._network.problems)
        if message != viewer.told:
            viewer.told = message
            self._send(stream, message)

    def _all_candidates(self, viewer: Viewer, problems: list[Problem]) -> Candidates:
        network = self._open_network()
        candidates = rewrite_candidates(
            viewer.enter_new_doors(),
            public_ips=network.public_ips,
            port_map=network.port_map,
            keep_private=self._configuration.keep_private,
        )
        return Candidates(
            view=viewer.view, seq=viewer.seq, candidates=candidates, problems=problems
        )

    # --- the viewers' end ---------------------------------------------------------------------

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(_REAP_EVERY_S)
            now_s = time.monotonic()
            for stream, found in list(self._streams.items()):
                for viewer in list(found.viewers.values()):
                    self._close_if_dead(stream, viewer, now_s)

    def _close_if_dead(self, stream: str, viewer: Viewer, now_s: float) -> None:
        try:
            viewer.check(now_s)
        except ConnectTimeout as exc:
            logger.warning("%s", exc)
            self._spawn(self._close_viewer(stream, viewer, "it never connected"))
        except SignalError as exc:
            self._spawn(self._close_viewer(stream, viewer, exc.problem))

    def _ended(self, stream: str, viewer: Viewer) -> None:
        self._spawn(self._close_viewer(stream, viewer, "the connection ended"))

    async def _close_viewer(self, stream: str, viewer: Viewer, reason: str) -> None:
        viewers = self._viewers(stream)
        if viewers.get(viewer.view) is viewer:
            del viewers[viewer.view]
            logger.debug("view %s of stream %s closed: %s", viewer.view, stream, reason)
            self._tell_viewers(stream)
        try:
            await viewer.close()
        except TimeoutError:
            logger.warning("view %s of stream %s did not close in time", viewer.view, stream)
        # aiortc's objects refer to each other, and hold 2.6 MB of packets for retransmission. Only
        # what was made since the start is looked at: some 5 ms.
        gc.collect()

    async def _close_stream(self, stream: str) -> None:
        # Forgotten first, so that no offer adds a viewer while the others are being closed.
        found = self._streams.pop(stream, None)
        if found is None:
            return
        for viewer in list(found.viewers.values()):
            await self._close_viewer(stream, viewer, "the stream was closed")
        found.fanout.close()

    def _find(self, stream: str) -> _Stream:
        found = self._streams.get(stream)
        if found is None:
            raise SignalError(
                f"there is no stream {stream}",
                expected="an open GPUStream",
                fix="run the cell that makes the stream again",
            )
        return found

    def _viewers(self, stream: str) -> dict[str, Viewer]:
        found = self._streams.get(stream)
        return found.viewers if found else {}

    def _tell_viewers(self, stream: str) -> None:
        self._send(stream, Viewers(views=list(self._viewers(stream))))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("gpuview failed inside, please report it", exc_info=exc)

    def __repr__(self) -> str:
        counts = {stream: len(found.viewers) for stream, found in self._streams.items()}
        return f"<Hub viewers={counts} network={self._network}>"


def _encode_failed(error: MediaError | None) -> EncodeFailed:
    if error is None:
        return EncodeFailed(problem="", expected="", fix="")
    return EncodeFailed(problem=error.problem, expected=error.expected, fix=error.fix)
