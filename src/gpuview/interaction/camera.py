"""What the cameras share that people steer with mouse, wheel, fingers and keys.

Note [conventions]. ``view`` maps world to camera coordinates and ``projection`` those to clip
coordinates; both multiply column vectors: ``projection @ view @ (x, y, z, 1)``. With
``convention="opengl"``, the default, a camera looks along its -z with +y up, and clip coordinates
are within -1 and 1 with y upward. With ``"opencv"`` it looks along +z with +y down, depth goes from
0 to 1, and y points downward, as rows do.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from gpuview.errors import SettingsError
from gpuview.interaction.camera_pose import (
    Convention,
    Pose,
    Vector,
    projection,
    unit,
    view,
)
from gpuview.interaction.gestures import Gestures, Motion, Steering

if TYPE_CHECKING:
    from gpuview.sources.context import FrameContexts

__all__ = [
    "PAN_PER_PX",
    "TURN_RAD_PER_PX",
    "Camera",
    "CameraView",
    "HasEvents",
    "refused",
    "vector_of",
]

_POINTER = ("pointer_down", "pointer_move", "pointer_up", "wheel", "double_click")
_EVENTS = (*_POINTER, "key_down", "key_up", "blur", "close")
TURN_RAD_PER_PX = 0.006
PAN_PER_PX = 0.002
_TURN_RAD_PER_S = 1.5
_MAX_STEP_S = 0.25
"""The longest time that a held key moves a camera at once: nobody has looked in the meantime."""
_DEFAULT_ASPECT = 16 / 9

_TURN_KEYS = {
    "arrowleft": (-1.0, 0.0),
    "arrowright": (1.0, 0.0),
    "arrowup": (0.0, -1.0),
    "arrowdown": (0.0, 1.0),
}


class HasEvents(Protocol):
    """What a camera needs of a stream."""

    def use_frame_contexts(self) -> FrameContexts: ...

    def add_event_handler(self, handler: Callable[..., object], *types: str) -> object: ...

    def remove_event_handler(self, handler: Callable[..., object], *types: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraView:
    """A camera at one moment. Its tensors are float32, on the camera's device."""

    view: Tensor
    """``(4, 4)``, from world to camera coordinates; see Note [conventions]."""
    projection: Tensor
    """``(4, 4)``, from camera to clip coordinates."""
    position: Tensor
    """``(3,)``, in world coordinates."""

    def rays(self, width: int, height: int) -> Tensor:
        """Return the directions from the camera through the centres of an image's pixels.

        Returns:
            Unit vectors in world coordinates, ``(height, width, 3)``; row 0 is the top.
        """
        device = self.view.device
        x = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
        y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        ahead = self.projection[3, 2]  # -1 with OpenGL, where y points upward; 1 with OpenCV
        x_scale, y_scale = self.projection[0, 0], self.projection[1, 1]
        parts = (columns / x_scale, ahead * rows / y_scale, ahead.expand_as(rows))
        directions = torch.stack(parts, dim=-1) @ self.view[:3, :3]  # the transpose is the inverse
        return torch.nn.functional.normalize(directions, dim=-1)


class Camera(ABC):
    """What both cameras share: who steers, which keys are held, and the matrices."""

    def __init__(
        self,
        stream: HasEvents,
        up: Sequence[float],
        fov_deg: float,
        near: float,
        far: float,
        convention: Convention,
        device: torch.device | str | None,
    ) -> None:
        if not 0 < fov_deg < 180:
            raise refused(f"{fov_deg = }", "0 < fov_deg < 180", "leave fov_deg out for 50")
        if not 0 < near < far < math.inf:
            raise refused(f"{near = } and {far = }", "0 < near < far", "near=0.01, far=100")
        if convention not in get_args(Convention):
            raise refused(
                f"{convention = }", "'opengl' or 'opencv'", "leave convention out for 'opengl'"
            )
        self._up = unit(vector_of("up", up, is_zero_allowed=False))
        self._fov_y_rad = math.radians(fov_deg)
        self._near, self._far, self._convention = near, far, convention
        self._device = torch.get_default_device() if device is None else torch.device(device)
        self._lock = threading.Lock()  # guards what follows
        self._steering = Steering()
        self._gestures = Gestures()
        self._held: set[str] = set()
        self._advanced_s = time.monotonic()
        self._stream = stream

    def _begin(self) -> None:
        """Take part, once the camera is complete."""
        self._contexts = self._stream.use_frame_contexts()
        self._contexts.camera = self
        self._stream.add_event_handler(self._handle, *_EVENTS)

    @property
    def view(self) -> Tensor:
        """From world to camera coordinates, ``(4, 4)``. A new tensor: read it once a frame."""
        return self._now().view

    @property
    def projection(self) -> Tensor:
        """From camera to clip coordinates, ``(4, 4)``."""
        return self._now().projection

    @property
    def position(self) -> Tensor:
        """In world coordinates, ``(3,)``."""
        return self._now().position

    @property
    def events_refused(self) -> int:
        """How many clicks, turns of the wheel and keys came from views that did not steer."""
        return self._steering.n_refused

    def close(self) -> None:
        """Stay where it is, and steer no more."""
        self._stream.remove_event_handler(self._handle, *_EVENTS)

    def at(self, time_s: float, size: tuple[int, int] | None) -> CameraView:
        """Return where the camera is at a time on ``time.monotonic``.

        Args:
            time_s: Held keys have moved the camera until then.
            size: Width and height of the picture, for the projection; None is 16 to 9.
        """
        with self._lock:
            self._advance(time_s)
            pose = self._pose()
        aspect = _DEFAULT_ASPECT if size is None else size[0] / size[1]
        return CameraView(
            view=self._tensor(view(pose, self._convention)),
            projection=self._tensor(
                projection(self._fov_y_rad, aspect, self._near, self._far, self._convention)
            ),
            position=self._tensor(pose.position),
        )

    def _now(self) -> CameraView:
        return self.at(time.monotonic(), self._contexts.size)

    def _tensor(self, values: Vector) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32).to(self._device, non_blocking=True)

    def _handle(self, event: Mapping[str, Any]) -> None:
        with self._lock:
            if self._steering.takes(event):
                self._advance(time.monotonic())
                self._read(event)

    def _read(self, event: Mapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "key_down":
            self._held.add(event["key"].lower())
        elif kind == "key_up":
            self._held.discard(event["key"].lower())
        elif kind in ("blur", "close"):
            self._held.clear()
        elif kind == "double_click":
            self._reset()
        else:
            self._move(self._gestures.motion(event))

    def _advance(self, time_s: float) -> None:
        """Move as the held keys say, until now."""
        step_s = min(max(time_s - self._advanced_s, 0.0), _MAX_STEP_S)
        self._advanced_s = max(time_s, self._advanced_s)
        if self._held and step_s:
            self._move_by_keys(step_s)

    def _turned_by_keys(self, step_s: float) -> tuple[float, float]:
        """Return the angles, rightward and downward, by which the arrow keys turn."""
        turns = [_TURN_KEYS[key] for key in self._held if key in _TURN_KEYS]
        angle_rad = _TURN_RAD_PER_S * step_s
        return angle_rad * sum(x for x, _ in turns), angle_rad * sum(y for _, y in turns)

    def _sign(self, positive: str, negative: str) -> int:
        return (positive in self._held) - (negative in self._held)

    @abstractmethod
    def _pose(self) -> Pose: ...

    @abstractmethod
    def _reset(self) -> None: ...

    @abstractmethod
    def _move(self, motion: Motion) -> None: ...

    @abstractmethod
    def _move_by_keys(self, step_s: float) -> None: ...


def vector_of(name: str, values: Sequence[float], *, is_zero_allowed: bool = True) -> Vector:
    """Return three finite numbers as a vector.

    Raises:
        SettingsError: They are something else.
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise refused(f"{name} = {values!r:.80}", "three numbers", f"{name}=(0, 1, 0)")
    if not (is_zero_allowed or vector.any()):
        raise refused(f"{name} = {values!r:.80}", "a direction", f"{name}=(0, 1, 0)")
    return vector


def refused(what: str, expected: str, fix: str) -> SettingsError:
    """Return the error of an argument that is out of its range."""
    return SettingsError(f"cannot make a camera with {what}", expected=expected, fix=fix)
