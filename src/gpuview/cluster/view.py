"""`View`, which a worker pushes frames to. This one has no notebook, and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from gpuview.frames.torch_compat import opaque_to_dynamo
from gpuview.interaction.interactions import Interactions
from gpuview.interaction.public_methods import LiveInteraction
from gpuview.interaction.stream_interaction import StreamInteraction
from gpuview.options import LiveOptions
from gpuview.sources.thread_context import as_on_this_thread
from gpuview.stats import StreamStats, no_stats

if TYPE_CHECKING:
    from torch import nn

__all__ = ["View"]


class View(LiveInteraction, LiveOptions):
    """A worker's end of a run; `gpuview.publish` makes it. From any thread.

        with gpuview.publish("run1") as view:
            for batch in loader:
                ...
                view.push(output)

    Nothing here raises because of a frame, a tap, the network or the notebook, and nothing waits
    for them, but for `stats`. Whatever is wrong is logged once, and shown in the notebook. The
    options of `gpuview.publish` are attributes that may be set at any time; knobs and event
    handlers are those of a `GPUStream`.

    Where the job has no join file, all of this does nothing.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(**options)
        self.name = name
        # Knobs that keep their first values, and handlers that nobody calls.
        self._interaction = StreamInteraction(
            Interactions(lambda _: None),
            update=lambda **_: None,
            picture_map=lambda: None,
            in_this_cell=as_on_this_thread,
        )

    @property
    def is_watched(self) -> bool:
        """Whether somebody in the notebook sees this stream now."""
        return False

    @property
    def is_connected(self) -> bool:
        """Whether the notebook has let this worker in."""
        return False

    @opaque_to_dynamo
    def push(self, frame: object) -> None:
        """Show ``frame`` next. Never blocks; without viewers, this takes about two microseconds.

        Args:
            frame: As for `GPUStream.push`. One that cannot be shown is dropped, logged and shown as
                an error in the notebook.
        """

    def tap(self, model: nn.Module, layer: str | list[str] | None = None) -> None:
        """Show the output of ``model``, or of layers in it, whenever the job calls it.

        As ``GPUStream(model, layer=...)``: a hook that reads a clock and returns, unless a frame is
        due and somebody watches. Takes the place of an earlier tap.

        Args:
            model: The module.
            layer: The dotted name of a submodule to tap instead, or a list of names.
        """

    def sync(self, step: int | None = None) -> None:
        """Name a step boundary, at which all ranks of the run take turned knobs together.

            for batch in loader:
                view.sync()
                optimizer.param_groups[0]["lr"] = lr.value

        From its first call on, a knob that is turned in the notebook changes only inside this call,
        at the same step on all ranks that make it. It costs some microseconds, and waits for no
        rank; while a change is being agreed on, a step may wait for word of it, once for each
        proposal and for 1 s at most. A notebook that is gone leaves all values as they are.

        Args:
            step: The number of the step that begins, which rises, and is the same on all ranks;
                None counts the calls, from 0 on. Give it where training goes on from a checkpoint.
                What is no such number is shown as an error, and begins no step.
        """

    def stats(self) -> StreamStats:
        """Return the current counters; waits for the media process, at most 10 s.

        Raises:
            FrameError: The newest frame cannot be shown, or its device has failed.
            MediaError: The media process did not answer.
            StreamClosedError: The view is closed.
        """
        return no_stats()

    def close(self) -> None:
        """Leave the run, and accept no more frames. Safe to call twice."""
        self._interaction.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __copy__(self) -> View:
        return View(self.name)

    def __deepcopy__(self, _memo: object) -> View:
        return View(self.name)

    def __reduce__(self) -> tuple[object, ...]:
        # A copy of a model that holds a view shows nothing, wherever it goes.
        return (View, (self.name,))

    def __repr__(self) -> str:
        return f"<View of {self.name} without a notebook>"
