"""One stream in the media process: what makes its packets, and all who get them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.packet_source import MakeEncodes
from gpuview.media.ice.network import Network
from gpuview.media.negotiation import Negotiation
from gpuview.media.page_sessions import PageSessions
from gpuview.media.publication_set import PublicationSet
from gpuview.media.recorder_set import RecorderSet
from gpuview.media.replays import Replays
from gpuview.media.tasks import BackgroundTasks
from gpuview.media.viewer import Viewer
from gpuview.media.viewer_set import ViewerSet
from gpuview.protocol.interaction_messages import FromView, GetReplay, ToView
from gpuview.protocol.media_messages import Configure, StreamHealth
from gpuview.protocol.page_messages import Message

if TYPE_CHECKING:
    from gpuview.media.cluster.follower import AnyFollower
    from gpuview.media.cluster.uplink import Uplink

__all__ = ["Stream"]


class Stream:
    """One stream, from `OpenStream` to `close`. Lives on the event loop.

    Args:
        name: Its name.
        make_encodes: Makes what makes its packets.
        configuration: The settings.
        has_webrtc: As for `Negotiation`.
        send: Sends the kernel a message about it.
        open_network: As for `Negotiation`.
        tasks: As for `Negotiation`.
    """

    def __init__(
        self,
        name: str,
        make_encodes: MakeEncodes,
        configuration: Configure,
        *,
        has_webrtc: bool,
        send: Callable[[Message], None],
        open_network: Callable[[], Network],
        tasks: BackgroundTasks,
    ) -> None:
        self.name = name
        self.send = send
        self.follower: AnyFollower | None = None
        """If its packets come from workers on other machines."""
        self.uplink: Uplink | None = None
        """If a notebook on another machine may watch it."""
        self.fanout = fanout = Fanout(make_encodes, configuration.encoder)
        self.viewers = viewers = ViewerSet(name, send)
        self.negotiation = Negotiation(
            configuration,
            fanout,
            viewers,
            has_webrtc=has_webrtc,
            open_network=open_network,
            send_to_kernel=self._hear,
            tasks=tasks,
        )
        self.recorders = RecorderSet(fanout, send, tasks)
        self.publications = PublicationSet(fanout, viewers, open_network, send)
        self.pages = PageSessions(fanout, viewers, self.negotiation, self._hear)
        self.replays = Replays(fanout, self.tell, configuration.replay_s)

    def tell(self, message: ToView) -> None:
        """Tell one view something, over the connection that it has."""
        viewer = self.viewers.get(message.view)
        if not (isinstance(viewer, Viewer) and viewer.tell(message)):
            self.pages.tell(message)

    def reap(self, now_s: float) -> None:
        """Let go of viewers and pages that have gone, and of what was kept for them."""
        self.viewers.remove_dead(now_s)
        self.pages.remove_silent(now_s)
        paused = {each.view for each in self.viewers if each.is_paused}
        self.replays.keep_for(paused, is_watched=len(self.viewers) > 0)

    def health(self) -> StreamHealth:
        """Return its counters for the jupyter-server extension."""
        return StreamHealth(
            name=self.name,
            state=self.pages.state,
            frames_taken=self.fanout.encodes.frames_taken,
            viewers=[viewer.stats() for viewer in self.viewers],
            encoders=self.fanout.encodes.stats(),
        )

    async def close(self) -> None:
        """Send everybody away, and free all resources."""
        if self.uplink is not None:
            await self.uplink.close()
        await self.replays.close()
        await self.recorders.close()
        self.pages.close()
        await self.viewers.close()
        self.fanout.close()

    def _hear(self, message: Message) -> None:
        """Take what a view says: to this process, to a worker, or to the kernel."""
        if isinstance(message, GetReplay):
            self.replays.ask(message)
        elif isinstance(message, FromView) and self.follower is not None:
            self.follower.say(message)
        else:
            self.send(message)

    def __repr__(self) -> str:
        return f"<Stream {self.name} {self.fanout}>"
