"""Where a camera is, and the matrices of that: pure, in float64.

Vectors are arrays of three floats. Matrices multiply column vectors from the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Convention", "Fly", "Orbit", "Pose", "Vector", "projection", "unit", "view"]

Vector: TypeAlias = npt.NDArray[np.float64]
Convention = Literal["opengl", "opencv"]

_MAX_ELEVATION_RAD = math.radians(89)
"""At 90 degrees, the direction that is up on the screen would be undefined."""


@dataclass(frozen=True, slots=True)
class Pose:
    """A position, and the three unit vectors of a camera there."""

    position: Vector
    right: Vector
    up: Vector
    forward: Vector


@dataclass(frozen=True, slots=True)
class Orbit:
    """A camera that looks at a target, from a direction given by two angles."""

    target: Vector
    distance: float
    azimuth_rad: float
    elevation_rad: float

    def turned(self, right_rad: float, up_rad: float) -> Orbit:
        """Return the camera after it has gone round the target."""
        elevation_rad = _within(self.elevation_rad + up_rad, _MAX_ELEVATION_RAD)
        return replace(self, azimuth_rad=self.azimuth_rad + right_rad, elevation_rad=elevation_rad)

    def moved(self, right: float, up: float, world_up: Vector) -> Orbit:
        """Return the camera after it and its target have moved across the line of sight."""
        pose = self.pose(world_up)
        return replace(self, target=self.target + right * pose.right + up * pose.up)

    def zoomed(self, factor: float, near: float, far: float) -> Orbit:
        """Return the camera at ``factor`` times the distance, between ``near`` and ``far``."""
        return replace(self, distance=min(max(self.distance * factor, near), far))

    def pose(self, world_up: Vector) -> Pose:
        """Return where the camera is."""
        forward = -_direction(self.azimuth_rad, self.elevation_rad, world_up)
        return _looking(self.target - self.distance * forward, forward, world_up)


@dataclass(frozen=True, slots=True)
class Fly:
    """A camera that looks in a direction given by two angles, and moves freely."""

    position: Vector
    azimuth_rad: float
    elevation_rad: float

    @classmethod
    def looking_at(cls, position: Vector, target: Vector, world_up: Vector) -> Fly:
        """Return a camera at ``position`` that looks at ``target``, which is somewhere else."""
        forward = unit(target - position)
        side, front = _ground(world_up)
        azimuth_rad = math.atan2(-forward @ side, -forward @ front)
        return cls(position, azimuth_rad, math.asin(_within(float(-forward @ world_up), 1.0)))

    def turned(self, right_rad: float, up_rad: float) -> Fly:
        """Return the camera after it has looked round."""
        elevation_rad = _within(self.elevation_rad - up_rad, _MAX_ELEVATION_RAD)
        return replace(self, azimuth_rad=self.azimuth_rad - right_rad, elevation_rad=elevation_rad)

    def moved(self, right: float, up: float, forward: float, world_up: Vector) -> Fly:
        """Return the camera after it has moved along its own axes."""
        pose = self.pose(world_up)
        step = right * pose.right + up * pose.up + forward * pose.forward
        return replace(self, position=self.position + step)

    def pose(self, world_up: Vector) -> Pose:
        """Return where the camera is."""
        forward = -_direction(self.azimuth_rad, self.elevation_rad, world_up)
        return _looking(self.position, forward, world_up)


def view(pose: Pose, convention: Convention) -> npt.NDArray[np.float64]:
    """Return the 4x4 matrix from world to camera coordinates.

    Camera coordinates are right, up and backward with ``"opengl"``; right, down and forward with
    ``"opencv"``.
    """
    sign = 1.0 if convention == "opengl" else -1.0
    matrix = np.eye(4)
    matrix[:3, :3] = pose.right, sign * pose.up, -sign * pose.forward
    matrix[:3, 3] = -matrix[:3, :3] @ pose.position
    return matrix


def projection(
    fov_y_rad: float, aspect: float, near: float, far: float, convention: Convention
) -> npt.NDArray[np.float64]:
    """Return the 4x4 matrix from camera to clip coordinates.

    After the division by w, x and y are within -1 and 1, y upward with ``"opengl"`` and downward
    with ``"opencv"``; and z goes from -1 at ``near`` to 1 at ``far``, with ``"opencv"`` from 0.
    """
    scale = 1 / math.tan(fov_y_rad / 2)
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = scale / aspect, scale
    if convention == "opengl":
        matrix[2, 2:] = (far + near) / (near - far), 2 * far * near / (near - far)
        matrix[3, 2] = -1
    else:
        matrix[2, 2:] = far / (far - near), -far * near / (far - near)
        matrix[3, 2] = 1
    return matrix


def unit(vector: Vector) -> Vector:
    """Return a vector of the same direction and of length 1."""
    return vector / np.linalg.norm(vector)


def _direction(azimuth_rad: float, elevation_rad: float, world_up: Vector) -> Vector:
    side, front = _ground(world_up)
    level = math.sin(azimuth_rad) * side + math.cos(azimuth_rad) * front
    return math.cos(elevation_rad) * level + math.sin(elevation_rad) * world_up


def _ground(world_up: Vector) -> tuple[Vector, Vector]:
    """Return the directions of azimuth 90 and 0 degrees: +x and +z where +y is up."""
    toward = np.array([0.0, 0.0, 1.0]) if abs(world_up[2]) < 0.9 else np.array([0.0, -1.0, 0.0])
    side = unit(_cross(world_up, toward))
    return side, _cross(side, world_up)


def _looking(position: Vector, forward: Vector, world_up: Vector) -> Pose:
    right = unit(_cross(forward, world_up))
    return Pose(position, right, _cross(right, forward), forward)


def _cross(left: Vector, right: Vector) -> Vector:
    crossed: Any = np.cross(left, right)
    return np.asarray(crossed, dtype=np.float64)


def _within(value: float, bound: float) -> float:
    return min(max(value, -bound), bound)
