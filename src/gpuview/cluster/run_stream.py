"""The widget of a run's workers, whichever of them it shows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from threading import RLock, Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from gpuview.cluster.addresses import endpoints_of
from gpuview.cluster.join_file import JOIN_VARIABLE, default_path, write_join_file
from gpuview.cluster.join_notices import Posted, posted
from gpuview.cluster.keys import notebook_keys, run_keys
from gpuview.cluster.ray_discovery import is_ray_initialized, post_notice
from gpuview.cluster.run_state import WorkersState
from gpuview.errors import GpuviewError, NetworkError, SettingsError, StreamClosedError
from gpuview.interaction.interactions import Reply
from gpuview.interaction.public_methods import INTERACTION
from gpuview.ipykernel_compat import CellRun, cell_run, kernel_shell
from gpuview.options import LOOK, LineOptions
from gpuview.protocol.cluster_messages import (
    JoinChanged,
    ListenForWorkers,
    Listening,
    OpenRun,
    Worker,
    WorkersChanged,
)
from gpuview.protocol.interaction_messages import FromView, Interaction
from gpuview.protocol.join_file import JoinFile
from gpuview.protocol.page_messages import Carrier
from gpuview.protocol.wire import to_wire
from gpuview.saved_output import display_value
from gpuview.settings import Settings
from gpuview.signalling.time_limit import Overdue, call_within
from gpuview.stats import StreamStats, remote_stats
from gpuview.stream_widget import StreamWidget

if TYPE_CHECKING:
    from gpuview.engine.stream import StreamHandle

__all__ = ["RunStream"]

logger = logging.getLogger("gpuview")

_OPTIONS = ("max_bitrate_bps", "caption")
_THERE = frozenset({"push", "frame", "snapshot", "tap", "fps", "select", *LOOK, *INTERACTION})
"""What is to be had where the frames are made."""
_ANY_FPS = 240.0  # the worker decides
_Key = tuple[str, int | None, tuple[int, ...]]
"""A run, and what is shown of it, as `WorkersState` has them."""
_streams: WeakValueDictionary[_Key, RunStream] = WeakValueDictionary()
"""The newest of each."""
_PORT_WAIT_S = 10.0
_FILE_WAIT_S = 10.0


class RunStream(LineOptions, StreamWidget):
    """A live picture of tensors that are pushed on other machines: `RemoteStream`, `RemoteGrid`.

    It plays while workers of the run are there that are to be shown, and says what it waits for.
    They may die, and come back on any machine.
    """

    def __init__(
        self,
        state: WorkersState,
        *,
        max_bitrate_bps: int,
        caption: str | None,
        settings: Settings,
        carriers: Sequence[Carrier],
    ) -> None:
        self._run, self._shown = state.run, state.shown
        self._key: _Key = (state.run, state.rank, state.ranks)
        self.max_bitrate_bps, self.caption = max_bitrate_bps, caption
        self._settings = settings
        self._newest_interaction = Interaction()
        self._posted = posted(self._run)
        self._made_in = _present_cell()
        self._close_replaced()
        self._prepare_widget(replace(state, caption=self.caption), settings)
        own = notebook_keys()
        with self._lock:  # The engine's callbacks wait until the stream is complete.
            self._engine.listen_for_workers(
                ListenForWorkers(
                    public_key=own.public, secret_key=own.secret, port=settings.cluster_port
                )
            )
            self._open_stream(
                fps=_ANY_FPS,
                max_bitrate_bps=self.max_bitrate_bps,
                run=OpenRun(
                    run=self._run,
                    worker_key=run_keys(self._run).public,
                    rank=state.rank,
                    ranks=list(state.ranks),
                ),
            )
            self._posted.stream_opened(self._handle)
            self._open_widget(settings, partial(_close, self._posted, self._handle), carriers)
            self.observe(self._follow_bitrate, "max_bitrate_bps")
            self.observe(self._follow_caption, "caption")
        _streams[self._key] = self
        if is_ray_initialized() and self._posted.begin_notice():
            # On a thread: the media process takes a second to start, and an actor as well.
            Thread(target=self._post_notice, name="gpuview-ray", daemon=True).start()

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute that has an effect.

        Raises:
            AttributeError: There is no such attribute.
        """
        if name in _THERE:
            raise _not_here(name)
        if not (name.startswith("_") or hasattr(type(self), name)):
            raise AttributeError(
                f"cannot set {name} on a stream of another machine\n"
                f"  expected: {', '.join(_OPTIONS)}, or a name that begins with an underscore\n"
                f"  try:      stream.caption = ..."
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in _THERE:
            raise _not_here(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # --- the public API -----------------------------------------------------------------------

    def join(self, path: str | PathLike[str] | None = None) -> dict[str, str]:
        """Write the file by which workers join, and return what their environment needs.

            subprocess.Popen(["torchrun", ...], env=os.environ | stream.join())

        The file has this machine's addresses and the run's keys; only its owner may read it. All
        streams of the run share it, and it is removed when the last of them is closed. The keys
        are the same as long as the kernel lives, so a job goes on when a cell makes the stream
        anew.

        Args:
            path: The file, in a folder that the workers' machines share; None:
                ``~/.gpuview/runs/NAME.json``.

        Returns:
            ``{"GPUVIEW_JOIN": path}``.

        Raises:
            MediaError: The media process did not answer.
            NetworkError: It cannot listen at the port.
            SettingsError: The file cannot be written, or not within 10 s.
            StreamClosedError: The stream is closed.
        """
        self._handle.check_open()
        content = self._join_content()
        target = default_path(self._run) if path is None else Path(fspath(path))
        try:
            written = call_within(
                _FILE_WAIT_S, lambda: write_join_file(None if path is None else target, content)
            )
        except Overdue:
            raise SettingsError(
                f"the join file {target} was not written within {_FILE_WAIT_S:g} s",
                expected="a file system that answers",
                fix='name another place: stream.join("/shared/mine/run.json")',
            ) from None
        self._posted.add_file(written)
        return {JOIN_VARIABLE: str(written.path)}

    def tunnel(self, login: str = "LOGIN") -> str:
        """Return the two commands for workers that reach a login node only, and not this machine.

        The first runs here, and the second on the worker's machine, both as long as the job. They
        lead the run's port through ssh; ``login`` is the login node.

        Raises:
            MediaError: The media process did not answer.
            NetworkError: It cannot listen at the port.
        """
        port = self._engine.listen_requests.wait(_PORT_WAIT_S)
        return (
            f"ssh -N -R {port}:127.0.0.1:{port} {login}  # on this machine\n"
            f"ssh -N -L {port}:127.0.0.1:{port} {login}  # on the worker's machine"
        )

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The workers of the run that have joined, in the order of their ranks."""
        state = self._published.state
        assert isinstance(state, WorkersState)
        return state.workers

    def stats(self) -> StreamStats:
        """Return the current counters; waits for the media process, at most 10 s.

        Raises:
            MediaError: The media process did not answer.
            StreamClosedError: The stream is closed.
        """
        self._handle.check_open()
        return remote_stats(self._handle.stats(), self._engine.process.pid)

    def __repr__(self) -> str:
        state = self.status.get("state", "waiting")
        return (
            f"<GPUStream of {self._shown} of {self._run} {state} "
            f"viewers={len(self._viewers)} workers={len(self.workers)}>"
        )

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self._followed.described()
        data, _ = super()._repr_mimebundle_(**options) or ({}, {})
        text = f"GPUStream of {self._shown} of {self._run}, live in a running notebook"
        return {**data, "text/plain": text}, {}

    def _ipython_display_(self) -> None:
        display_value(self._repr_mimebundle_)

    def _close_replaced(self) -> None:
        """Close the stream that a cell has made, if the cell runs again and makes this one.

        Or that it has shown, and shows no more. What a box shows is not known to be shown.
        """
        earlier, now = _streams.get(self._key), self._made_in
        if earlier is None:
            return
        before = earlier._made_in
        is_made_anew = now and before and now.cell_id == before.cell_id and now != before
        if is_made_anew or earlier._followed.displays.are_replaced:
            earlier.close()

    def _end(self) -> None:
        self._published.end()
        self._posted.stream_closed(self._handle)

    def _post_notice(self) -> None:
        """Let workers on Ray find the run."""
        notice = None
        try:
            notice = post_notice(self._join_content())
        except GpuviewError as exc:
            logger.warning("%s", exc)
            self._published.update(picture_hint=exc.problem)
        finally:
            self._posted.end_notice(notice)

    def _join_content(self) -> JoinFile:
        port = self._engine.listen_requests.wait(_PORT_WAIT_S)
        keys = run_keys(self._run)
        return JoinFile(
            run=self._run,
            endpoints=endpoints_of(self._settings, port),
            notebook_key=notebook_keys().public,
            public_key=keys.public,
            secret_key=keys.secret,
        )

    def _follow_bitrate(self, _change: object) -> None:
        self._handle.check_open()
        self._handle.set_limits(fps=_ANY_FPS, max_bitrate_bps=self.max_bitrate_bps)

    def _follow_caption(self, _change: object) -> None:
        self._handle.check_open()
        self._published.set_caption(self.caption, are_views_seen=self._are_views_seen)

    # --- what people do to the picture: the worker hears it, and says what they may do ------------

    def interact(self, message: FromView, reply: Reply) -> None:
        # The reply takes the way of those that the media process passes on.
        if not self._published.state.is_closed:
            self._handle.send(message)

    def _interaction_message(self) -> Interaction:
        return self._newest_interaction

    def _tell_interaction(self, interaction: Interaction) -> None:
        if interaction != self._newest_interaction:
            self._newest_interaction = interaction
            self.interaction = to_wire(interaction)
            self._handle.send(interaction)

    # --- callbacks of the engine (`StreamListener`), on the engine's thread -------------------

    def forked(self, error: StreamClosedError) -> None:
        self._lock = RLock()
        self._published.abandon(self._lock)
        self._posted.abandon()
        super().forked(error)

    def cluster_changed(self, message: Listening | WorkersChanged | JoinChanged) -> None:
        match message:
            case Listening(problem=None):
                self._published.update(source_error=None)
            case Listening(problem=problem) if problem is not None:
                error = NetworkError(problem.problem, expected=problem.expected, fix=problem.fix)
                self._published.update(source_error=error)
            case WorkersChanged():
                self._follow_workers(message)

    def _follow_workers(self, message: WorkersChanged) -> None:
        workers = tuple(sorted(message.workers, key=lambda each: each.rank))
        with self._lock:
            self._published.update(
                workers=workers, refusal=message.problem, **self._silence(workers)
            )
            if not self._published.state.is_closed:
                self._tell_interaction(self._allowed(workers))

    def _silence(self, workers: Sequence[Worker]) -> dict[str, str]:
        """Return what changes in the state besides, because of workers that are silent."""
        return {}

    def _allowed(self, workers: Sequence[Worker]) -> Interaction:
        """Return what views may say."""
        raise NotImplementedError


def _close(posted: Posted, handle: StreamHandle) -> None:
    """Free what is left of a stream that nothing refers to any more."""
    handle.close()
    posted.stream_closed(handle)


def _present_cell() -> CellRun | None:
    """Return the run of a cell that makes a stream on this thread, if that is known."""
    shell = kernel_shell()
    return None if shell is None else cell_run(shell)


def _not_here(name: str) -> AttributeError:
    return AttributeError(
        f"there is no {name} here: this stream's tensors are on another machine\n"
        "  expected: the process whose frames are shown\n"
        f"  try:      view = gpuview.publish(...) there, and its {name}"
    )
