"""The messages between the kernel and the media process, and to the jupyter-server extension.

They are as those of `gpuview.protocol.page_messages`, but no page reads or writes them. The kernel
and the media process talk over a socket pair, where each message carries the name of its stream:
see `gpuview.protocol.wire`. The extension may ask about the media process as a whole, and is
answered by Health.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from gpuview.protocol.page_messages import IceServer, Message, Problem, ViewId
from gpuview.protocol.stats import EncoderStats, NetworkStats, RecordingCounters, ViewerStats

__all__ = [
    "AttachRing",
    "CloseStream",
    "Configure",
    "DetachRing",
    "EncodeFailed",
    "EncoderSetting",
    "GetStats",
    "Health",
    "IceServers",
    "Log",
    "OpenCarrier",
    "OpenStream",
    "PublishingChanged",
    "PublishingState",
    "Ready",
    "RecordingEnded",
    "RecordingProgress",
    "SetLimits",
    "StartPublishing",
    "StartRecording",
    "Stats",
    "StopPublishing",
    "StopRecording",
    "StreamHealth",
    "Viewers",
    "WantIceServers",
]


# --- kernel -> media process ------------------------------------------------------------------


EncoderSetting = Literal["auto", "x264", "nvenc", "vp8"]
"""What encodes. ``auto``: NVENC where it works, else x264; and libvpx for who takes no H.264."""


PublishingState = Literal["connecting", "live", "waiting", "ended"]


class Configure(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The process-wide settings; the first message, about no stream."""

    public_ips: list[str] = []
    learns_public_ip: bool = False
    """Whether the addresses that STUN servers see replace ``public_ips``."""
    port_min: int | None = None
    port_max: int | None = None
    public_port_min: int | None = None
    """The port outside that leads to ``port_min``; the others follow. None: the same numbers."""
    keep_private: bool = False
    """Whether private addresses are shown as well, after the public ones."""
    ice_transport_policy: Literal["all", "relay"] = "all"
    """``relay``: this side uses TURN relays only."""
    has_ice_servers: bool = False
    """Whether there are STUN or TURN servers for this side, see `WantIceServers`."""
    encoder: EncoderSetting = "auto"
    max_bitrate_bps: int | None = None
    """No stream's bitrate is higher, whatever its own limit."""
    replay_s: float = 10.0
    """So many seconds of each stream's packets are kept; 0: none."""
    has_webrtc: bool = True
    """Whether views may use WebRTC."""
    socket_path: str = ""
    """Of the socket for the jupyter-server extension; empty: there is none."""


class OpenStream(Message, frozen=True, kw_only=True):
    """A GPUStream was made. Its eventfd comes along; a write to it announces a frame."""

    fps: float
    max_bitrate_bps: int


class AttachRing(Message, frozen=True):
    """The stream's frames come through this ring from now on; its descriptor comes along."""


class DetachRing(Message, frozen=True):
    """Nobody watches: the stream's ring is freed, and its last frame forgotten."""


class SetLimits(Message, frozen=True, kw_only=True):
    """New limits of a stream that is open."""

    fps: float
    max_bitrate_bps: int


class StartRecording(Message, frozen=True, kw_only=True):
    """The stream's packets are written to files from now on.

    The descriptors of the first file and of its folder come along.
    """

    recording: int
    """Unique within the stream."""
    name: str
    """The name in the folder of the file with number 1, see `gpuview.protocol.recording`."""
    number: int
    """Of the first file."""
    overwrite: bool
    """Whether later files may replace files that exist."""


class StopRecording(Message, frozen=True, kw_only=True):
    """The recording ends with this frame, or a little later; answered by `RecordingEnded`."""

    recording: int
    seq: int
    """The frame's number in the ring."""


class StartPublishing(Message, frozen=True, kw_only=True):
    """The stream is sent to a WHIP ingest from now on (RFC 9725)."""

    publication: int
    """Unique within the stream."""
    url: str
    token: str = ""
    """The bearer token; empty: none."""


class StopPublishing(Message, frozen=True, kw_only=True):
    """The ingest is told that the stream has ended; answered by `PublishingChanged`."""

    publication: int


class OpenCarrier(Message, frozen=True, kw_only=True):
    """A view is reached through the comm. The media process's end of a socket pair comes along."""

    view: ViewId


class CloseStream(Message, frozen=True):
    """The GPUStream was closed; its viewers are sent away."""


class GetStats(Message, frozen=True, kw_only=True):
    """Ask for `Stats` with the same number."""

    request: int


class IceServers(Message, frozen=True, kw_only=True):
    """The STUN and TURN servers for the media process itself; answers `WantIceServers`.

    Not about a stream. Where servers are missing, ``problems`` says why.
    """

    ice_servers: list[IceServer] = []
    problems: list[Problem] = []


# --- media process -> kernel ------------------------------------------------------------------


class WantIceServers(Message, frozen=True, kw_only=True):
    """Ask for `IceServers`."""

    anew: bool = False
    """Whether the earlier ones do not work. Otherwise the same are wanted: a TURN server ties a
    socket to its first user for a while."""


class Ready(Message, frozen=True):
    """The media process runs and reads its pipe."""


class Viewers(Message, frozen=True, kw_only=True):
    """The views that have a connection now, from offer to close. Sent when it changes."""

    views: list[str]
    paused: list[str] = []
    """Those of them whose picture nobody can see now."""


class Stats(Message, frozen=True, kw_only=True):
    """The stream's counters, answering `GetStats`."""

    request: int
    frames_taken: int = 0
    """Frames that were taken from the ring to be encoded; a repeated one counts once."""
    viewers: list[ViewerStats] = []
    encoders: list[EncoderStats] = []
    replay_nbytes: int = 0
    """The packets that are kept, so that views can step back."""
    network: NetworkStats = NetworkStats()


class EncodeFailed(Message, frozen=True, kw_only=True):
    """The stream's frames cannot be encoded, and why; empty strings when they can again."""

    problem: str
    expected: str
    fix: str


class RecordingProgress(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What a recording has written. Sent when it begins, then about once a second."""

    recording: int
    counters: RecordingCounters = RecordingCounters()


class RecordingEnded(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A recording's files are closed."""

    recording: int
    counters: RecordingCounters = RecordingCounters()
    problem: Problem | None = None
    """Why, if it was not stopped."""


class PublishingChanged(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What a publication is doing now."""

    publication: int
    state: PublishingState
    problem: Problem | None = None
    """Why it is ``"waiting"`` to try again, or has ``"ended"`` without being stopped."""


class Log(Message, frozen=True, kw_only=True):
    """A log record of the media process, for the kernel's ``gpuview.media`` logger."""

    level: int
    text: str


# --- media process -> jupyter-server extension ----------------------------------------------------


class StreamHealth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream's counters; part of `Health`."""

    name: str
    state: str
    """As in `Status`."""
    frames_taken: int
    viewers: list[ViewerStats]
    encoders: list[EncoderStats]


class Health(Message, frozen=True, kw_only=True):
    """Answers a `gpuview.protocol.local_socket.Hello` that names no stream; then the end."""

    pid: int
    streams: list[StreamHealth]
