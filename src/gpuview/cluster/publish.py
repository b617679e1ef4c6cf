"""`gpuview.publish`: a worker's frames, in a notebook on another machine."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gpuview.cluster.identity import identity_in
from gpuview.cluster.join_file import JOIN_VARIABLE, read_join_file
from gpuview.cluster.ray_discovery import find_notice, is_ray_initialized
from gpuview.cluster.view import View
from gpuview.errors import MediaError, SettingsError
from gpuview.frames.picture.look import Size, ValueRange
from gpuview.frames.picture.select import Index, Select
from gpuview.frames.picture.tensor_layout import Layout
from gpuview.protocol.join_file import JoinFile

__all__ = ["publish"]

logger = logging.getLogger("gpuview")

_views: dict[str, View] = {}
"""Those that are open, by name; nobody else may hold them."""
_of_parent: list[View] = []
"""In a forked child; to free them might call CUDA, which does not work there."""
_lock = threading.Lock()


def publish(
    name: str,
    *,
    rank: int | None = None,
    fps: float = 30,
    layout: Layout | None = None,
    value_range: ValueRange = None,
    colormap: str | None = None,
    size: Size = None,
    columns: int | None = None,
    select: Index | Select | None = None,
    max_bitrate_bps: int = 20_000_000,
    caption: str | None = None,
) -> View:
    """Let a notebook on another machine watch tensors of this process, live.

        view = gpuview.publish("run1")
        for batch in loader:
            ...
            view.push(output)

    The notebook has ``stream = GPUStream.remote("run1")``, and starts the job with
    ``stream.join()`` in its environment. There and then, this starts a media process, which dials
    out to the notebook's machine, and encodes only while somebody watches. A notebook that is
    closed, restarted or not there yet is looked for until it comes. On a Ray cluster, the notebook
    is found without an environment. Where there is neither, the view does nothing.

    A process has one view of a name: another call ends the one before. It ends with the process, or
    by `View.close`, even if nothing refers to it.

    Args:
        name: The run's.
        rank: Which worker of the run this is; None reads RANK, SLURM_PROCID or LOCAL_RANK.
        fps: As for `GPUStream`, like all that follow.
        layout: The meaning of a tensor's dimensions.
        value_range: The values that are shown as black and white.
        colormap: The colours of a map's values.
        size: The longest side of the video, or its width and height.
        columns: How many tiles or panels stand side by side.
        select: The part of each frame that is shown.
        max_bitrate_bps: The maximum bitrate of the video.
        caption: A line of text below the picture.

    Raises:
        FrameError: A display option is invalid.
        SettingsError: ``rank``, another option or a setting is invalid.
    """
    identity = identity_in(os.environ, rank)
    options: dict[str, Any] = {
        "fps": fps,
        "layout": layout,
        "value_range": value_range,
        "colormap": colormap,
        "size": size,
        "columns": columns,
        "select": select,
        "max_bitrate_bps": max_bitrate_bps,
        "caption": caption,
    }
    find = _way(name)
    if find is None:
        return View(name, **options)
    from gpuview.cluster.published_view import PublishedView

    with _lock:
        earlier = _views.pop(name, None)
        if earlier is not None:
            earlier.close()
        try:
            _views[name] = PublishedView(name, identity, find, **options)
        except MediaError as exc:  # the job goes on
            logger.warning("nobody can watch %s: %s", name, exc)
            return View(name, **options)
        return _views[name]


def _way(name: str) -> Callable[[], JoinFile] | None:
    """Return what finds the notebook; None if none is to be looked for."""
    path = os.environ.get(JOIN_VARIABLE)
    if path:
        return partial(_from_file, name, Path(path))
    return partial(find_notice, name) if is_ray_initialized() else None


def _from_file(name: str, path: Path) -> JoinFile:
    """Read the job's join file.

    Raises:
        SettingsError: There is none, it cannot be used, or it is of another run.
    """
    try:
        found = read_join_file(path)
    except FileNotFoundError:
        raise SettingsError(
            f"there is no join file {path}",
            expected="the file to which GPUVIEW_JOIN leads, on a file system of both machines",
            fix="open the run in a notebook: GPUStream.remote(...), then stream.join()",
        ) from None
    if found.run != name:
        raise SettingsError(
            f"the join file {path} is of the run {found.run!r}, not of {name!r}",
            expected="the same name in the notebook and in the job",
            fix=f"gpuview.publish({found.run!r})",
        )
    return found


def _abandon_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _of_parent.extend(_views.values())
    _views.clear()


os.register_at_fork(after_in_child=_abandon_in_child)
