"""Cameras: their matrices, and how people steer them."""

import math
import time

import numpy as np
import pytest
import torch

from gpuview.errors import SettingsError
from gpuview.interaction.fly_camera import FlyCamera
from gpuview.interaction.orbit_camera import OrbitCamera
from gpuview.sources.context import FrameContexts, Room


class Stream:
    """The part of a stream that cameras use."""

    def __init__(self) -> None:
        self.frame_contexts = FrameContexts()
        self.handlers = []

    def use_frame_contexts(self):
        return self.frame_contexts

    def add_event_handler(self, handler, *types):
        self.handlers.append(handler)

    def remove_event_handler(self, handler, *types):
        self.handlers.remove(handler)

    def send(self, kind, view="a", **fields):
        for handler in self.handlers:
            handler({"type": kind, "view": view, **fields})


@pytest.fixture
def stream() -> Stream:
    return Stream()


def pointer(stream, kind, x, y, *, view="a", buttons=(1,), modifiers=(), touches=None):
    touches = {index: {"x": x, "y": y} for index, (x, y) in enumerate(touches or [])}
    fields = {"x": x, "y": y, "buttons": buttons, "modifiers": modifiers}
    stream.send(kind, view, touches=touches, ntouches=len(touches), **fields)


def drag(stream, way, **options):
    pointer(stream, "pointer_down", 10, 20, **options)
    pointer(stream, "pointer_move", 10 + way[0], 20 + way[1], **options)
    pointer(stream, "pointer_up", 10 + way[0], 20 + way[1], **options | {"buttons": ()})


def on_screen(camera, point):
    """Return where a point of the world is in normalised device coordinates."""
    clip = camera.projection @ camera.view @ torch.tensor([*point, 1.0])
    return (clip[:3] / clip[3]).tolist()


CAMERAS = [
    lambda stream, **options: OrbitCamera(stream, azimuth_deg=0, elevation_deg=0, **options),
    FlyCamera,
]


@pytest.mark.parametrize("make", CAMERAS, ids=["orbit", "fly"])
@pytest.mark.parametrize(("convention", "up", "near"), [("opengl", 1, -1), ("opencv", -1, 0)])
def test_matrices_follow_their_convention(stream, make, convention, up, near):
    camera = make(stream, convention=convention, near=1, far=5, fov_deg=90)
    half = 3.0  # at the target's distance, with 90 degrees

    assert camera.position.tolist() == pytest.approx([0, 0, 3], abs=1e-6)
    assert on_screen(camera, (0, 0, 2)) == pytest.approx([0, 0, near], abs=1e-6)
    assert on_screen(camera, (0, 0, -2)) == pytest.approx([0, 0, 1], abs=1e-6)
    assert on_screen(camera, (half * 16 / 9, half, 0))[:2] == pytest.approx([1, up], abs=1e-6)


def test_the_projection_has_the_shape_of_the_picture(stream):
    camera = OrbitCamera(stream, azimuth_deg=0, elevation_deg=0, fov_deg=90)
    stream.frame_contexts.room = Room((200, 100), 1)

    assert on_screen(camera, (6, 3, 0))[:2] == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize("up", [(0, 1, 0), (0, 0, 1), (0, -2, 0), (1, 1, 0)])
@pytest.mark.parametrize("convention", ["opengl", "opencv"])
def test_the_camera_is_upright_and_its_axes_are_a_rotation(stream, up, convention):
    view = OrbitCamera(stream, up=up, convention=convention).view.double()
    rotation, world_up = view[:3, :3], torch.tensor(up).double()

    assert torch.allclose(rotation @ rotation.T, torch.eye(3).double(), atol=1e-6)
    assert torch.linalg.det(rotation).item() == pytest.approx(1, abs=1e-6)
    right, vertical = rotation[0], rotation[1] * (1 if convention == "opengl" else -1)
    assert (right @ world_up).item() == pytest.approx(0, abs=1e-6)
    assert (vertical @ world_up).item() > 0


@pytest.mark.parametrize("convention", ["opengl", "opencv"])
def test_rays_go_through_the_pixels_whose_points_they_hit(stream, convention):
    camera = OrbitCamera(stream, convention=convention)
    stream.frame_contexts.room = Room((8, 4), 1)
    now = camera.at(0, (8, 4))
    rays = now.rays(8, 4)

    assert rays.shape == (4, 8, 3)
    for row, column in ((0, 0), (3, 1), (2, 7)):
        x, y, _ = on_screen(camera, (now.position + 2 * rays[row, column]).tolist())
        down = -y if convention == "opengl" else y
        assert (x, down) == pytest.approx(((column + 0.5) / 4 - 1, (row + 0.5) / 2 - 1), abs=1e-5)


def test_dragging_turns_the_camera_so_that_what_is_grabbed_follows_the_hand(stream):
    camera = OrbitCamera(stream, azimuth_deg=0, elevation_deg=0)
    drag(stream, (100, 0))
    assert camera.position[0] < 0
    assert camera.position[1].item() == pytest.approx(0, abs=1e-6)

    camera = FlyCamera(Stream())
    before = on_screen(camera, (0, 0, 0))
    drag(camera._stream, (100, 50))
    x, y, _ = on_screen(camera, (0, 0, 0))
    assert x > before[0]
    assert y < before[1]


@pytest.mark.parametrize(
    "options",
    [{"modifiers": ("Shift",)}, {"buttons": (2,)}, {"buttons": (3,)}],
    ids=["shift", "right", "middle"],
)
def test_another_button_moves_the_target_across_the_line_of_sight(stream, options):
    camera = OrbitCamera(stream, azimuth_deg=0, elevation_deg=0)
    drag(stream, (50, 0), **options)

    x, y, z = camera.position.tolist()
    assert x < 0
    assert (y, z) == pytest.approx((0, 3), abs=1e-6)


def test_two_fingers_move_and_pinch(stream):
    camera = OrbitCamera(stream, azimuth_deg=0, elevation_deg=0)
    pointer(stream, "pointer_down", 0, 0, buttons=(1,), touches=[(0, 0)])
    pointer(stream, "pointer_down", 0, 0, buttons=(1,), touches=[(0, 0), (100, 0)])
    pointer(stream, "pointer_move", 0, 0, buttons=(1,), touches=[(-50, 0), (150, 0)])

    assert camera.position.tolist() == pytest.approx([0, 0, 1.5], abs=1e-6)
    # One finger stays: it turns from where it is, without a jump.
    pointer(stream, "pointer_up", 150, 0, buttons=(1,), touches=[(-50, 0)])
    pointer(stream, "pointer_move", -50, 0, buttons=(1,), touches=[(-50, 0)])
    assert camera.position.tolist() == pytest.approx([0, 0, 1.5], abs=1e-6)


def test_the_wheel_zooms_within_near_and_far_and_a_double_click_goes_back(stream):
    camera = OrbitCamera(stream, azimuth_deg=0, elevation_deg=0, near=1, far=10)
    stream.send("wheel", dx=0, dy=100)
    assert 3 < camera.position[2] < 10
    stream.send("wheel", dx=0, dy=1e5)
    assert camera.position[2].item() == pytest.approx(10)
    stream.send("wheel", dx=0, dy=-1e5)
    assert camera.position[2].item() == pytest.approx(1)

    stream.send("double_click")
    assert camera.position[2].item() == pytest.approx(3)


def test_held_keys_fly_as_far_at_any_frame_rate(stream):
    ends = []
    for steps in (3, 30):
        camera = FlyCamera(stream)
        began_s = time.monotonic()
        camera.at(began_s, None)
        stream.send("key_down", key="W")
        for step in range(1, steps + 1):
            position = camera.at(began_s + step * 0.6 / steps, None).position
        stream.send("key_up", key="w")
        assert camera.at(began_s + 50, None).position.tolist() == position.tolist()
        ends.append(position[2].item())
        camera.close()

    assert ends == pytest.approx([3 - 0.6] * 2, abs=0.02)


def test_a_held_key_does_nothing_while_nobody_looks_and_ends_with_the_focus(stream):
    camera = FlyCamera(stream)
    stream.send("key_down", key="d")
    far = camera.at(time.monotonic() + 100, None).position[0].item()
    assert 0 < far <= 0.25 + 1e-6

    stream.send("blur")
    assert camera.at(time.monotonic() + 200, None).position[0].item() == pytest.approx(far)


def test_who_began_last_steers_unless_a_button_is_held_elsewhere(stream):
    camera = OrbitCamera(stream)

    def moves(action) -> bool:
        before = camera.position
        action()
        return not torch.equal(camera.position, before)

    pointer(stream, "pointer_down", 0, 0, view="a")
    assert not moves(lambda: drag(stream, (50, 0), view="b")), "a holds a button"
    assert camera.events_refused == 1
    assert moves(lambda: pointer(stream, "pointer_move", 60, 0, view="a"))
    pointer(stream, "pointer_up", 60, 0, view="a", buttons=())
    assert moves(lambda: drag(stream, (50, 0), view="b")), "b takes over"
    assert not moves(lambda: pointer(stream, "pointer_move", 99, 0, view="a")), "a watches"
    assert camera.events_refused == 1, "who only moves the pointer does not try to steer"
    pointer(stream, "pointer_down", 0, 0, view="b")
    stream.send("close", view="b")
    assert moves(lambda: drag(stream, (50, 0), view="a")), "b has gone"


def test_moves_without_a_button_change_nothing(stream):
    camera = OrbitCamera(stream)
    before = camera.view
    drag(stream, (0, 0))
    pointer(stream, "pointer_move", 500, 500, buttons=())

    assert torch.equal(camera.view, before)


def test_the_camera_never_turns_over_the_top(stream):
    camera = OrbitCamera(stream)
    drag(stream, (0, 1e6))

    assert camera.view[1, 1].item() == pytest.approx(math.cos(math.radians(89)), abs=1e-4)


def test_a_source_gets_the_camera_of_its_moment_on_the_cameras_device(stream):
    OrbitCamera(stream, azimuth_deg=0, elevation_deg=0, device="meta")
    context = stream.frame_contexts.next()

    assert (context.camera.view.shape, context.camera.view.device.type) == ((4, 4), "meta")


def test_a_closed_camera_stays_where_it_is(stream):
    camera = OrbitCamera(stream)
    camera.close()

    assert not stream.handlers
    assert np.isfinite(camera.view.numpy()).all()


@pytest.mark.parametrize(
    ("make", "options", "problem"),
    [
        (OrbitCamera, {"fov_deg": 180}, "fov_deg"),
        (OrbitCamera, {"near": 2, "far": 1}, "near = 2 and far = 1"),
        (OrbitCamera, {"distance": 1e9}, "distance"),
        (OrbitCamera, {"elevation_deg": 90}, "elevation_deg = 90"),
        (OrbitCamera, {"up": (0, 0, 0)}, "up"),
        (OrbitCamera, {"target": (0, 0)}, "target"),
        (OrbitCamera, {"target": (0, 0, math.nan)}, "target"),
        (OrbitCamera, {"convention": "directx"}, "convention = 'directx'"),
        (FlyCamera, {"position": (1, 1, 1), "target": (1, 1, 1)}, "position equal to target"),
        (FlyCamera, {"speed": 0}, "speed = 0"),
    ],
)
def test_an_argument_out_of_its_range_is_refused_with_a_fix(stream, make, options, problem):
    with pytest.raises(SettingsError, match=problem) as refused:
        make(stream, **options)

    assert refused.value.fix
    assert not stream.handlers
