"""All streams of one kernel, and its messages about them. Lives on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiortc import RTCCertificate

from gpuview.errors import NetworkError
from gpuview.media.encode.choice import find_encoders
from gpuview.media.encode.fanout import encoding_frames
from gpuview.media.encode.loop import EncodeLoop
from gpuview.media.encode.packet_source import Encodes, MakeEncodes
from gpuview.media.ice.network import Network, hosts_to_bind
from gpuview.media.ice.server_session import ServerSession
from gpuview.media.ice.sockets import bind_sockets
from gpuview.media.ice.udp_mux import UdpMux
from gpuview.media.internal_error import problem_of
from gpuview.media.negotiation import no_stream, refusal
from gpuview.media.page_connections import PageConnections
from gpuview.media.stream import Stream
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.cluster_messages import JoinRun, ListenForWorkers, OpenRun, Synced
from gpuview.protocol.interaction_messages import (
    FROM_VIEW,
    TO_VIEW,
    FromView,
    Interaction,
    ToView,
)
from gpuview.protocol.media_messages import (
    AttachRing,
    CloseStream,
    Configure,
    DetachRing,
    EncodeFailed,
    GetStats,
    IceServers,
    OpenCarrier,
    OpenStream,
    SetLimits,
    StartPublishing,
    StartRecording,
    Stats,
    StopPublishing,
    StopRecording,
    WantIceServers,
)
from gpuview.protocol.page_messages import (
    Bye,
    Candidates,
    Message,
    Offer,
    PeerConfig,
    Problem,
    Refusal,
    Status,
)
from gpuview.protocol.stats import NetworkStats

if TYPE_CHECKING:
    from gpuview.media.cluster.runs import Runs

__all__ = ["FROM_KERNEL", "Streams"]

FROM_KERNEL: tuple[type[Message], ...] = (
    AttachRing,
    Bye,
    Candidates,
    CloseStream,
    Configure,
    DetachRing,
    GetStats,
    IceServers,
    Interaction,
    JoinRun,
    ListenForWorkers,
    Offer,
    OpenCarrier,
    OpenRun,
    OpenStream,
    PeerConfig,
    Refusal,
    SetLimits,
    StartPublishing,
    StartRecording,
    Status,
    StopPublishing,
    StopRecording,
    Synced,
    *FROM_VIEW,
    *TO_VIEW,
)
"""The messages that `Streams.receive` takes."""

_REAP_EVERY_S = 1.0
_NO_PROBLEM = Problem(problem="", expected="", fix="")


class Streams:
    """All streams of one kernel.

    Args:
        send: Sends a message about a stream to the kernel.
    """

    def __init__(self, send: Callable[[str, Message], None]) -> None:
        self._send = send
        self._configuration = Configure()
        self._streams: dict[str, Stream] = {}
        self._network: Network | None = None
        self._page_connections = PageConnections(self._streams)
        self._runs: Runs | None = None
        self._closing = BackgroundTasks()  # of streams; never cancelled
        self._tasks = BackgroundTasks()
        self._tasks.spawn(self._reap())

    def receive(self, name: str, message: Message, fds: list[int]) -> None:
        """Act on a message from the kernel. Never waits.

        Args:
            name: The stream's name; empty for a message about no stream. Only an offer needs the
                stream to be open: byes are repeated, and streams close at any time.
            message: The message.
            fds: The descriptors that came with it; those that are kept are removed.
        """
        stream = self._streams.get(name)
        match message:
            case Configure():
                self._configuration = message
                self._tasks.spawn(asyncio.to_thread(_prepare, message))
                if message.socket_path:
                    self._page_connections.listen(Path(message.socket_path))
            case IceServers():
                if self._network is not None:
                    self._network.servers.take(message)
            case OpenStream():
                self._open_stream(name, message, fds)
            case ListenForWorkers():
                self._send("", self._known_runs().listen(message))
            case OpenRun() if stream is not None:
                self._open_run(name, stream, message)
            case JoinRun() if stream is not None:
                self._join(stream, message)
            case FromView() if stream is not None and stream.follower is not None:
                stream.follower.say(message)
            case GetStats():
                self._send(name, self._stats(stream, message.request))
            case Offer():
                self._offer(name, stream, message)
            case OpenCarrier() if stream is not None:
                sock = socket.socket(fileno=fds.pop())
                self._tasks.spawn(self._page_connections.take(stream, sock))
            case Status() | Interaction() if stream is not None:
                stream.pages.publish(message)
            case Synced() if stream is not None:
                stream.pages.say(message)
            case PeerConfig() | Refusal() if stream is not None:
                stream.pages.tell(message)
            case ToView() if stream is not None:
                stream.tell(message)
            case AttachRing() | DetachRing() if stream is not None:
                _change_ring(stream.fanout.encodes, message, fds)
            case SetLimits() if stream is not None:
                max_bitrate_bps = self._max_bitrate_bps(message)
                stream.fanout.encodes.set_limits(message.fps, max_bitrate_bps)
                for each in stream.viewers:
                    each.set_ceiling(max_bitrate_bps)
            case StartRecording() if stream is not None:
                stream.recorders.start(message, fds)
            case StopRecording() if stream is not None:
                stream.recorders.stop(message)
            case StartPublishing() if stream is not None:
                stream.publications.start(message)
            case StopPublishing() if stream is not None:
                stream.publications.stop(message)
            case Candidates() if stream is not None:
                stream.negotiation.take_candidates(message)
            case Bye() if stream is not None:
                if (viewer := stream.viewers.get(message.view)) is not None:
                    stream.viewers.remove(viewer, "the page sent a bye")
            case CloseStream() if stream is not None:
                del self._streams[name]
                self._let_go(stream)

    async def close(self) -> None:
        """Close every stream and the socket."""
        await self._closing.finish()
        while self._streams:
            _, stream = self._streams.popitem()
            await stream.close()
        self._page_connections.close()
        await self._tasks.cancel()
        if self._runs is not None:
            await self._runs.close()
        if self._network is not None:
            await self._network.servers.close()
            self._network.mux.close()

    def _open_stream(self, name: str, message: OpenStream, fds: list[int]) -> None:
        make_encodes = encoding_frames(
            fds[0],
            fps=message.fps,
            max_bitrate_bps=self._max_bitrate_bps(message),
            encoder=self._configuration.encoder,
            on_error=partial(self._send_error, name),
        )
        self._streams[name] = self._new_stream(name, make_encodes)
        fds.clear()  # the stream owns the eventfd now

    def _new_stream(
        self, name: str, make_encodes: MakeEncodes, *, has_webrtc: bool = True
    ) -> Stream:
        configuration = self._configuration
        has_webrtc = has_webrtc and configuration.has_webrtc
        stream = Stream(
            name,
            make_encodes,
            configuration,
            has_webrtc=has_webrtc,
            send=partial(self._send, name),
            open_network=self._open_network,
            tasks=self._tasks,
        )
        if configuration.has_ice_servers and has_webrtc:
            # Query the servers before the first viewer comes. If no port is free now, that viewer's
            # offer is refused.
            with contextlib.suppress(NetworkError):
                self._open_network()
        return stream

    def _send_error(self, name: str, error: Problem | None) -> None:
        error = error or _NO_PROBLEM
        failed = EncodeFailed(problem=error.problem, expected=error.expected, fix=error.fix)
        self._send(name, failed)

    def _let_go(self, stream: Stream) -> None:
        """Close a stream in the background."""
        if self._runs is not None and stream.follower is not None:
            self._runs.discard(stream.follower)
        self._closing.spawn(stream.close())

    def _max_bitrate_bps(self, limits: OpenStream | SetLimits) -> int:
        return min(limits.max_bitrate_bps, self._configuration.max_bitrate_bps or sys.maxsize)

    def _offer(self, name: str, stream: Stream | None, offer: Offer) -> None:
        try:
            if stream is None:
                raise no_stream(name)
            stream.negotiation.take(offer, stream.send)
        except Exception as exc:
            self._send(name, refusal(offer, problem_of(exc), name))

    def _stats(self, stream: Stream | None, request: int) -> Stats:
        network = self._network.stats() if self._network is not None else NetworkStats()
        if stream is None:
            return Stats(request=request, network=network)
        encodes = stream.fanout.encodes
        return Stats(
            request=request,
            frames_taken=encodes.frames_taken,
            viewers=[viewer.stats() for viewer in stream.viewers],
            encoders=encodes.stats(),
            replay_nbytes=stream.replays.nbytes,
            network=network,
        )

    def _open_network(self) -> Network:
        """Return the network. Binds its socket at the first call, and again after a failure."""
        if self._network is None:
            configuration = self._configuration
            sockets = bind_sockets(
                configuration.port_min, configuration.port_max, hosts_to_bind(configuration)
            )
            mux = UdpMux(asyncio.get_running_loop(), sockets)
            servers = ServerSession(
                mux,
                configuration,
                request_servers=lambda anew: self._send("", WantIceServers(anew=anew)),
                on_change=self._network_changed,
            )
            self._network = Network(mux, configuration, servers)
        return self._network

    def _network_changed(self) -> None:
        for stream in self._streams.values():
            stream.negotiation.send_all_candidates()

    # --- workers on other machines --------------------------------------------------------------

    def _known_runs(self) -> Runs:
        if self._runs is None:
            from gpuview.media.cluster.runs import Runs

            self._runs = Runs()
        return self._runs

    def _open_run(self, name: str, stream: Stream, message: OpenRun) -> None:
        """Show workers' packets in place of frames; who has come meanwhile comes again."""
        from gpuview.media.run_streams import stream_of_run

        max_bitrate_bps = stream.fanout.encodes.max_bitrate_bps
        self._let_go(stream)
        stream = self._streams[name] = stream_of_run(
            message,
            partial(self._new_stream, name),
            max_bitrate_bps=max_bitrate_bps,
            encoder=self._configuration.encoder,
            on_error=partial(self._send_error, name),
        )
        assert stream.follower is not None
        self._known_runs().open(stream.follower)

    def _join(self, stream: Stream, message: JoinRun) -> None:
        """Let a notebook watch a stream; a second message replaces the first."""
        from gpuview.media.cluster.uplink import Uplink

        if stream.uplink is not None:
            self._closing.spawn(stream.uplink.close())
        stream.uplink = Uplink(message, stream.pages, stream.send)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(_REAP_EVERY_S)
            for stream in list(self._streams.values()):
                stream.reap(time.monotonic())

    def __repr__(self) -> str:
        counts = {name: len(stream.viewers) for name, stream in self._streams.items()}
        return f"<Streams viewers={counts} network={self._network}>"


def _change_ring(encodes: Encodes, message: AttachRing | DetachRing, fds: list[int]) -> None:
    """Take another ring, or none; a stream of packets has no use for one."""
    if not isinstance(encodes, EncodeLoop):
        return
    if isinstance(message, AttachRing):
        encodes.attach(fds.pop())
    else:
        encodes.detach()


def _prepare(configuration: Configure) -> None:
    """Do what the first viewer would wait for: load the cryptography, and probe the encoders."""
    RTCCertificate.generateCertificate()
    find_encoders(configuration.encoder)
