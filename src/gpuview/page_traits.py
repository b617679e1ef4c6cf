"""What a stream's widget shares with its pages.

Secrets and addresses must not be saved with a notebook, so no trait keeps them: ``offers``
serialises to nothing, an answer leaves ``answers`` once its page has it, and ICE servers travel in
custom messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from gpuview.protocol.interaction_messages import Interaction
from gpuview.protocol.wire import to_wire
from gpuview.saved_output import comm_not_stored
from gpuview.view_recording import RecordingState

if TYPE_CHECKING:
    from gpuview.signalling.pages import Pages

__all__ = ["PageTraits"]


def _front_end(name: str) -> str:
    path = Path(__file__).parent / "static" / name
    if not path.exists():
        raise ImportError(
            f"gpuview's front end has not been built: {path.name} is missing\n"
            "  expected: an installed wheel, or a source tree after its build\n"
            "  try:      make build"
        )
    # For a path, anywidget would watch the file, and keep each stream alive for that.
    return path.read_text(encoding="utf-8")


class PageTraits(anywidget.AnyWidget):
    """The front end and the synced traits. Pages write ``offers``; the others are the kernel's."""

    _esm = _front_end("widget.js")
    _css = _front_end("widget.css")
    _pages: Pages

    comm: Any
    layout = traitlets.Any(None)  # ipywidgets' own costs a model for each widget
    offers = traitlets.Dict().tag(sync=True, echo_update=False, to_json=lambda _value, _widget: {})
    answers = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    interaction = traitlets.Dict(to_wire(Interaction())).tag(sync=True)
    recording: dict[str, str] | None = traitlets.Dict(  # type: ignore[assignment]
        {"state": "off", "text": ""}, allow_none=True
    ).tag(sync=True)
    epoch = traitlets.Int(1).tag(sync=True)
    needs_peer_config = traitlets.Bool(False).tag(sync=True)
    place = traitlets.Unicode().tag(sync=True)
    has_server_extension = traitlets.Bool(False).tag(sync=True)
    carriers = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def open(self) -> None:
        """Open the comm; see Note [run by a program] in `saved_output`."""
        if self.comm is None:
            self.comm = comm_not_stored(self.get_state())
        super().open()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take the trait that pages write. The others are the kernel's, and are sent again.

        Otherwise ipywidgets would pass a page's value on to all other pages.
        """
        super().set_state({name: sync_data[name] for name in sync_data if name == "offers"})
        self._pages.restore([name for name in sync_data if name != "offers" and name in self.keys])

    def _publish_recording(self, state: RecordingState) -> None:
        self.recording = {"state": state["state"], "text": state["text"]}
