"""The viewers of one stream, from offer to close. Lives on the event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from gpuview.errors import ConnectTimeout, SignalError
from gpuview.media.internal_error import log_fault
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.carrier_packets import ViewerCarrier
from gpuview.protocol.media_messages import Viewers
from gpuview.protocol.stats import ViewerStats

__all__ = ["AnyViewer", "ViewerSet"]

logger = logging.getLogger("gpuview.media")


class AnyViewer(Protocol):
    """What sends one stream to one view, over any carrier."""

    @property
    def view(self) -> str: ...

    @property
    def carrier(self) -> ViewerCarrier: ...

    @property
    def is_paused(self) -> bool:
        """Whether its page wants no picture now."""

    def set_ceiling(self, max_bitrate_bps: int) -> None:
        """Never send more than this from now on."""

    def check(self, now_s: float) -> None:
        """Raise an error if it has to be closed.

        Raises:
            ConnectTimeout: It did not connect in time.
            SignalError: Its page has gone silent.
        """

    async def close(self) -> None:
        """End it. Safe to call twice."""

    def stats(self) -> ViewerStats:
        """Return its counters."""


class ViewerSet:
    """The viewers of one stream, by view id and carrier. Notifies the kernel of every change.

    A page that changes its carrier has two viewers for a while.

    Args:
        stream: The stream's name.
        send: Sends a message about the stream to the kernel.
    """

    def __init__(self, stream: str, send: Callable[[Viewers], None]) -> None:
        self.stream = stream
        self.is_closed = False
        self._send = send
        self._closing = BackgroundTasks()
        self._viewers: dict[tuple[str, ViewerCarrier], AnyViewer] = {}

    def get(self, view: str, carrier: ViewerCarrier = "webrtc") -> AnyViewer | None:
        return self._viewers.get((view, carrier))

    def __contains__(self, viewer: AnyViewer) -> bool:
        return self._viewers.get((viewer.view, viewer.carrier)) is viewer

    def __iter__(self) -> Iterator[AnyViewer]:
        return iter(list(self._viewers.values()))

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, viewer: AnyViewer) -> None:
        """Add a viewer; it replaces its view's earlier one over the same carrier."""
        key = (viewer.view, viewer.carrier)
        previous = self._viewers.get(key)
        self._viewers[key] = viewer
        if previous is not None:
            self._closing.spawn(self._close(previous))
        self._send_views()

    def remove(self, viewer: AnyViewer, reason: str) -> None:
        """Remove a viewer at once, and close its connection in the background."""
        if viewer in self:
            del self._viewers[viewer.view, viewer.carrier]
            logger.debug("view %s of stream %s closed: %s", viewer.view, self.stream, reason)
            self._send_views()
        self._closing.spawn(self._close(viewer))

    def remove_dead(self, now_s: float) -> None:
        """Remove the viewers that never connected or whose pages have gone silent."""
        for viewer in self:
            try:
                viewer.check(now_s)
            except ConnectTimeout as exc:
                logger.warning("%s", exc)
                self.remove(viewer, "it never connected")
            except SignalError as exc:
                self.remove(viewer, exc.problem)
            except Exception as exc:
                log_fault(exc)
                self.remove(viewer, "it could not be checked")

    def paused_changed(self) -> None:
        """Tell the kernel that a viewer's page wants no picture now, or wants one again."""
        self._send_views()

    async def close(self) -> None:
        """Close all connections, and wait until these and those of removed viewers are closed."""
        self.is_closed = True
        viewers, self._viewers = self._viewers, {}
        if viewers:
            self._send_views()
        for viewer in viewers.values():
            await self._close(viewer)
        await self._closing.finish()

    async def _close(self, viewer: AnyViewer) -> None:
        try:
            await viewer.close()
        except TimeoutError:
            logger.warning("view %s of stream %s did not close in time", viewer.view, self.stream)
        except Exception as exc:  # the other viewers and the stream still close
            log_fault(exc)

    def _send_views(self) -> None:
        views = list(dict.fromkeys(view for view, _ in self._viewers))
        seen = {viewer.view for viewer in self if not viewer.is_paused}
        self._send(Viewers(views=views, paused=[view for view in views if view not in seen]))

    def __repr__(self) -> str:
        return f"<ViewerSet {self.stream} {list(self._viewers)}>"
