"""`GPUStream`, the widget that users create."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from gpuview.errors import FrameError, SettingsError, StreamClosedError
from gpuview.frame_stream import FrameStream
from gpuview.frames.picture.look import Size, ValueRange
from gpuview.frames.picture.select import Index, Select
from gpuview.frames.picture.tensor_layout import Layout
from gpuview.frames.pushed_frame import PushedFrame, to_keep
from gpuview.frames.snapshot import snapshot, video_picture
from gpuview.frames.torch_compat import opaque_to_dynamo
from gpuview.interaction.public_methods import INTERACTION
from gpuview.options import unknown_attribute
from gpuview.protocol.interaction_messages import Interaction
from gpuview.protocol.wire import to_wire
from gpuview.public_names import PublicFace
from gpuview.saved_output import SavedOutput, display_value
from gpuview.settings import Settings
from gpuview.sources.parse import parse_source
from gpuview.sources.source import Source
from gpuview.stats import StreamStats
from gpuview.stream_widget import StreamWidget

if TYPE_CHECKING:
    from PIL.Image import Image

    from gpuview.cluster.remote import RemoteStream
    from gpuview.cluster.remote_grid import RemoteGrid

__all__ = ["GPUStream", "StreamStats"]


class GPUStream(FrameStream, StreamWidget, metaclass=PublicFace):
    """A live picture of tensors, in any number of notebook outputs and browser tabs.

        display(GPUStream(generator))                     # polls a callable without arguments
        display(GPUStream(model, layer="layer3.0"))       # taps a layer: shows each output
        display(GPUStream({"in": camera, "out": model}))  # shows several sources as labelled panels
        stream = GPUStream(); stream.push(tensor)         # shows the frames that you push

    A frame is a tensor or array of any real dtype on any device: ``(H, W)``, ``(H, W, C)``,
    ``(C, H, W)`` or a batch of these. One or three channels are a picture, and so is a lone
    ``(H, W)``; all else holds maps, in a grid. A dict or list becomes labelled panels. The newest
    frame wins: older frames that were not shown in time are dropped.

    All options but ``source``, ``layer`` and ``settings`` are attributes, which may be read and set
    on a live stream, from any thread, and are checked as here. They hold from the next frame on,
    and a picture that stands still is drawn again. ``layout`` is not ipywidgets' trait of that
    name; to style a stream, put it in an ``ipywidgets.Box``.

    Args:
        source: Where frames come from.

            - A module or callable without arguments, an iterable of frames (async ones too), or a
              tensor that changes in place is polled ``fps`` times a second while a view is open, on
              a thread of its own. A callable may take a `FrameContext`. A source that draws random
              numbers needs a generator of its own, or the numbers of your training depend on who
              watches.
            - A module that needs an input is tapped: each output is shown when your code calls it.
            - A dict or list of these becomes labelled panels; a `Panel` has a look of its own.
              Polling ends with the first iterable that ends.
            - None: you `push` frames.
        fps: The maximum frame rate, up to 240.
        layout: ``"HW"``, ``"HWC"``, ``"CHW"``, ``"NHW"``, ``"NCHW"`` or ``"NHWC"``. None guesses
            from the shape.
        value_range: ``(low, high)``, shown as black and white. ``"auto"`` takes the minimum and
            maximum of each picture, ``"frame"`` those of all pictures in a tensor, ``"robust"`` the
            1st and 99th percentile, and ``"symmetric"`` a range about 0. None is (0, 255) for
            uint8, (0, 1) for floating types, and ``"auto"`` for maps.
        colormap: ``"gray"``, ``"viridis"``, ``"magma"``, ``"turbo"``, ``"coolwarm"``,
            ``"labels"``, or the name of any matplotlib colour map.
        size: The longest side of the video in pixels, or its ``(width, height)``; at most
            3840 x 2400 pixels in all.
        columns: The number of columns of panels, or of a single tensor's tiles. None takes the one
            that wastes least in the width that the views have.
        layer: The dotted name of a submodule of ``source`` to tap, or a list of names.
        select: An index or a function that picks the part to show of each frame; with panels, of
            each panel's frame.
        max_bitrate_bps: The maximum bitrate of the video, for each viewer.
        caption: A line of text below the picture, of up to 300 characters.
        settings: Network settings. None reads them from the environment.

    Raises:
        FrameError: ``source``, ``layer``, ``select`` or a display option is invalid.
        SettingsError: ``fps``, ``max_bitrate_bps``, ``caption`` or a setting is invalid, or another
            stream of this kernel has different settings.
        MediaError: The media process cannot be started.
    """

    _fields = (
        "push",
        "frame",
        "snapshot",
        "remote",
        "record",
        "publish",
        "stats",
        "viewers",
        "close",
        "doctor",
        *INTERACTION,
    )
    """See `gpuview.public_names`."""

    def __init__(
        self,
        source: object = None,
        *,
        fps: float = 30,
        layout: Layout | None = None,
        value_range: ValueRange = None,
        colormap: str | None = None,
        size: Size = None,
        columns: int | None = None,
        layer: str | list[str] | None = None,
        select: Index | Select | None = None,
        max_bitrate_bps: int = 20_000_000,
        caption: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.layout, self.value_range = layout, value_range
        self.colormap, self.size, self.select = colormap, size, select
        self.columns = columns
        self.fps, self.max_bitrate_bps = fps, max_bitrate_bps
        self.caption = caption
        parsed = parse_source(source, layer)
        self._prepare_frames()
        settings = settings or Settings()
        self._prepare_widget(self._state_at_first(parsed.waiting_hint), settings)
        with self._lock:  # The engine's callbacks wait until the stream is complete.
            self._open_stream(**self._limits())
            self._open_frames()
            labels = parsed.names or (() if layer is None else (str(layer),))
            self._saved = SavedOutput(
                self._feed,
                self._need_frame,
                labels,
                settings.saved_picture_bytes,
                caption=lambda: self.caption,
                knobs=lambda: self._interaction.knobs.text,
            )
            self._open_widget(settings, self._handle.close, settings.carriers)
            if source is not None:
                self._start_source(parsed)
            if parsed.takes_context:
                self.use_frame_contexts()
            self._follow_options()

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute that has an effect. A subclass declares its own ones in its body.

        Raises:
            AttributeError: There is no such attribute.
        """
        if not (name.startswith("_") or hasattr(type(self), name)):
            raise unknown_attribute(name)
        super().__setattr__(name, value)

    # --- the public API -----------------------------------------------------------------------

    @opaque_to_dynamo
    def push(self, frame: object) -> None:
        """Show ``frame`` next, in every view. From any thread; never blocks.

        Without viewers, this takes about two microseconds and keeps a reference, without the graph.
        If the media process has failed or memory is used up, the frame is dropped and counted, and
        the views say why.

        Args:
            frame: As in the class. With viewers, a CPU frame is copied before this returns, and a
                CUDA frame is read in the order of the current stream: later work there may
                overwrite it.

        Raises:
            FrameError: The frame cannot be shown. Without viewers, only frames of a new type,
                shape, dtype or device are checked.
            StreamClosedError: The stream is closed.
        """
        self._show(frame)

    def frame(self) -> object:
        """Return the newest frame itself. Before the first, this calls the source.

        A tensor that was overwritten in place has its present values.

        Raises:
            FrameError: There is no frame.
            StreamClosedError: The stream is closed.
        """
        self._need_frame()
        return self._feed.frame()

    def snapshot(self) -> Image:
        """Return the newest frame as a `PIL.Image.Image`, pixel for pixel from the tensor.

        Before the first frame, this calls the source. Waits for the frame's device. Panels and
        tiles are arranged as in the video, but nothing is resized.

        Raises:
            FrameError: There is no frame.
            StreamClosedError: The stream is closed.
        """
        self._need_frame()
        return snapshot(self._feed.selected(), self._feed.look, self._feed.readings)

    def drawn(self, frame: object) -> Image:
        """Return what the video would show of ``frame``, before it is encoded.

        The frame need not be the stream's; nothing is pushed. For `gpuview.testing`.

        Raises:
            FrameError: The frame cannot be shown.
        """
        kept, _ = to_keep(frame)
        part = PushedFrame(kept, self._select, 0, 0).selected()
        return video_picture(part, self._feed.look, self._feed.readings)

    def use_source(self, source: Source, owner: object) -> None:
        """Tell a source that makes frames by itself, and pushes them, what it must know.

        Args:
            source: It is told who watches.
            owner: What people hold and display in place of this stream.
        """
        self._followed.owned_by(owner)
        with self._lock:
            self._source = source
            self._follow_watchers()

    @staticmethod
    def remote(
        name: str,
        *,
        rank: int | None = None,
        ranks: Literal["all"] | Sequence[int] | None = None,
        max_bitrate_bps: int = 20_000_000,
        caption: str | None = None,
        settings: Settings | None = None,
    ) -> RemoteStream | RemoteGrid:
        """Show tensors that are pushed on other machines: by ranks of a job, or any process.

            stream = GPUStream.remote("run1")   # or ranks="all"
            display(stream)
            environment = stream.join()

        There, with that environment, ``view = gpuview.publish("run1")`` and ``view.push(tensor)``.
        The worker dials this machine, encodes its frames beside their GPU, and only while somebody
        watches. A kernel has one open stream for each rank of a run; they share its workers.

        Args:
            name: The run's: letters, digits, dots, hyphens and underscores.
            rank: Which of its workers is shown; None is 0.
            ranks: Those that are shown in a grid instead, or ``"all"``: any that join.
            max_bitrate_bps: The maximum bitrate of the video, for each viewer.
            caption: A line of text below the picture; None shows the worker's.
            settings: As for the class.

        Raises:
            MediaError: The media process cannot be started.
            SettingsError: An argument is invalid, ``rank`` and ``ranks`` are both given, or another
                open stream shows this rank.
        """
        from gpuview.cluster.remote import RemoteStream
        from gpuview.cluster.remote_grid import RemoteGrid

        options: dict[str, Any] = {
            "max_bitrate_bps": max_bitrate_bps,
            "caption": caption,
            "settings": settings,
        }
        if ranks is None:
            return RemoteStream(name, rank=0 if rank is None else rank, **options)
        if rank is not None:
            raise SettingsError(
                f"cannot use {rank = } together with {ranks = }",
                expected="one of them",
                fix=f"leave rank out, or show it alone: GPUStream.remote({name!r}, rank={rank})",
            )
        return RemoteGrid(name, ranks=ranks, **options)

    def __repr__(self) -> str:
        state = self.status.get("state", "waiting")
        return (
            f"<GPUStream {state} viewers={len(self._viewers)} frames_pushed={self._feed.n_pushed}>"
        )

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self._followed.described()
        data, _ = super()._repr_mimebundle_(**options) or ({}, {})
        described = self._saved.described(data, self._followed.display_ids)
        self._feed.expect_viewer()
        self._tell_size()
        return described

    def _ipython_display_(self) -> None:
        display_value(self._repr_mimebundle_)

    def _end(self) -> None:
        self._end_frames()

    def _leave_picture(self) -> None:
        self._saved.close()

    def _have_picture(self) -> None:
        self._saved.fill()
        super()._have_picture()

    def _follow_watchers(self) -> None:
        """Read frames while there is a viewer or a recording."""
        with self._lock:
            super()._follow_watchers()
            self._watch(self._are_views_seen or self._recordings.is_active)

    def _need_frame(self) -> None:
        self._feed.check_open()
        if self._feed.has_frame:
            return
        if self._source is None:
            raise FrameError(
                "there is no frame yet", expected="a push first", fix="stream.push(tensor)"
            )
        self._source.ensure_frame()

    # --- messages from pages: on any thread ---------------------------------------------------

    def arrange_for(self, width: int) -> None:
        # A picture of another size would begin a new file.
        if not self._recordings.is_active:
            self._arrange_for(width)

    def views_are_kept(self) -> None:
        self._saved.views_are_kept()

    def _publish_interaction(self, interaction: Interaction) -> None:
        self.interaction = to_wire(interaction)
        super()._publish_interaction(interaction)

    def _interaction_message(self) -> Interaction:
        return self._interactions.newest

    # --- callbacks of the engine (`StreamListener`), on the engine's thread -------------------

    def viewers_changed(self, views: Sequence[str], paused: Sequence[str] = ()) -> None:
        with self._lock:
            self._keep_views(views)
            super().viewers_changed(views, paused)
            if views:
                # Each view says how long the picture has stood still.
                self._published.greet(made_ns=self._feed.pushed_ns)

    def forked(self, error: StreamClosedError) -> None:
        self._abandon_frames(error)
        super().forked(error)
