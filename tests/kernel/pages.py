"""Pages of a kernel's stream that WebRTC does not reach: through the comm, and by the socket."""

from __future__ import annotations

from gpuview.protocol.carrier_messages import CarrierOpen, CarrierText, Received
from gpuview.protocol.carrier_packets import PacketHeader
from gpuview.protocol.page_messages import Message, Status
from gpuview.protocol.wire import encode_text, to_wire
from gpuview.testing.carrier_page import CarrierPage, connect
from gpuview.testing.kernel import Kernel
from gpuview.testing.stream import StreamProxy
from tests.waiting import wait_until

__all__ = ["CommPage", "reach"]


class CommPage:
    """A page behind the comm."""

    def __init__(self, stream: StreamProxy) -> None:
        self._stream = stream
        stream.send(to_wire(CarrierOpen(view="v")))

    def say(self, message: Message) -> None:
        self._stream.send(to_wire(CarrierText(view="v", text=encode_text(message))))

    @property
    def packets(self) -> list[PacketHeader]:
        """The headers of all packets that have come."""
        messages = zip(self._stream.messages, self._stream.buffers, strict=False)
        carried = [buffers for content, buffers in messages if content["type"] == "CarrierData"]
        return [PacketHeader.parse(each[0]) for each in carried if each and each[0][0] == 1]

    def acknowledge_until(self, count: int) -> None:
        """Acknowledge what comes until there are so many packets."""
        said = -1

        def look() -> bool:
            nonlocal said
            packets = self.packets
            if packets and packets[-1].seq > said:
                said = packets[-1].seq
                self.say(Received(seq=said, arrived_ms=[packets[-1].timestamp / 90]))
            return len(packets) >= count

        wait_until(look, f"{count} packets", describe=lambda: len(self.packets))


def reach(kernel: Kernel) -> CarrierPage:
    """Return a page of the kernel's stream, as soon as there is a way: pages try again, too."""
    name = kernel.stream().traits["place"].partition("/")[2]

    def attempt() -> CarrierPage | None:
        try:
            page = connect(kernel.socket_path, name)
        except OSError:
            return None
        page.wait_for(lambda: page.messages or not page.is_open, "a word")
        if page.messages and isinstance(page.messages[0], Status):
            return page
        page.close()
        return None

    page = wait_until(attempt, "the media process lets a page in")
    assert page is not None
    return page
