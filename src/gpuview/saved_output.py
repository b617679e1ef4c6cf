"""What a saved notebook shows where a stream was: a still picture, beside the live view.

A notebook's output holds its data in several forms. A page with a running kernel shows the view;
whatever shows the file alone has the picture. It is the newest frame of the time of the display.
When the stream is closed, the last frame takes the place of the view.

Note [run by a program]. nbconvert and papermill run notebooks with nbclient, which stores the state
of every widget. nbconvert then takes it that the view can be shown, and leaves the picture out. So
the state is kept from nbclient, and as nobody watches, the picture is renewed at the end of each
cell. If a front end is taken for nbclient, its view is drawn anew at the end of a cell, no more.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from weakref import WeakSet

from gpuview.displays import DisplayIds
from gpuview.frames.feed import Feed
from gpuview.frames.saved_picture import SavedPicture, draw_saved_picture
from gpuview.ipykernel_compat import (
    is_run_by_a_program,
    kernel_shell,
    open_comm_for_no_cell,
    publish_value,
    replace_output,
)
from gpuview.ipywidgets_compat import PROTOCOL_VERSION
from gpuview.signalling.rate_limit import RateLimit

__all__ = ["SavedOutput", "comm_not_stored", "display_value"]

logger = logging.getLogger("gpuview")

Bundle = dict[str, Any]

_PICTURES_MIME = {"image/png", "image/jpeg"}
_PATIENCE_S = 1.0
_LONG_PATIENCE_S = 10.0
"""For a picture that no cell waits for, and for the last one, which takes the view's place."""
_MOST_LETTERS = 200
# A loop of clear_output and display would be slowed by its pictures, and the page by their size.
_PICTURES, _PICTURES_PER_S = 3, 0.2


class SavedOutput:
    """The still picture of one stream.

    Args:
        feed: Has the newest frame.
        ensure_frame: Asks the stream's source for its first frame, or raises a `GpuviewError`.
        labels: What the source shows, by name; empty if it has no name.
        max_bytes: The greatest size of its file; 0 for no picture.
        caption: Returns the user's line, which stands below the picture.
        knobs: Returns the knobs' values in a line, which stands there as well.
    """

    def __init__(
        self,
        feed: Feed,
        ensure_frame: Callable[[], None],
        labels: tuple[str, ...],
        max_bytes: int,
        caption: Callable[[], str] = str,
        knobs: Callable[[], str] = str,
    ) -> None:
        self._feed = feed
        self._ensure_frame = ensure_frame
        self._labels = labels
        self._max_bytes = max_bytes
        self._caption = caption
        self._knobs = knobs
        self._shell = kernel_shell()
        self._maker: threading.Thread | None = None
        self._n_drawn = -1
        self._is_missing = False
        self._are_views_kept = False
        self._filler: threading.Thread | None = None
        self._bundle: Bundle = {}
        self._display_ids: DisplayIds | None = None
        self._pictures = RateLimit(burst=_PICTURES, per_s=_PICTURES_PER_S)

    def described(self, bundle: Bundle, display_ids: DisplayIds) -> tuple[Bundle, Bundle]:
        """Add the picture to what describes the stream to a page, which is sent next.

        Takes the time of one `GPUStream.snapshot`, at most a second, also if the source hangs. A
        stream that is displayed over and over gets a picture now and then.

        Args:
            bundle: The view, by MIME type.
            display_ids: Those of the stream's outputs, which have them where that is possible.

        Returns:
            The data and the metadata of the output.
        """
        if self._shell is not None and is_run_by_a_program(self._shell):
            _renewed(self._shell).add(self)
        self._bundle, self._display_ids = bundle, display_ids
        if self._pictures.stops(time.monotonic()):
            return self._without_picture(bundle)
        described = self._with_picture(bundle, "Picture of")
        self._is_missing = not described[0].keys() & _PICTURES_MIME
        self.fill()
        return described

    def views_are_kept(self) -> None:
        """A page has said that its views stay when outputs are replaced. Others flicker."""
        self._are_views_kept = True
        self.fill()

    def fill(self) -> None:
        """Put a frame that came after the display into the outputs, unless views would flicker.

        Does not wait: the picture is drawn on a thread.
        """
        if self._is_missing and self._are_views_kept and self._feed.has_frame:
            self._is_missing = False
            self._filler = threading.Thread(
                target=self._fill, name="gpuview-fill-output", daemon=True
            )
            self._filler.start()

    def _fill(self) -> None:
        if self._maker is not None:
            self._maker.join(_LONG_PATIENCE_S)
        self.renew(_LONG_PATIENCE_S)

    def renew(self, patience_s: float = _PATIENCE_S) -> None:
        """Put the newest frame into the outputs that have been displayed."""
        if self._n_drawn != self._feed.n_pushed:
            self._replace(*self._with_picture(self._bundle, "Picture of", patience_s))

    def close(self) -> None:
        """Put the last frame in the place of the view. Call it before the feed is closed.

        Takes the time of one `GPUStream.snapshot`, at most 10 s.
        """
        patience_s = _LONG_PATIENCE_S if self._feed.has_frame else _PATIENCE_S
        for thread in (self._filler, self._maker):
            if thread is not None:
                thread.join(patience_s)
        if self._display_ids is not None:
            self._replace(*self._with_picture({}, "Last picture,", patience_s))

    def _replace(self, data: Bundle, metadata: Bundle) -> None:
        if self._shell is None or self._display_ids is None or not data.keys() & _PICTURES_MIME:
            return
        for display_id in self._display_ids:
            replace_output(self._shell, display_id, data, metadata)

    def _with_picture(
        self, bundle: Bundle, words: str, patience_s: float = _PATIENCE_S
    ) -> tuple[Bundle, Bundle]:
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        line = " · ".join(filter(None, (f"{words} {now}", self._caption(), self._knobs())))
        picture = self._picture(line, patience_s) if self._max_bytes else None
        if picture is None:
            return self._without_picture(bundle)
        data = {
            "text/plain": self._text(now),
            picture.mime: base64.b64encode(picture.data).decode(),
        }
        return {**bundle, **data}, {picture.mime: {"width": picture.width}}

    def _without_picture(self, bundle: Bundle) -> tuple[Bundle, Bundle]:
        return {**bundle, "text/plain": self._text("")}, {}

    def _text(self, now: str) -> str:
        frame = self._feed.frame()
        labels = list(frame) if isinstance(frame, Mapping) else self._labels
        text = f"GPUStream of {', '.join(map(str, labels))}" if labels else "GPUStream"
        if len(text) > _MOST_LETTERS:
            text = text[: _MOST_LETTERS - 1] + "…"
        text = f"{text}, picture of {now}" if now else f"{text}, live in a running notebook"
        return "; ".join(filter(None, (text, self._knobs())))

    def _picture(self, line: str, patience_s: float) -> SavedPicture | None:
        """Draw the newest frame, unless that takes too long.

        On a thread, like all that polls a source or reads a frame: it may hang.
        """
        if self._maker is not None and self._maker.is_alive():
            return None  # Something hangs, and would again.
        made: list[tuple[SavedPicture | None, int]] = []
        self._maker = threading.Thread(
            target=self._draw, args=(line, made), name="gpuview-saved-picture", daemon=True
        )
        self._maker.start()
        self._maker.join(patience_s)
        if not made:
            return None
        picture, self._n_drawn = made[0]
        return picture

    def _draw(self, line: str, made: list[tuple[SavedPicture | None, int]]) -> None:
        try:
            self._ensure_frame()
            feed, n_pushed = self._feed, self._feed.n_pushed
            picture = draw_saved_picture(
                feed.selected(),
                feed.look,
                feed.readings,
                line=line,
                max_bytes=self._max_bytes,
            )
            made.append((picture, n_pushed))
        except BaseException as exc:  # the user's code, too; the view says so if it lasts
            logger.debug("no picture is saved with the notebook: %r", exc)


def comm_not_stored(state: dict[str, Any]) -> Any | None:
    """Open the comm of a widget whose state is not to be saved; None if that is not asked for.

    See Note [run by a program].
    """
    shell = kernel_shell()
    if shell is None or not is_run_by_a_program(shell):
        return None
    data = {"state": state, "buffer_paths": []}
    return open_comm_for_no_cell(shell, "jupyter.widget", data, {"version": PROTOCOL_VERSION})


def display_value(describe: Callable[[], tuple[Bundle, Bundle]]) -> None:
    """Display a stream that is the value of a cell in an output that can be replaced later.

    Args:
        describe: Returns the data and the metadata of the output.

    Raises:
        NotImplementedError: It is displayed in another way; IPython then asks for its description.
    """
    shell = kernel_shell()
    if shell is None or not publish_value(shell, describe):
        raise NotImplementedError


@cache
def _renewed(shell: Any) -> WeakSet[SavedOutput]:
    """Return the outputs that are renewed at the end of each cell."""
    outputs: WeakSet[SavedOutput] = WeakSet()

    def cell_ended(_result: object) -> None:
        for output in list(outputs):
            output.renew()

    shell.events.register("post_run_cell", cell_ended)
    return outputs
