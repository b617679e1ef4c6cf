"""What a congestion controller is told, what it asks for, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LinkState", "PacketReport", "Probe"]


@dataclass(frozen=True, slots=True)
class PacketReport:
    """What became of one packet, as the peer's feedback says."""

    sent_s: float
    """When it was sent, by our monotonic clock."""
    arrived_s: float | None
    """When it arrived, by the peer's clock: unwrapped, from any origin. None: it was lost."""
    nbytes: int
    """Its size on the wire."""
    probe: int | None = None
    """The number of the probe during which it was sent."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A short train of packets at a higher rate, which shows whether the link takes that rate.

    Every packet that is sent during the train belongs to it, video too.
    """

    number: int
    bitrate_bps: float
    """The rate to send at."""
    nbytes: int
    """Send at least so many bytes, in at least 5 packets."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What is known of a link, for statistics."""

    target_bps: float
    """What may be sent, everything included."""
    delay_bps: float
    """What the growth of delay allows."""
    loss_bps: float
    """What loss allows."""
    loss: float
    """The part of the packets that was lost lately, in [0, 1]."""
    lasting_loss: float
    """The same, over some seconds, without what a full queue has lost."""
    queue_s: float
    """How much longer packets take now than at the best of the last seconds."""
    is_overused: bool
    """Whether delay grows: more is sent than the link takes."""
    is_application_limited: bool
    """Whether so little is sent that it says nothing of what the link takes."""
