"""The pages of one stream that are reached over a carrier other than WebRTC, and what they say.

A page has a connection of its own for each view. Over it, it may connect by WebRTC, as it does by
the widget's comm, or be sent the stream itself. Lives on the event loop.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpuview.errors import SignalError
from gpuview.media.carriers.connection import AnyConnection
from gpuview.media.carriers.grid_viewer import GridViewer
from gpuview.media.carriers.viewer import CarrierViewer
from gpuview.media.encode.choice import usable_codecs
from gpuview.media.encode.codec import Codec
from gpuview.media.encode.fanout import Fanout
from gpuview.media.encode.tiers import Tier
from gpuview.media.internal_error import problem_of
from gpuview.media.link.message_budget import Budget
from gpuview.media.negotiation import Negotiation, refusal
from gpuview.media.page_channel import PageChannel
from gpuview.media.viewer_set import ViewerSet
from gpuview.protocol.carrier_messages import Received, RequestKeyframe, Tiles, WantTier, Watch
from gpuview.protocol.carrier_packets import ViewerCarrier
from gpuview.protocol.cluster_messages import (
    Agreed,
    Synced,
    WantKeyframe,
    WantRate,
    WantStills,
    WatchTier,
)
from gpuview.protocol.interaction_messages import FROM_VIEW, FromView, Interaction, ToView
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.page_messages import (
    Ack,
    Bye,
    Candidates,
    GetPeerConfig,
    Message,
    Offer,
    PageLog,
    PeerConfig,
    Ping,
    Refusal,
    Status,
)
from gpuview.protocol.wire import decode_text

if TYPE_CHECKING:
    from gpuview.media.cluster.grid import Grid

__all__ = ["MAX_SESSIONS", "PageSession", "PageSessions"]

logger = logging.getLogger("gpuview.media")

MAX_SESSIONS = 256
"""Of one stream."""

_FROM_PAGE: tuple[type[Message], ...] = (
    Ack,
    Bye,
    Candidates,
    GetPeerConfig,
    Offer,
    PageLog,
    Ping,
    Received,
    RequestKeyframe,
    WantTier,
    Watch,
    *FROM_VIEW,
)
_FROM_NOTEBOOK: tuple[type[Message], ...] = (
    Agreed,
    Ping,
    Received,
    WantKeyframe,
    WantRate,
    WantStills,
    WatchTier,
    *FROM_VIEW,
)
"""What another machine's media process says, which stands for the pages of its notebook."""
_SILENCE_TIMEOUT_S: dict[ViewerCarrier, float] = {"socket": 8.0, "comm": 60.0, "cluster": math.inf}
# ipykernel 6 passes nothing on while a cell runs, but what is sent arrives: hence the minute. A
# notebook's silence ends the connection, and with it all of its sessions.
_MAX_MESSAGES_PER_S = 300.0
_GRID_ACKNOWLEDGED_EVERY_S = 0.02  # by each page: it has more packets than it may send messages
_MAX_FAULTS = 20
_MAX_VIEWS = 16  # that one connection speaks for


class PageSessions:
    """All such pages of one stream.

    Args:
        fanout: The source of the stream's packets.
        viewers: The stream's viewers.
        negotiation: Answers offers.
        send_to_kernel: Sends a message about the stream to the kernel.
    """

    def __init__(
        self,
        fanout: Fanout,
        viewers: ViewerSet,
        negotiation: Negotiation,
        send_to_kernel: Callable[[Message], None],
    ) -> None:
        self.fanout = fanout
        self.grid: Grid | None = None
        """If the stream is a grid of ranks."""
        self.viewers = viewers
        self.negotiation = negotiation
        self.send_to_kernel = send_to_kernel
        self.published: dict[type[Message], Message] = {}
        """The newest of each kind that is for every page."""
        self._sessions: set[PageSession] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, connection: AnyConnection, carrier: ViewerCarrier) -> PageSession:
        """Begin to hear a page.

        Raises:
            SignalError: There are too many.
        """
        if len(self._sessions) >= MAX_SESSIONS:
            raise SignalError(
                f"{MAX_SESSIONS} views of this stream are connected",
                expected="fewer views",
                fix="close other tabs that show it",
            )
        session = PageSession(connection, carrier, self)
        self._sessions.add(session)
        return session

    def discard(self, session: PageSession) -> None:
        """Forget a session whose connection has ended."""
        self._sessions.discard(session)

    @property
    def state(self) -> str:
        """What the stream is doing, as in `Status`."""
        status = self.published.get(Status)
        return status.state if isinstance(status, Status) else "waiting"

    def publish(self, message: Status | Interaction | Tiles) -> None:
        """Tell every page, now or when it comes."""
        self.published[type(message)] = message
        for session in self._sessions:
            session.send(message)

    def say(self, message: Synced) -> None:
        """Tell every page that is there something that nobody needs later."""
        for session in self._sessions:
            session.send(message)

    def tell(self, message: PeerConfig | Refusal | ToView) -> None:
        """Pass on what the kernel says to the view that it is for."""
        for session in self._sessions:
            if message.view in session.views:
                session.send(message)

    def remove_silent(self, now_s: float) -> None:
        """Close the connections of pages that have gone silent."""
        for session in list(self._sessions):
            session.check(now_s)

    def close(self) -> None:
        """Close every connection."""
        for session in list(self._sessions):
            session.close()

    def __repr__(self) -> str:
        return f"<PageSessions {len(self._sessions)}>"


class PageSession:
    """One page's connection. See `PageSessions.open`."""

    def __init__(
        self, connection: AnyConnection, carrier: ViewerCarrier, sessions: PageSessions
    ) -> None:
        self.views: set[str] = set()
        """The views that have said something to the kernel."""
        self._connection = connection
        self._carrier: ViewerCarrier = carrier
        self._sessions = sessions
        self._viewer: CarrierViewer | GridViewer | None = None
        picture = sessions.fanout.encodes
        self._channel = PageChannel(
            lambda: picture.picture_size,
            lambda: self._viewer.stats() if self._viewer else None,
            self._follow_paused,
        )
        self._heard_s = time.monotonic()
        self._budget = Budget(self._heard_s, _MAX_MESSAGES_PER_S)
        self._n_faults = 0

    def send(self, message: Message) -> None:
        """Send the page a message."""
        self._connection.send(message)

    def begin(self) -> None:
        """Tell the page what every page is told."""
        for message in self._sessions.published.values():
            self.send(message)

    def take(self, kind: int, content: bytes) -> None:
        """Act on a message of the page. Those beyond 300 a second are not read."""
        self._heard_s = time.monotonic()
        if not self._budget.spend(self._heard_s, 1):
            self._channel.n_refused += 1
            return
        try:
            if kind != TEXT:
                raise ValueError("pages send text only")
            kinds = _FROM_NOTEBOOK if self._carrier == "cluster" else _FROM_PAGE
            self._act(decode_text(content.decode(), *kinds))
        except (SignalError, ValueError) as exc:
            self._note_fault(exc)

    def check(self, now_s: float) -> None:
        """End the connection if its page has gone silent."""
        timeout_s = _SILENCE_TIMEOUT_S[self._carrier]
        if now_s - self._heard_s > timeout_s:
            logger.debug("a page's %s has been silent for %.0f s", self._carrier, timeout_s)
            self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def ended(self) -> None:
        """Free what belongs to the connection, which has ended."""
        self._sessions.discard(self)
        self._sessions.negotiation.forget(self.send)
        if self._viewer is not None and self._viewer in self._sessions.viewers:
            self._sessions.viewers.remove(self._viewer, f"its {self._carrier} has ended")

    def _act(self, message: Message) -> None:
        sessions, viewer = self._sessions, self._viewer
        match message:
            case Ping():
                self.send(self._channel.answer(message))
            case Received() if viewer is not None:
                viewer.take_received(message)
            case RequestKeyframe() if isinstance(viewer, GridViewer):
                viewer.request_keyframe(message.tile)
            case RequestKeyframe() if isinstance(viewer, CarrierViewer):
                viewer.request_keyframe()
            case WantTier() if isinstance(viewer, GridViewer):
                viewer.want_tier(Tier(message.tier), message.ranks)
            case Watch() | WatchTier():
                self._watch(message)
            case WantRate() if isinstance(viewer, CarrierViewer):
                viewer.want_rate(message)
            case WantKeyframe() if isinstance(viewer, CarrierViewer):
                viewer.request_keyframe_after(message.spacing_s)
            case WantStills() if isinstance(viewer, CarrierViewer):
                viewer.open_stills()
            case Offer():
                self._offer(message)
            case Candidates():
                sessions.negotiation.take_candidates(message)
            case Bye():
                if (known := sessions.viewers.get(message.view)) is not None:
                    sessions.viewers.remove(known, "the page sent a bye")
            case GetPeerConfig() | FromView():
                if self._learn_view(message.view):
                    sessions.send_to_kernel(message)
            case PageLog():
                sessions.send_to_kernel(message)

    def _learn_view(self, view: str) -> bool:
        """Note that a view is reached here; return whether that is so."""
        if view not in self.views and len(self.views) >= _MAX_VIEWS:
            if self._carrier != "cluster":
                return False
            self.views.clear()  # a notebook has any number, one after the other
        self.views.add(view)
        return True

    def _offer(self, offer: Offer) -> None:
        try:
            self._sessions.negotiation.take(offer, self.send)
        except Exception as exc:
            self.send(refusal(offer, problem_of(exc), self._sessions.viewers.stream))

    def _watch(self, message: Watch | WatchTier) -> None:
        if self._viewer is not None:
            raise SignalError(
                "this connection is sent a stream already",
                expected="one Watch on each connection",
                fix="open another connection",
            )
        try:
            codec = _codec(message, self._sessions.fanout.encoder)
        except Exception as exc:
            problem = problem_of(exc)
            parts = {each: getattr(problem, each) for each in problem.__struct_fields__}
            self.send(Refusal(view=message.view, seq=0, **parts))
            return
        viewer = self._viewer = self._new_viewer(message, codec)
        if viewer.is_paused:
            viewer.follow_paused()
        self._sessions.viewers.add(viewer)
        logger.info("view %s is sent the stream over its %s", message.view, self._carrier)

    def _new_viewer(self, message: Watch | WatchTier, codec: Codec) -> CarrierViewer | GridViewer:
        every_s = message.acknowledge_ms / 1000 if isinstance(message, Watch) else 0
        shared: dict[str, Any] = {
            "connection": self._connection,
            "channel": self._channel,
            "acknowledged_every_s": every_s,
            "on_failure": lambda _: self.close(),
        }
        if (grid := self._sessions.grid) is not None:
            shared["acknowledged_every_s"] = max(every_s, _GRID_ACKNOWLEDGED_EVERY_S)
            return GridViewer(message.view, self._carrier, codec, grid=grid, **shared)
        return CarrierViewer(
            message.view,
            self._carrier,
            codec,
            fanout=self._sessions.fanout,
            fixed_tier=Tier(message.tier) if isinstance(message, WatchTier) else None,
            **shared,
        )

    def _follow_paused(self) -> None:
        if self._viewer is not None:
            self._viewer.follow_paused()
            self._sessions.viewers.paused_changed()

    def _note_fault(self, exc: Exception) -> None:
        self._n_faults += 1
        self._channel.n_refused += 1
        if self._n_faults == 1:
            logger.warning("a page's message was refused: %s", exc)
        if self._n_faults > _MAX_FAULTS:
            self.close()

    def __repr__(self) -> str:
        return f"<PageSession {self._carrier} {self._viewer or 'without a viewer'}>"


def _codec(message: Watch | WatchTier, setting: EncoderSetting) -> Codec:
    """Return the codec that is asked for: if a page may be sent it, the one of WebRTC viewers.

    Raises:
        MediaError: This PyAV encodes no video.
        SignalError: It is not to be had.
    """
    name = message.codec
    if name == "JPEG":
        return Codec(name)
    usable = usable_codecs(setting)
    if name not in usable:
        raise SignalError(
            f"this media process does not encode {name}",
            expected=" or ".join(usable),
            fix="nothing; the page tries what is left",
        )
    if name != "H264":
        return Codec(name)
    return Codec(name, message.profile if isinstance(message, WatchTier) else "Main")
