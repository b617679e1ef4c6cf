"""How workers on a Ray cluster find the notebook: the only file with Ray's names.

Ray is asked where to dial, and nothing else: frames take the same way as everywhere. For each run
that a notebook shows, an actor holds what a join file holds. It has a name in a namespace of
gpuview's, needs no CPU, and ends with the notebook's driver.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

from gpuview.errors import SettingsError
from gpuview.protocol.join_file import JoinFile
from gpuview.protocol.wire import decode_text, encode_text

__all__ = ["NAMESPACE", "Notice", "find_notice", "is_ray_initialized", "post_notice"]

logger = logging.getLogger("gpuview")

NAMESPACE = "gpuview"
"""Of Ray's, in which the actors are."""

_ANSWERS_IN_S = 10.0
_TRIES = 3


def is_ray_initialized() -> bool:
    """Tell whether this process is part of a Ray cluster. Imports nothing."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


class Notice:
    """What a notebook has posted, until `remove`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def remove(self) -> None:
        """Take it away."""
        import ray

        with contextlib.suppress(Exception):  # the cluster may have ended
            ray.kill(self._actor)


def post_notice(content: JoinFile) -> Notice:
    """Post how a run is joined, in the place of an earlier notice. Waits for Ray.

    Raises:
        SettingsError: Ray does not take it.
    """
    import ray

    name = _name(content.run)
    holder: Any = ray.remote(num_cpus=0)(_Holder)
    reason = ""
    for _ in range(_TRIES):
        with contextlib.suppress(ValueError):  # there is none
            ray.kill(ray.get_actor(name, namespace=NAMESPACE))
        try:
            options = {"name": name, "namespace": NAMESPACE, "max_restarts": -1}
            actor = holder.options(**options).remote(encode_text(content))
            ray.get(actor.read.remote(), timeout=_ANSWERS_IN_S)
        except Exception as exc:  # Ray's own have no common base; the name is freed a little later
            # Not its text, in which Ray may repeat what was passed.
            reason = type(exc).__name__
        else:
            return Notice(actor)
    raise SettingsError(
        f"Ray workers cannot find the run {content.run!r}: Ray's actor failed with {reason}",
        expected="a Ray cluster whose nodes have gpuview",
        fix="install gpuview on all nodes, or start the workers with stream.join()",
    )


def find_notice(run: str) -> JoinFile:
    """Return how a run is joined. Waits for Ray.

    Raises:
        SettingsError: No notebook has posted it, or Ray does not answer.
    """
    import ray

    try:
        actor = ray.get_actor(_name(run), namespace=NAMESPACE)
        text = ray.get(actor.read.remote(), timeout=_ANSWERS_IN_S)
    except Exception as exc:
        raise SettingsError(
            f"no notebook shows the run {run!r} on this Ray cluster ({type(exc).__name__})",
            expected=f"GPUStream.remote({run!r}) in a notebook that has called ray.init",
            fix=f"run stream = GPUStream.remote({run!r}) there",
        ) from None
    found = decode_text(text, JoinFile)
    assert isinstance(found, JoinFile)
    return found


class _Holder:
    """The actor."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> str:
        return self._text


def _name(run: str) -> str:
    return f"notebook-of-{run}"
