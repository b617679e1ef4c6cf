"""What the media process counts, from there to the user. Each class is a part of a message."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["EncoderStats", "NetworkStats", "RecordingCounters", "ViewerStats"]


class ViewerStats(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One viewer's counters."""

    view: str
    carrier: str = "webrtc"
    """``"webrtc"``, ``"socket"`` or ``"comm"``; ``"cluster"``: a notebook on another machine."""
    state: str
    """W3C ``connectionState``: new, connecting, connected, failed, closed."""
    codec: str
    """``"H264 Main"`` for example; empty before anything was sent."""
    local: str
    """Our end of the candidate pair, as ``type address:port``; empty before there is a pair."""
    remote: str
    """The page's end."""
    frames_sent: int
    frames_dropped: int
    estimate_bps: float = 0.0
    """What its link takes, everything included; 0 before anything was sent."""
    sent_bps: float = 0.0
    """What was sent in the last second, everything included."""
    loss: float = 0.0
    """The part of the packets that was lost lately, 0 to 1."""
    round_trip_ms: float | None = None
    """None until its page has said something of what was sent."""
    playout_delay_ms: float = 0.0
    """How long its page holds each picture back, at least: where a relay by TCP stalls."""
    tier: str = ""
    """The size of its pictures: ``"full"``, ``"half"`` or ``"quarter"``; empty if it differs among
    the tiles of a grid."""
    quantiser: int | None = None
    """Of the last frame sent: 0 to 51 in H.264, 0 to 63 in VP8, 3 to 31 in JPEG, coarser upwards.
    None: unknown."""
    latency_p50_ms: float | None = None
    """From the capture of a frame until it was on the page's screen, over the last ten seconds, as
    the page measured it; None if it does not know."""
    latency_p95_ms: float | None = None
    messages_refused: int = 0
    """What its page said that was malformed or too much, and had no effect."""


class EncoderStats(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The counters of one codec and size that viewers use."""

    codec: str
    width: int
    """Pixels; 0 while no encoder is open."""
    height: int
    frames: int
    keyframes: int
    nbytes: int
    tier: str = "full"
    """``full``, ``half`` or ``quarter``: the part of the picture's sides that is sent to viewers
    with a poor link."""
    target_bps: int = 0
    """The bitrate that it may use."""
    quantiser: int | None = None
    """Of the last frame: 0 to 51 for H.264, 0 to 63 for VP8, coarser upwards."""
    encoder: str = ""
    """``x264``, ``nvenc``, ``vp8`` or ``jpeg``; ``worker`` on another machine; empty while none is
    open."""
    encoder_reason: str = ""
    """Why no better encoder is used; empty if the best one is."""
    why_no_h264: str = ""
    """Why these viewers get VP8 or JPEG; empty if they get H.264."""


class NetworkStats(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """How viewers reach the media process; the same for all streams of a kernel."""

    port: int | None = None
    """The UDP port that all viewers share; None before the first viewer."""
    public_ips: list[str] = []
    reflexive: list[str] = []
    """How STUN servers see the port, as ``address:port``."""
    relay: str = ""
    """The TURN relay, as ``address:port``; empty without one."""
    relay_url: str = ""
    problems: list[str] = []
    """What is wrong with the STUN and TURN servers."""
    dropped_datagrams: dict[str, int] = {}
    """Datagrams that came to the port and were not for us, by reason."""


class RecordingCounters(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a recording has written since `StartRecording`."""

    files: list[int] = []
    """The numbers of its files, see `gpuview.protocol.recording`."""
    frames: int = 0
    """The pictures in them; one that stands still counts once."""
    packets_dropped: int = 0
    """The packets that the disk was too slow for."""
    nbytes: int = 0
    """The size of the files."""
