"""The kernel's end of the signalling with the pages of one stream.

A page writes its offer into the ``offers`` trait, and repeats it as a custom message until it is
answered, because trait writes are throttled and can be lost. Both may arrive on any thread. So
every message may be repeated, and is handled without waiting: it goes on to the media process, to
`PeerConfigs` or to the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from gpuview.errors import GpuviewError, SignalError
from gpuview.protocol.carrier_messages import (
    CarrierClose,
    CarrierClosed,
    CarrierData,
    CarrierOpen,
    CarrierText,
)
from gpuview.protocol.interaction_messages import FROM_VIEW, FromView, ToView
from gpuview.protocol.page_messages import (
    Ack,
    Answer,
    Bye,
    Candidates,
    GetPeerConfig,
    KeepsViews,
    Message,
    Offer,
    PageLog,
    PeerConfig,
    Problem,
    Record,
    Refusal,
    Room,
)
from gpuview.protocol.wire import from_wire, to_wire
from gpuview.settings import Settings
from gpuview.signalling.peer_config import PeerConfigs
from gpuview.signalling.pending_replies import PendingReplies
from gpuview.signalling.rate_limit import RateLimit

__all__ = ["Pages"]

logger = logging.getLogger("gpuview")
page_logger = logging.getLogger("gpuview.page")

_TUNNEL = (CarrierOpen, CarrierText, CarrierClose)
_FROM_PAGES: tuple[type[Message], ...] = (
    Ack,
    Bye,
    Candidates,
    GetPeerConfig,
    KeepsViews,
    Offer,
    PageLog,
    Record,
    Room,
    *_TUNNEL,
    *FROM_VIEW,
)
_UNANSWERED: tuple[type[Message], ...] = (Candidates, PageLog, *FROM_VIEW)
_WITHOUT_REPLY = [each.__name__ for each in _UNANSWERED]
# A reply keeps the next cell waiting, for milliseconds. To refuse a message in silence takes 16 us;
# ipykernel takes 0.45 ms to receive one.
_FAULTS, _FAULTS_PER_S = 20, 2.0


class Widget(Protocol):
    """The part of a widget that `Pages` uses."""

    answers: Any

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        """Send a custom message to the pages."""

    def send_state(self, key: str) -> None:
        """Send a trait to the pages, changed or not."""

    def views_are_kept(self) -> None:
        """A page replaces an output without drawing its view anew."""

    def record_by_view(self, is_on: bool) -> None:
        """A page begins or ends its recording. Must not wait."""

    def arrange_for(self, width: int) -> None:
        """A view has so much room, in CSS pixels. Must not wait."""

    def interact(self, message: FromView, reply: Callable[[ToView], None]) -> None:
        """A view says something about the picture; what is told it goes back the same way. Must not
        wait."""


class Media(Protocol):
    """The part of a stream's handle that `Pages` uses."""

    def send(self, message: Message) -> None:
        """Send a message to the media process."""

    def open_tunnel(self, view: str) -> bool:
        """Open a page's tunnel to the media process, if it can be."""

    def send_through_tunnel(self, view: str, text: str) -> bool:
        """Send a page's message through its tunnel, if it has one."""

    def close_tunnel(self, view: str) -> None:
        """Close a page's tunnel, if it has one."""


class Pages:
    """Receives the pages' messages, and keeps replies until they are acknowledged. Any thread.

    Args:
        settings: The stream's settings.
        widget: The stream's widget.
        media: The way to the media process.
    """

    def __init__(self, settings: Settings, widget: Widget, media: Media) -> None:
        self._widget = widget
        self._media = media
        self._allows_comm = "comm" in settings.carriers
        self._wants_log = settings.log == "debug"
        self._lock = threading.RLock()  # guards the replies, and the order of writes to the trait
        self._replies = PendingReplies()
        self._faults = RateLimit(burst=_FAULTS, per_s=_FAULTS_PER_S)
        # Apart from those: what a page says while its tunnel ends is no fault.
        self._without_tunnel = RateLimit(burst=_FAULTS, per_s=_FAULTS_PER_S)
        self._peer_configs = PeerConfigs(settings, self.send)
        self._asked_peer_configs = PeerConfigs(settings, self._reply_by_media)

    @property
    def need_peer_config(self) -> bool:
        """Whether a page must send `GetPeerConfig` before it connects."""
        return self._peer_configs.are_needed

    def read(self, data: object) -> None:
        """Act on a page's message, or refuse it on the page and in the log."""
        try:
            self._act(from_wire(data, *_FROM_PAGES))
        except GpuviewError as exc:
            self._refuse(data, exc)

    def asked(self, message: GetPeerConfig | PageLog | FromView) -> None:
        """Act on what a page says by the media process, which gets the reply."""
        match message:
            case GetPeerConfig():
                self._asked_peer_configs.answer(message)
            case Room():
                self._widget.arrange_for(message.width)
            case PageLog():
                self._log(message)
            case FromView():
                self._widget.interact(message, self._reply_by_media)

    def send(self, message: Message) -> None:
        """Send a custom message."""
        self._widget.send(to_wire(message))

    def carried(self, view: str, content: str | bytes) -> None:
        """Send a page what came through its tunnel."""
        if isinstance(content, str):
            self.send(CarrierData(view=view, text=content))
        else:
            self._widget.send(to_wire(CarrierData(view=view)), buffers=[content])

    def carrier_closed(self, view: str) -> None:
        """Tell a page that its tunnel has ended."""
        self.send(CarrierClosed(view=view))

    def reply(self, message: Answer | Refusal) -> None:
        """Keep the reply to an offer until its page acknowledges it."""
        with self._lock:
            earlier = self._replies.answers
            is_awaited = self._replies.take_reply(message)
            if is_awaited and self._replies.answers == earlier:
                self._widget.send_state("answers")  # the page missed it: it repeats its offer
                return
            self._sync_answers()
        if isinstance(message, Refusal):
            logger.warning("view %s was refused: %s", message.view, _in_one_line(message))
            if not is_awaited:  # for an older offer, or another offer with the same number
                self.send(message)

    def restore(self, names: Collection[str]) -> None:
        """Send traits again after a page wrote them, unless pages do that all the time."""
        for name in names:
            if self._is_worth_a_reply(f"a page wrote {name}, which only the kernel does"):
                self._widget.send_state(name)

    def forget_answers_but(self, views: Collection[str]) -> None:
        """Withdraw the answers to all other views."""
        with self._lock:
            self._replies.forget_answers_but(views)
            self._sync_answers()

    def forget_all(self) -> None:
        """Withdraw all replies: the stream is closed."""
        with self._lock:
            self._replies = PendingReplies()
            self._sync_answers()

    def _act(self, message: Message) -> None:
        match message:
            case Offer() | Ack() | Bye():
                with self._lock:
                    self._replies.take(message)
                    self._sync_answers()
                    if not isinstance(message, Ack):
                        self._media.send(message)
            case Candidates():
                self._take_candidates(message)
            case GetPeerConfig():
                self._peer_configs.answer(message)
            case KeepsViews():
                self._widget.views_are_kept()
            case Record():
                self._widget.record_by_view(message.is_on)
            case Room():
                self._widget.arrange_for(message.width)
            case PageLog():
                self._log(message)
            case FromView():
                self._widget.interact(message, self.send)
            case CarrierOpen():
                if not (self._allows_comm and self._media.open_tunnel(message.view)):
                    self._say_without_tunnel(message.view)
            case CarrierText():
                if not self._media.send_through_tunnel(message.view, message.text):
                    self._say_without_tunnel(message.view)
            case CarrierClose():
                self._media.close_tunnel(message.view)

    def _say_without_tunnel(self, view: str) -> None:
        """Tell a page that it has no tunnel, unless pages are told that all the time."""
        with self._lock:
            if self._without_tunnel.stops(time.monotonic()):
                return
        self.carrier_closed(view)

    def _reply_by_media(self, message: PeerConfig | Refusal | ToView) -> None:
        try:
            self._media.send(message)
        except SignalError as exc:
            logger.warning("view %s gets no %s: %s", message.view, type(message).__name__, exc)

    def _log(self, message: PageLog) -> None:
        if self._wants_log:
            page_logger.debug("view %s: %s", message.view, _printable(message.text))

    def _take_candidates(self, message: Candidates) -> None:
        if message.candidates:
            self._media.send(
                Candidates(view=message.view, seq=message.seq, candidates=message.candidates)
            )
        with self._lock:
            problems = self._replies.take_problems(message)
        for problem in problems:
            text = _printable(_in_one_line(problem))
            logger.warning("the page of view %s reports: %s", message.view, text)

    def _sync_answers(self) -> None:
        self._widget.answers = self._replies.answers

    def _refuse(self, data: object, error: GpuviewError) -> None:
        if not self._is_worth_a_reply(f"a page's message was refused: {error}"):
            return
        fields = data if isinstance(data, dict) else {}
        if fields.get("type") in _WITHOUT_REPLY:
            return  # the page would take it for the reply to its offer
        view, seq = fields.get("view"), fields.get("seq")
        self.send(
            Refusal(
                view=view if isinstance(view, str) else "",
                seq=seq if isinstance(seq, int) else 0,
                problem=error.problem,
                expected=error.expected,
                fix=error.fix,
            )
        )

    def _is_worth_a_reply(self, fault: str) -> bool:
        """Log a page's fault, and tell whether to answer; neither after too many."""
        with self._lock:
            if self._faults.stops(time.monotonic()):
                return False
            n_dropped = self._faults.take_stopped()
        before = f"{n_dropped} more faults of pages were not answered; " if n_dropped else ""
        logger.warning("%s%s", before, fault)
        return True


def _in_one_line(words: Problem | Refusal) -> str:
    return f"{words.problem} (expected: {words.expected}; try: {words.fix})"


def _printable(text: str) -> str:
    """Return a page's text in a form that cannot imitate another log record."""
    lines = (
        "".join(char if char.isprintable() else "?" for char in line) for line in text.split("\n")
    )
    return "\n    ".join(lines)
