"""The streams of one kernel, as its messages tell of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpuview.testing.channels import JupyterMessage
from gpuview.testing.stream import StreamProxy
from gpuview.testing.waiting import Changing

__all__ = ["KernelStreams"]

_VIEW_MIMETYPE = "application/vnd.jupyter.widget-view+json"


class KernelStreams:
    """All widgets that a kernel has opened and not closed, and which of them were displayed.

    `open`, `receive` and `note_display` are called on the thread of the channels.

    Args:
        changing: Of the kernel: who waits for a stream waits with it.
    """

    def __init__(self, changing: Changing) -> None:
        self._changing = changing
        self._streams: dict[str, StreamProxy] = {}
        self._displayed: list[str] = []

    def __len__(self) -> int:
        return len(self._streams)

    def get(self, model_id: str) -> StreamProxy | None:
        """Return an open stream."""
        return self._streams.get(model_id)

    def last_displayed(self) -> StreamProxy | None:
        """Return the stream that was displayed last and is not closed."""
        known = map(self._streams.get, reversed(self._displayed))
        return next((each for each in known if each is not None and _is_live_stream(each)), None)

    def take_all(self) -> list[StreamProxy]:
        """Forget all streams, and return them."""
        streams, self._streams = self._streams, {}
        return list(streams.values())

    def note_display(self, data: Mapping[str, Any]) -> None:
        """Note which widget is displayed, if an output's MIME bundle has one."""
        if _VIEW_MIMETYPE in data:
            self._displayed.append(data[_VIEW_MIMETYPE]["model_id"])

    def open(
        self, message: JupyterMessage, send_comm: Callable[[str, dict[str, Any]], None]
    ) -> None:
        """Take a ``comm_open``; ``send_comm`` sends the kernel data over the comm with this id."""
        content = message["content"]
        if content["target_name"] == "jupyter.widget":
            comm_id = content["comm_id"]
            self._streams[comm_id] = StreamProxy(
                comm_id,
                content["data"]["state"],
                send=lambda data: send_comm(comm_id, data),
                changing=self._changing,
            )

    def receive(self, message: JupyterMessage) -> None:
        """Take a message over a comm that is open, or its end."""
        msg_type, content = message["header"]["msg_type"], message["content"]
        stream = self._streams.get(content["comm_id"])
        if stream is None:
            return
        if msg_type == "comm_msg":
            stream.receive(content["data"], message.get("buffers", ()))
        elif msg_type == "comm_close":
            del self._streams[content["comm_id"]]
            stream.receive_close()


def _is_live_stream(widget: StreamProxy) -> bool:
    traits = widget.traits
    return "offers" in traits and traits["status"]["state"] != "closed"
