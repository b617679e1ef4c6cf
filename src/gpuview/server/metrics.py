"""What the extension adds to the metrics of jupyter-server, at ``/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

__all__ = ["MESSAGES_TO_PAGES", "NBYTES_TO_PAGES", "OPEN_SOCKETS", "REFUSED"]

OPEN_SOCKETS = Gauge("gpuview_open_sockets", "WebSockets of gpuview that pages have open")
MESSAGES_TO_PAGES = Counter("gpuview_messages_to_pages", "Messages that pages were sent")
NBYTES_TO_PAGES = Counter("gpuview_bytes_to_pages", "Bytes of the messages that pages were sent")
REFUSED = Counter(
    "gpuview_refused_sockets",
    "WebSockets that were refused or closed, by the HTTP status or the close code",
    ["code"],
)
