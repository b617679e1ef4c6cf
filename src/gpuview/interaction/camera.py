"""Cameras that people steer with mouse, wheel, fingers and keys.

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
    Fly,
    Orbit,
    Pose,
    Vector,
    projection,
    unit,
    view,
)
from gpuview.interaction.gestures import Gestures, Motion, Steering

if TYPE_CHECKING:
    from gpuview.sources.context import FrameContexts

__all__ = ["CameraView", "FlyCamera", "OrbitCamera"]

_POINTER = ("pointer_down", "pointer_move", "pointer_up", "wheel", "double_click")
_EVENTS = (*_POINTER, "key_down", "key_up", "blur", "close")
_TURN_RAD_PER_PX = 0.006
_PAN_PER_PX = 0.002
_TURN_RAD_PER_S = 1.5
_FASTER = 4.0
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


class _Camera(ABC):
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
            raise _refused(f"{fov_deg = }", "0 < fov_deg < 180", "leave fov_deg out for 50")
        if not 0 < near < far < math.inf:
            raise _refused(f"{near = } and {far = }", "0 < near < far", "near=0.01, far=100")
        if convention not in get_args(Convention):
            raise _refused(
                f"{convention = }", "'opengl' or 'opencv'", "leave convention out for 'opengl'"
            )
        self._up = unit(_vector("up", up, is_zero_allowed=False))
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


class OrbitCamera(_Camera):
    """A camera that people turn round a target.

        stream = GPUStream(render)             # def render(context): ... context.camera.view ...
        camera = gpuview.OrbitCamera(stream)

    Drag, or one finger, turns; with Shift, another button or two fingers it moves the target; the
    wheel and pinching zoom; so do the arrow keys, and + and -. A double click goes back to the
    start. The person who began last steers, and the others watch. From any thread.

    Args:
        stream: Its views steer. A source that takes an argument finds the camera there.
        target: ``(x, y, z)`` of what it looks at.
        distance: From the target; it stays between ``near`` and ``far``.
        azimuth_deg: The angle round ``up``; with +y up, 0 is on the +z side, and 90 on the +x side.
        elevation_deg: The angle above the ground, from -89 to 89.
        up: The direction that is up.
        fov_deg: The vertical field of view, in degrees.
        near, far: The distances between which there is depth.
        convention: ``"opengl"`` or ``"opencv"``; see Note [conventions].
        device: Of its tensors; None is torch's default.

    Raises:
        SettingsError: An argument is out of its range.
    """

    def __init__(
        self,
        stream: HasEvents,
        *,
        target: Sequence[float] = (0, 0, 0),
        distance: float = 3,
        azimuth_deg: float = 30,
        elevation_deg: float = 20,
        up: Sequence[float] = (0, 1, 0),
        fov_deg: float = 50,
        near: float = 0.01,
        far: float = 100,
        convention: Convention = "opengl",
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(stream, up, fov_deg, near, far, convention, device)
        if not near <= distance <= far:
            raise _refused(f"{distance = }", f"{near:g} to {far:g}", "set near and far as well")
        if not (-89 <= elevation_deg <= 89 and math.isfinite(azimuth_deg)):
            raise _refused(
                f"{azimuth_deg = } and {elevation_deg = }",
                "-89 to 89 degrees above the ground",
                "elevation_deg=20",
            )
        self._home = self._orbit = Orbit(
            _vector("target", target),
            distance,
            math.radians(azimuth_deg),
            math.radians(elevation_deg),
        )
        self._begin()

    def _pose(self) -> Pose:
        return self._orbit.pose(self._up)

    def _reset(self) -> None:
        self._orbit = self._home

    def _move(self, motion: Motion) -> None:
        (turn_x, turn_y), (pan_x, pan_y) = motion.turn, motion.pan
        scale = _PAN_PER_PX * self._orbit.distance
        # What is grabbed follows the hand: so the camera goes the other way.
        self._orbit = (
            self._orbit.turned(-turn_x * _TURN_RAD_PER_PX, turn_y * _TURN_RAD_PER_PX)
            .moved(-pan_x * scale, pan_y * scale, self._up)
            .zoomed(motion.zoom, self._near, self._far)
        )

    def _move_by_keys(self, step_s: float) -> None:
        right_rad, down_rad = self._turned_by_keys(step_s)
        zoom = math.exp(self._sign("-", "+") * step_s)
        orbit = self._orbit.turned(right_rad, -down_rad)
        self._orbit = orbit.zoomed(zoom, self._near, self._far)


class FlyCamera(_Camera):
    """A camera that people fly: W, A, S and D, E up and Q down, faster with Shift.

    Drag, one finger or the arrow keys look round; with another button or two fingers it moves
    sideways; the wheel moves it forward. A double click goes back to the start. The person who
    began last steers, and the others watch. From any thread.

    Args:
        stream: As for `OrbitCamera`.
        position: ``(x, y, z)`` of the camera at first.
        target: What it looks at there.
        speed: Units a second.
        up, fov_deg, near, far, convention, device: As for `OrbitCamera`.

    Raises:
        SettingsError: An argument is out of its range.
    """

    def __init__(
        self,
        stream: HasEvents,
        *,
        position: Sequence[float] = (0, 0, 3),
        target: Sequence[float] = (0, 0, 0),
        speed: float = 1,
        up: Sequence[float] = (0, 1, 0),
        fov_deg: float = 50,
        near: float = 0.01,
        far: float = 100,
        convention: Convention = "opengl",
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(stream, up, fov_deg, near, far, convention, device)
        at, seen = _vector("position", position), _vector("target", target)
        if np.allclose(at, seen):
            raise _refused("position equal to target", "two points", "position=(0, 0, 3)")
        if not 0 < speed < math.inf:
            raise _refused(f"{speed = }", "a positive number of units a second", "speed=1")
        self._speed = speed
        self._home = self._fly = Fly.looking_at(at, seen, self._up)
        self._begin()

    def _pose(self) -> Pose:
        return self._fly.pose(self._up)

    def _reset(self) -> None:
        self._fly = self._home

    def _move(self, motion: Motion) -> None:
        (turn_x, turn_y), (pan_x, pan_y) = motion.turn, motion.pan
        scale = _PAN_PER_PX * self._speed
        forward = -math.log(motion.zoom) * self._speed
        self._fly = self._fly.turned(-turn_x * _TURN_RAD_PER_PX, turn_y * _TURN_RAD_PER_PX).moved(
            -pan_x * scale, pan_y * scale, forward, self._up
        )

    def _move_by_keys(self, step_s: float) -> None:
        right_rad, down_rad = self._turned_by_keys(step_s)
        way = self._speed * step_s * (_FASTER if "shift" in self._held else 1)
        self._fly = self._fly.turned(right_rad, -down_rad).moved(
            way * self._sign("d", "a"),
            way * self._sign("e", "q"),
            way * self._sign("w", "s"),
            self._up,
        )


def _vector(name: str, values: Sequence[float], *, is_zero_allowed: bool = True) -> Vector:
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise _refused(f"{name} = {values!r:.80}", "three numbers", f"{name}=(0, 1, 0)")
    if not (is_zero_allowed or vector.any()):
        raise _refused(f"{name} = {values!r:.80}", "a direction", f"{name}=(0, 1, 0)")
    return vector


def _refused(what: str, expected: str, fix: str) -> SettingsError:
    return SettingsError(f"cannot make a camera with {what}", expected=expected, fix=fix)
