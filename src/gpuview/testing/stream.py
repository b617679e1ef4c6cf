"""A GPUStream as a page sees it: traits and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpuview.testing.drawing import draw_without_options
from gpuview.testing.waiting import Changing

if TYPE_CHECKING:
    from gpuview.testing.peer import Image

__all__ = ["StreamProxy"]


class StreamProxy:
    """One widget model of the kernel, seen from outside.

    Any thread may use it. `gpuview.testing.kernel.Kernel.stream` finds one.

    Args:
        model_id: The id of the model, and of its comm.
        traits: Its synced traits at the start.
        send: Sends comm data to the kernel.
        changing: Guards the traits.
    """

    drawing = "as a GPUStream() without options draws it"
    """What `draw` does, for people."""

    def __init__(
        self,
        model_id: str,
        traits: Mapping[str, Any],
        *,
        send: Callable[[dict[str, Any]], None],
        changing: Changing,
    ) -> None:
        self.model_id = model_id
        self.is_open = True
        self._traits = dict(traits)
        self._messages: list[Any] = []
        self._buffers: list[tuple[bytes, ...]] = []
        self._send = send
        self._changing = changing
        self._listeners: list[Callable[[], None]] = []

    @property
    def traits(self) -> dict[str, Any]:
        """The synced traits, as the kernel last sent them."""
        with self._changing.change():
            return dict(self._traits)

    @property
    def messages(self) -> tuple[Any, ...]:
        """Every custom message that the kernel has sent on this model."""
        return tuple(self._messages)

    @property
    def buffers(self) -> tuple[tuple[bytes, ...], ...]:
        """The binary buffers of each of `messages`."""
        return tuple(self._buffers)

    def send(self, content: object) -> None:
        """Send a custom message of any content; never blocks."""
        self._send({"method": "custom", "content": content})

    def set_trait(self, name: str, value: object) -> None:
        """Write a synced trait as a page does; never blocks."""
        self._send({"method": "update", "state": {name: value}, "buffer_paths": []})

    def wait_for(
        self,
        predicate: Callable[[dict[str, Any]], bool],
        *,
        timeout_s: float = 30.0,
        what: str = "the traits to satisfy the predicate",
    ) -> dict[str, Any]:
        """Return the traits as soon as ``predicate`` holds for them.

        Raises:
            WaitTimeoutError: It does not hold in time.
        """
        return self._changing.wait_for(
            lambda: dict(self._traits) if predicate(self._traits) else None,
            timeout_s=timeout_s,
            what=lambda: (
                f"{what}; answers for {list(self._traits.get('answers', ()))}, "
                f"status = {self._traits.get('status')}"
            ),
        )

    def draw(self, frame: object) -> Image:
        """Return what the video should show of ``frame``, ``(H, W, 3)`` uint8 RGB.

        Raises:
            FrameError: The frame cannot be shown.
        """
        return draw_without_options(frame)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each change, in the thread of the channels; return the undo."""
        self._listeners.append(listener)

        def unlisten() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return unlisten

    def receive(self, data: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Take comm data that the kernel sent, with its binary buffers."""
        with self._changing.change():
            if data.get("method") in ("update", "echo_update"):
                self._traits.update(data["state"])
            elif data.get("method") == "custom":
                # First: who has seen a message finds its buffers.
                self._buffers.append(tuple(bytes(each) for each in buffers))
                self._messages.append(data["content"])
        self._tell()

    def receive_close(self) -> None:
        """Record that the model is closed, or its kernel ended."""
        with self._changing.change():
            self.is_open = False
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<StreamProxy {self.model_id[:8]} {state} status={self._traits.get('status')}>"
