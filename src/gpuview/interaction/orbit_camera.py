"""A camera that people turn round a target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from gpuview.interaction.camera import (
    PAN_PER_PX,
    TURN_RAD_PER_PX,
    Camera,
    HasEvents,
    refused,
    vector_of,
)
from gpuview.interaction.camera_pose import Convention, Orbit, Pose
from gpuview.interaction.gestures import Motion

__all__ = ["OrbitCamera"]


class OrbitCamera(Camera):
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
        convention: ``"opengl"`` or ``"opencv"``; see Note [conventions] in `camera`.
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
            raise refused(f"{distance = }", f"{near:g} to {far:g}", "set near and far as well")
        if not (-89 <= elevation_deg <= 89 and math.isfinite(azimuth_deg)):
            raise refused(
                f"{azimuth_deg = } and {elevation_deg = }",
                "-89 to 89 degrees above the ground",
                "elevation_deg=20",
            )
        self._home = self._orbit = Orbit(
            vector_of("target", target),
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
        scale = PAN_PER_PX * self._orbit.distance
        # What is grabbed follows the hand: so the camera goes the other way.
        self._orbit = (
            self._orbit.turned(-turn_x * TURN_RAD_PER_PX, turn_y * TURN_RAD_PER_PX)
            .moved(-pan_x * scale, pan_y * scale, self._up)
            .zoomed(motion.zoom, self._near, self._far)
        )

    def _move_by_keys(self, step_s: float) -> None:
        right_rad, down_rad = self._turned_by_keys(step_s)
        zoom = math.exp(self._sign("-", "+") * step_s)
        orbit = self._orbit.turned(right_rad, -down_rad)
        self._orbit = orbit.zoomed(zoom, self._near, self._far)
