"""A viewer's peer connection, set up like a page's; its frames as RGB, and PNG files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import numpy as np
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCRtpReceiver,
)
from av import CodecContext, Packet, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from gpuview.media.aiortc_compat import use_transport_feedback
from gpuview.media.encode import still
from gpuview.media.ice.aioice_compat import gather_loopback_when_alone
from gpuview.protocol.page_messages import PeerConfig

__all__ = ["Image", "as_video", "first_codec", "image_of", "make_peer", "png_of", "to_rgb"]

Image = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

# Without the last flag swscale is up to 3 levels off.
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def make_peer(
    codecs: Sequence[str], peer_config: PeerConfig
) -> tuple[RTCPeerConnection, RTCDataChannel]:
    """Return a connection that offers to receive one video, and its data channel.

    Args:
        codecs: The codecs to offer, the favourite first: "H264", "VP8".
        peer_config: The servers to ask for candidates, and which candidates to use.
    """
    servers = [
        RTCIceServer(urls=each.urls, username=each.username, credential=each.credential)
        for each in peer_config.ice_servers
    ]
    gather_loopback_when_alone()
    use_transport_feedback()
    # None in place of an empty list would mean a server on the internet.
    peer = RTCPeerConnection(
        RTCConfiguration(
            servers,
            iceTransportPolicy=RTCIceTransportPolicy(peer_config.ice_transport_policy),
            bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
        )
    )
    transceiver = peer.addTransceiver("video", direction="recvonly")
    transceiver.setCodecPreferences(_capabilities(codecs))
    return peer, peer.createDataChannel("gpuview", ordered=False, maxRetransmits=0)


def image_of(png: bytes) -> Image:
    """Decode a PNG, ``(H, W, 3)`` uint8."""
    decoder = CodecContext.create("png", "r")
    frames = decoder.decode(Packet(png)) or decoder.decode(None)
    return cast(Image, frames[0].to_ndarray(format="rgb24"))


def png_of(image: Image) -> bytes:
    """Encode an image as a PNG."""
    return still.png_of(VideoFrame.from_ndarray(image, format="rgb24"))


def first_codec(sdp: str) -> str | None:
    """Return the name of the video section's first codec."""
    section = re.search(r"^m=video \d+ \S+ (\d+)", sdp, re.MULTILINE)
    if section is None:
        return None
    name = re.search(rf"^a=rtpmap:{section[1]} (\w+)/", sdp, re.MULTILINE)
    return None if name is None else name[1]


def to_rgb(frame: VideoFrame) -> Image:
    """Convert a decoded frame, BT.601 limited range, to ``(H, W, 3)`` uint8 RGB, within 1 level."""
    rgb = VideoReformatter().reformat(
        frame,
        format="rgb24",
        src_colorspace=Colorspace.ITU601,
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_EXACT,
    )
    return cast(Image, rgb.to_ndarray())


def as_video(image: Image, width: int, height: int) -> Image:
    """Return an image as a video of this size shows it, had its encoder lost nothing."""
    frame = VideoFrame.from_ndarray(image, format="rgb24")
    frame = VideoReformatter().reformat(
        frame,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.AREA,
    )
    frame = VideoReformatter().reformat(
        frame, width=width, height=height, interpolation=Interpolation.AREA
    )
    return to_rgb(frame)


def _capabilities(codecs: Sequence[str]) -> list[RTCRtpCodecCapability]:
    """Return what aiortc knows of ``codecs``, in their order, and the repair of lost packets."""
    capabilities = RTCRtpReceiver.getCapabilities("video")
    known = [] if capabilities is None else capabilities.codecs
    wanted = [f"video/{name}" for name in (*codecs, "rtx")]
    return [each for mime_type in wanted for each in known if each.mimeType == mime_type]
