"""A camera that people fly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from gpuview.interaction.camera import (
    PAN_PER_PX,
    TURN_RAD_PER_PX,
    Camera,
    HasEvents,
    refused,
    vector_of,
)
from gpuview.interaction.camera_pose import Convention, Fly, Pose
from gpuview.interaction.gestures import Motion

__all__ = ["FlyCamera"]

_FASTER = 4.0


class FlyCamera(Camera):
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
        at, seen = vector_of("position", position), vector_of("target", target)
        if np.allclose(at, seen):
            raise refused("position equal to target", "two points", "position=(0, 0, 3)")
        if not 0 < speed < math.inf:
            raise refused(f"{speed = }", "a positive number of units a second", "speed=1")
        self._speed = speed
        self._home = self._fly = Fly.looking_at(at, seen, self._up)
        self._begin()

    def _pose(self) -> Pose:
        return self._fly.pose(self._up)

    def _reset(self) -> None:
        self._fly = self._home

    def _move(self, motion: Motion) -> None:
        (turn_x, turn_y), (pan_x, pan_y) = motion.turn, motion.pan
        scale = PAN_PER_PX * self._speed
        forward = -math.log(motion.zoom) * self._speed
        self._fly = self._fly.turned(-turn_x * TURN_RAD_PER_PX, turn_y * TURN_RAD_PER_PX).moved(
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
