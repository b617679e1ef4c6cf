"""A canvas of rendercanvas in a real kernel: drawn by hand, and by pygfx on Mesa's Vulkan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpuview.protocol.interaction_messages import Events, RenderEvent
from gpuview.protocol.wire import to_wire
from gpuview.testing.kernel import Kernel
from gpuview.testing.stream import StreamProxy

pytest.importorskip("rendercanvas")

pytestmark = pytest.mark.kernel

RED, BLUE = (214, 39, 40), (31, 119, 180)
PAINT = f"""
import numpy as np
from gpuview.rendercanvas import RenderCanvas

canvas = RenderCanvas(size=(320, 240), update_mode=MODE)
stream = canvas.stream
bitmap = canvas.get_bitmap_context()
colour, drawn, heard = {RED}, [], []

def draw():
    width, height = canvas.get_physical_size()
    picture = np.full((height, width, 4), (*colour, 255), np.uint8)
    bitmap.set_bitmap(picture)
    drawn.append((width, height))

canvas.request_draw(draw)
"""
SCENE = """
import pygfx
import pylinalg
from gpuview.rendercanvas import RenderCanvas

canvas = RenderCanvas(size=(320, 240))
stream = canvas.stream
renderer = pygfx.renderers.WgpuRenderer(canvas)
scene = pygfx.Scene()
scene.add(pygfx.Background.from_color("#ffffff"))
cube = pygfx.Mesh(pygfx.box_geometry(1, 1, 1), pygfx.MeshBasicMaterial(color="#d62728"))
scene.add(cube)
camera = pygfx.PerspectiveCamera(50, 4 / 3)
camera.show_object(cube)
controller = pygfx.OrbitController(camera, register_events=renderer)
canvas.request_draw(lambda: renderer.render(scene, camera))
"""


def paint(kernel: Kernel, mode: str = "ondemand") -> StreamProxy:
    """Run the cells that make and display a canvas; return its stream."""
    kernel.run(PAINT.replace("MODE", repr(mode)))
    kernel.run("display(canvas)")
    return kernel.stream("stream")


def has_colour(image: np.ndarray, rgb: tuple[int, int, int]) -> bool:
    return bool(np.abs(image.astype(int) - rgb).max() <= 4)


def happen(stream: StreamProxy, kind: Any, **fields: Any) -> None:
    event = RenderEvent(type=kind, timestamp=1.0, **fields)
    stream.send(to_wire(Events(view="v1", events=[event])))


def test_what_is_drawn_is_seen_in_its_colours_and_size(kernel: Kernel) -> None:
    with kernel.view(paint(kernel)) as viewer:
        image = viewer.wait_until(lambda image: has_colour(image, RED))
        assert image.shape == (240, 320, 3)
        kernel.run(f"colour = {BLUE}\ncanvas.request_draw()")
        viewer.wait_until(lambda image: has_colour(image, BLUE))


def test_a_display_has_a_picture_at_once_and_then_nothing_is_drawn_until_somebody_watches(
    kernel: Kernel,
) -> None:
    kernel.run(PAINT.replace("MODE", repr("continuous")))
    (output,) = kernel.run("display(canvas)")
    assert "image/png" in output["data"]
    assert kernel.evaluate("len(drawn)") == 1

    kernel.run("import asyncio\nawait asyncio.sleep(0.5)")  # the loop's time, in which it may draw
    assert kernel.evaluate("len(drawn)") == 1
    with kernel.view(kernel.stream("stream")):
        kernel.wait_until("len(drawn) > 5")
    kernel.wait_until("not stream.viewers")
    count = kernel.evaluate("len(drawn)")
    kernel.run("await asyncio.sleep(0.5)")
    assert kernel.evaluate("len(drawn)") <= count + 1


def test_an_event_reaches_its_handler_on_the_loops_thread_in_the_canvas_own_pixels(
    kernel: Kernel,
) -> None:
    stream = paint(kernel)
    kernel.run(
        "import threading\n"
        "@canvas.add_event_handler('pointer_down', 'key_down')\n"
        "def take(event): heard.append((threading.current_thread().name, dict(event)))"
    )
    assert set(stream.traits["interaction"]["events"]) == {"pointer_down", "key_down", "resize"}
    with kernel.view(stream) as viewer:
        viewer.wait_for_state("playing")
        # The view shows the canvas at half its size.
        happen(stream, "pointer_down", x=40, y=60, u=0.25, v=0.5, button=1, buttons=[1])
        happen(stream, "key_down", key="a")
        kernel.wait_until("len(heard) == 2")
    (thread, down), (_, key) = kernel.evaluate("heard")
    assert thread == "MainThread"
    assert (down["event_type"], down["x"], down["y"], down["buttons"]) == (
        "pointer_down",
        80,
        120,
        [1],
    )
    assert key == {"event_type": "key_down", "key": "a", "modifiers": [], "time_stamp": 1.0}


def test_the_canvas_is_as_large_as_the_view_has_room_for(kernel: Kernel) -> None:
    stream = paint(kernel)
    with kernel.view(stream) as viewer:
        viewer.wait_for_state("playing")
        # Before the first picture, a page has room for one of 16 to 9.
        happen(stream, "resize", width=480, height=270, ratio=1)
        viewer.wait_until(lambda image: image.shape == (270, 360, 3))
        happen(stream, "resize", width=400, height=300, ratio=2)
        viewer.wait_until(lambda image: image.shape == (600, 800, 3))
    assert kernel.evaluate("canvas.get_logical_size()") == [400, 300]
    assert kernel.evaluate("canvas.get_pixel_ratio()") == 2


def test_closing_the_canvas_or_its_stream_ends_both_and_tells_the_handlers(kernel: Kernel) -> None:
    for end in ("canvas.close()", "stream.close()"):
        stream = paint(kernel)
        kernel.run("canvas.add_event_handler(lambda event: heard.append(1), 'close')")
        kernel.run(end)
        kernel.wait_until("heard == [1]")
        assert kernel.evaluate("canvas.get_closed()")
        stream.wait_for(lambda traits: traits["status"]["state"] == "closed")


def test_a_cell_that_is_run_again_leaves_no_canvas_behind(kernel: Kernel) -> None:
    kernel.run("import weakref\nmade = []")
    cell = PAINT.replace("MODE", "'ondemand'") + (
        "canvas.add_event_handler(lambda event, canvas=canvas: None, 'wheel')\n"
        "made.append(weakref.ref(canvas))\ncanvas"
    )
    for _ in range(3):
        kernel.run(cell, cell_id="one")
    kernel.run("")
    assert kernel.evaluate("[each() is not None for each in made]") == [False, False, True]


@pytest.fixture
def vulkan(kernel: Kernel) -> Kernel:
    """Give the kernel, where pygfx can draw."""
    pytest.importorskip("pygfx")
    kernel.run(
        "import wgpu\ntry: why = '' if wgpu.gpu.request_adapter_sync() else 'none'\n"
        "except Exception as exc: why = str(exc)"
    )
    if why := kernel.evaluate("why"):
        pytest.skip(f"no Vulkan driver: {why:.80}")
    return kernel


def test_a_scene_of_pygfx_is_seen_and_its_controller_turns_it(vulkan: Kernel) -> None:
    vulkan.run(SCENE)
    vulkan.run("canvas")
    stream = vulkan.stream("stream")

    with vulkan.view(stream) as viewer:
        image = viewer.wait_until(lambda image: has_colour(image[110:130, 150:170], RED))
        assert has_colour(image[:4], (255, 255, 255))
        before = vulkan.evaluate("camera.world.position.tolist()")
        happen(stream, "pointer_down", x=160, y=120, u=0.5, v=0.5, button=1, buttons=[1])
        happen(stream, "pointer_move", x=240, y=120, u=0.75, v=0.5, buttons=[1])
        happen(stream, "pointer_up", x=240, y=120, u=0.75, v=0.5, button=1)
        vulkan.wait_until(f"abs(camera.world.position - {before}).max() > 0.1")
        viewer.wait_until(lambda turned: np.abs(turned.astype(int) - image).max() > 100)


def test_the_example_of_the_page_plays(vulkan: Kernel) -> None:
    page = (Path(__file__).parents[2] / "docs" / "rendercanvas.md").read_text()
    vulkan.run(page.partition("```python\n")[2].partition("```")[0])
    with vulkan.view(vulkan.stream("canvas.stream")) as viewer:
        viewer.wait_for_frames(10)


def test_events_that_come_while_a_cell_runs_are_merged_and_a_removed_handler_hears_none(
    kernel: Kernel,
) -> None:
    stream = paint(kernel)
    kernel.run("hear = heard.append\ncanvas.add_event_handler(hear, 'pointer_move', 'pointer_up')")
    with kernel.view(stream) as viewer:
        viewer.wait_for_state("playing")
        cell = kernel.start(
            "import time\n"
            "while not any(each['type'] == 'pointer_up' for each in list(canvas._arrived)):\n"
            "    time.sleep(0.01)"
        )
        for number in range(50):
            happen(stream, "pointer_move", x=number, y=9, u=number / 100, v=0.5)
        happen(stream, "pointer_up", x=9, y=9, u=0.5, v=0.5, button=1)
        cell.wait()
        kernel.wait_until("any(each['event_type'] == 'pointer_up' for each in heard)")
    kinds = kernel.evaluate("[each['event_type'] for each in heard]")
    assert kinds == ["pointer_move", "pointer_up"]
    assert kernel.evaluate("heard[0]['x']") == pytest.approx(0.49 * 320)

    kernel.run("canvas.remove_event_handler(hear, 'pointer_move', 'pointer_up')")
    stream.wait_for(lambda traits: traits["interaction"]["events"] == ["resize"])
