"""The publications of one stream. Lives on the event loop."""

from __future__ import annotations

from collections.abc import Callable

from gpuview.errors import NetworkError
from gpuview.media.encode.fanout import Fanout
from gpuview.media.ice.network import Network
from gpuview.media.internal_error import problem_of
from gpuview.media.viewer_set import ViewerSet
from gpuview.media.whip.publication import Publication
from gpuview.protocol.media_messages import PublishingChanged, StartPublishing, StopPublishing

__all__ = ["PublicationSet"]


class PublicationSet:
    """The publications of one stream, which are viewers of it.

    Args:
        fanout: Gives the packets.
        viewers: The stream's viewers.
        open_network: Returns the network; the first call binds its socket.
        send: Tells the kernel what each is doing.
    """

    def __init__(
        self,
        fanout: Fanout,
        viewers: ViewerSet,
        open_network: Callable[[], Network],
        send: Callable[[PublishingChanged], None],
    ) -> None:
        self._fanout = fanout
        self._viewers = viewers
        self._open_network = open_network
        self._send = send
        self._publications: dict[int, Publication] = {}

    def start(self, message: StartPublishing) -> None:
        """Publish, until the publication is stopped or refused; does nothing if it has begun."""
        number = message.publication
        if number in self._publications:
            return  # told again, as this process has just replaced another
        try:
            network = self._open_network()
        except NetworkError as exc:
            self._send(
                PublishingChanged(publication=number, state="ended", problem=problem_of(exc))
            )
            return

        def ended(publication: Publication) -> None:
            del self._publications[number]
            self._viewers.remove(publication, "the ingest refuses it")

        publication = self._publications[number] = Publication(
            message,
            self._fanout,
            network,
            report=self._send,
            on_changed=self._viewers.paused_changed,
            on_ended=ended,
        )
        self._viewers.add(publication)

    def stop(self, message: StopPublishing) -> None:
        """End a publication in the background; does nothing if it has ended."""
        publication = self._publications.pop(message.publication, None)
        if publication is not None:
            self._viewers.remove(publication, "it is published no more")
