"""Answers or refuses offers, and exchanges the candidates that both sides find later."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gpuview.errors import SignalError
from gpuview.media.encode.fanout import Fanout
from gpuview.media.ice.network import Network
from gpuview.media.internal_error import log_fault, problem_of
from gpuview.media.tasks import BackgroundTasks
from gpuview.media.viewer import Viewer
from gpuview.media.viewer_set import ViewerSet
from gpuview.protocol.media_messages import Configure
from gpuview.protocol.page_messages import Answer, Candidates, Message, Offer, Problem, Refusal
from gpuview.webrtc import sdp
from gpuview.webrtc.address_rewrite import rewrite_answer, rewrite_candidates

__all__ = ["Negotiation", "is_new_offer", "no_stream", "refusal"]

logger = logging.getLogger("gpuview.media")

_SETTLE_S = 0.1  # the most time an answer waits for STUN and TURN servers
_SETTLE_RELAY_S = 2.0  # where only a relay may be used
_REMEMBERED_VIEWS = 256


Send = Callable[[Message], None]


@dataclass(slots=True)
class _Negotiated:
    """The newest offer of one view, and the reply once there is one."""

    offer: Offer
    reply: Answer | Refusal | None = None
    askers: list[Send] = field(default_factory=list)
    """The ways on which the offer came, which get the reply and later candidates."""

    def add_asker(self, asker: Send) -> None:
        if asker not in self.askers:
            self.askers.append(asker)

    def send(self, message: Message) -> None:
        for asker in tuple(self.askers):
            asker(message)


class Negotiation:
    """Answers the offers to one stream. Lives on the event loop.

    Args:
        configuration: The process-wide settings.
        fanout: The source of the stream's packets.
        viewers: The stream's viewers.
        has_webrtc: Whether any offer may be answered.
        open_network: Returns the network; the first call binds its socket.
        send_to_kernel: Sends a message about the stream to the kernel.
        tasks: Run the work that waits.
    """

    def __init__(
        self,
        configuration: Configure,
        fanout: Fanout,
        viewers: ViewerSet,
        *,
        has_webrtc: bool,
        open_network: Callable[[], Network],
        send_to_kernel: Callable[[Message], None],
        tasks: BackgroundTasks,
    ) -> None:
        self._configuration = configuration
        self._fanout = fanout
        self._viewers = viewers
        self._has_webrtc = has_webrtc
        self._open_network = open_network
        self._send_to_kernel = send_to_kernel
        self._tasks = tasks
        # Closed views are kept too: a late repeat of their offer must not look like a new view.
        self._views: OrderedDict[str, _Negotiated] = OrderedDict()

    def take(self, offer: Offer, asker: Send) -> None:
        """Answer or refuse a new offer; a repeated one gets the same reply again.

        Adds the viewer without waiting, because the page's candidates or its bye may follow the
        offer at once.

        Args:
            offer: The offer; a page may send it on several ways at once.
            asker: Sends a message on the way that this one came.

        Raises:
            GpuviewError: The offer is refused at once.
        """
        if not self._has_webrtc:
            raise SignalError(
                "the views of this stream use carriers other than WebRTC",
                expected="another carrier: a grid of ranks uses no other, nor may any view if the "
                "setting carriers leaves WebRTC out",
                fix="reload the page, or set GPUVIEW_CARRIERS",
            )
        known = self._views.get(offer.view)
        if is_new_offer(offer, known.offer if known else None):
            viewer = self._admit(offer)
            self._views[offer.view] = new = _Negotiated(offer, askers=[asker])
            self._views.move_to_end(offer.view)
            while len(self._views) > _REMEMBERED_VIEWS:
                self._views.popitem(last=False)
            self._tasks.spawn(self._reply(viewer, new))
        elif known is not None:
            known.add_asker(asker)
            if known.reply is not None:
                asker(known.reply)

    def forget(self, asker: Send) -> None:
        """Send nothing more on this way, which has ended."""
        for known in self._views.values():
            if asker in known.askers:
                known.askers.remove(asker)

    def take_candidates(self, message: Candidates) -> None:
        """Use a page's candidates, unless they belong to an older offer."""
        viewer = self._viewers.get(message.view)
        if isinstance(viewer, Viewer) and viewer.seq == message.seq:
            self._tasks.spawn(viewer.add_page_candidates(message.candidates))

    def send_all_candidates(self) -> None:
        """Send every page our candidates and problems if they have changed."""
        for viewer in self._viewers:
            try:
                if isinstance(viewer, Viewer):
                    self._send_candidates(viewer)
            except Exception as exc:  # the other viewers still get theirs
                log_fault(exc)

    def _send_candidates(self, viewer: Viewer) -> None:
        known = self._views.get(viewer.view)
        if viewer.last_sent is None or known is None:
            return
        message = self._all_candidates(viewer, self._open_network().servers.problems)
        if message != viewer.last_sent:
            viewer.last_sent = message
            known.send(message)

    def _admit(self, offer: Offer) -> Viewer:
        sdp.check_offer(offer.sdp)
        viewer = Viewer(
            offer,
            self._fanout,
            self._open_network(),
            lambda ended: self._viewers.remove(ended, "the connection ended"),
            self._viewers.paused_changed,
            self._send_to_kernel,
        )
        self._viewers.add(viewer)
        return viewer

    async def _reply(self, viewer: Viewer, negotiated: _Negotiated) -> None:
        try:
            negotiated.reply = await self._answer(viewer)
        except Exception as exc:
            negotiated.reply = refusal(negotiated.offer, problem_of(exc), self._viewers.stream)
            self._viewers.remove(viewer, "the offer was refused")
        negotiated.send(negotiated.reply)
        self._send_candidates(viewer)

    async def _answer(self, viewer: Viewer) -> Answer:
        network = self._open_network()
        is_relay_only = self._configuration.ice_transport_policy == "relay"
        await network.servers.settle(_SETTLE_RELAY_S if is_relay_only else _SETTLE_S)
        network.check_usable()
        self._check_wanted(viewer)
        answer = self._rewritten(await viewer.answer(), network)
        viewer.last_sent = self._all_candidates(viewer, [])
        return Answer(view=viewer.view, seq=viewer.seq, sdp=answer)

    def _check_wanted(self, viewer: Viewer) -> None:
        if self._viewers.is_closed:
            raise no_stream(self._viewers.stream)
        if viewer not in self._viewers:
            raise SignalError(
                f"view {viewer.view} has gone, or has made another offer since",
                expected="a page that still waits for this answer",
                fix="nothing; a page that comes back makes a new offer",
            )

    def _rewritten(self, answer: str, network: Network) -> str:
        rewritten = rewrite_answer(answer, network.public_host)
        logger.debug("the answer before rewriting:\n%s", sdp.redact(answer))
        logger.debug("the answer as sent:\n%s", sdp.redact(rewritten))
        for candidate in sdp.candidates_of(rewritten):
            logger.debug("our candidate: %s", candidate)
        return rewritten

    def _all_candidates(self, viewer: Viewer, problems: list[Problem]) -> Candidates:
        host = self._open_network().public_host
        candidates = rewrite_candidates(viewer.update_candidates(), host)
        return Candidates(
            view=viewer.view, seq=viewer.seq, candidates=candidates, problems=problems
        )

    def __repr__(self) -> str:
        return f"<Negotiation {self._viewers.stream} views={len(self._views)}>"


def is_new_offer(offer: Offer, known: Offer | None) -> bool:
    """Tell whether ``offer`` is new; False if it repeats the known one.

    Raises:
        SignalError: It is older than the known offer, or has its number but differs from it.
    """
    if known is None or offer.seq > known.seq:
        return True
    if offer == known:
        return False
    raise SignalError(
        f"offer {offer.seq} of view {offer.view} comes after offer {known.seq} of the same view",
        expected=f"seq > {known.seq}, or offer {known.seq} unchanged",
        fix="reload the page",
    )


def refusal(offer: Offer, problem: Problem, stream: str) -> Refusal:
    """Log the refusal of an offer, and return it."""
    logger.warning("view %s of stream %s refused: %s", offer.view, stream, problem.problem)
    return Refusal(
        view=offer.view,
        seq=offer.seq,
        problem=problem.problem,
        expected=problem.expected,
        fix=problem.fix,
    )


def no_stream(name: str) -> SignalError:
    return SignalError(
        f"there is no stream {name}",
        expected="an open GPUStream",
        fix="run the cell that makes the stream again",
    )
