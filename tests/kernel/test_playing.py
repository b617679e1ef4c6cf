"""From an offer to decoded frames, in a kernel that is idle, asleep or busy."""

from __future__ import annotations

import socket
from importlib.metadata import version

import numpy as np
import pytest

from gpuview.testing.errors import CellError
from gpuview.testing.kernel import Kernel

pytestmark = pytest.mark.kernel

needs_subshells = pytest.mark.skipif(
    version("ipykernel").startswith("6."),
    reason="ipykernel 6 hears no page while a cell runs",
)

PUSH_RED = """
import numpy as np
from gpuview import GPUStream
red = np.full((96, 128, 3), (214, 39, 40), dtype=np.uint8)
stream = GPUStream()
stream.push(red)
display(stream)
"""
PULL_BRIGHTENING = """
import torch
from gpuview import GPUStream

class Brightening(torch.nn.Module):
    calls = 0

    def forward(self):
        self.calls += 1
        return torch.full((96, 128), min(255, self.calls), dtype=torch.uint8)

model = Brightening()
stream = GPUStream(model)
display(stream)
"""
TAP = """
import torch
from gpuview import GPUStream
model = torch.nn.Sequential(torch.nn.Flatten(0, 1), torch.nn.Identity())
picture = torch.full((1, 1, 240, 320), 0.25)
stream = GPUStream(model, layer="0", value_range=(0, 1), colormap="gray")
display(stream)
"""
SPIN = "print('runs')\nwhile True:\n    pass"
SLEEP = "import time\nprint('runs')\ntime.sleep(1000)"


def is_near(image: np.ndarray, rgb: tuple[int, int, int], levels: int = 3) -> bool:
    return bool(np.abs(image.astype(int) - rgb).max() <= levels)


def test_a_kernel_for_this_machine_alone_is_not_reachable_at_its_other_addresses(
    kernel: Kernel,
) -> None:
    kernel.run(PUSH_RED)
    kernel.view(kernel.stream()).next_frame()
    port = kernel.evaluate("stream.stats().network.port")
    assert kernel.evaluate("stream.stats().viewers[0].local") == f"host 127.0.0.1:{port}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", port))  # fails beside a socket that is bound to all addresses


def test_a_pushed_frame_is_seen_in_its_colours(kernel: Kernel) -> None:
    kernel.run(PUSH_RED)
    viewer = kernel.view(kernel.stream())

    image = viewer.wait_until(lambda image: is_near(image, (214, 39, 40)))

    assert image.shape == (192, 256, 3)  # a small picture is enlarged
    assert viewer.codec == "H264"
    assert viewer.seq == 1


def test_a_vp8_viewer_sees_the_same_colours(kernel: Kernel) -> None:
    kernel.run(PUSH_RED)
    viewer = kernel.view(kernel.stream(), codecs=["VP8"])

    viewer.wait_until(lambda image: is_near(image, (214, 39, 40)))

    assert viewer.codec == "VP8"


def test_the_newest_pushed_frame_replaces_the_one_before(kernel: Kernel) -> None:
    kernel.run(PUSH_RED)
    viewer = kernel.view(kernel.stream())
    viewer.wait_until(lambda image: is_near(image, (214, 39, 40)))

    kernel.run("stream.push(np.full_like(red, 128))")

    viewer.wait_until(lambda image: is_near(image, (128, 128, 128)))


@needs_subshells
@pytest.mark.parametrize("cell", [SLEEP, SPIN], ids=["sleeps", "spins"])
def test_a_view_opened_while_a_cell_runs_plays_before_the_cell_ends(
    kernel: Kernel, cell: str
) -> None:
    kernel.run(PULL_BRIGHTENING)
    running = kernel.start(cell)
    running.wait_for_output()

    viewer = kernel.view(kernel.stream())
    viewer.frames(10)

    assert not running.is_done
    kernel.interrupt()
    with pytest.raises(CellError, match="KeyboardInterrupt"):
        running.wait()


@needs_subshells
def test_a_stream_displayed_by_the_cell_that_then_spins_plays(kernel: Kernel) -> None:
    running = kernel.start(PULL_BRIGHTENING + SPIN)

    kernel.view(kernel.stream()).frames(10)

    assert not running.is_done


def test_a_viewer_goes_on_seeing_frames_while_a_cell_spins(kernel: Kernel) -> None:
    kernel.run(PULL_BRIGHTENING)
    viewer = kernel.view(kernel.stream())
    first = viewer.next_frame()

    kernel.start(SPIN).wait_for_output()

    viewer.wait_until(lambda image: int(image.mean()) > int(first.mean()) + 20)


def test_interrupting_a_cell_does_not_interrupt_the_video(kernel: Kernel) -> None:
    kernel.run(PULL_BRIGHTENING)
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()
    running = kernel.start(SLEEP)
    running.wait_for_output()

    kernel.interrupt()

    with pytest.raises(CellError, match="KeyboardInterrupt"):
        running.wait()
    viewer.frames(10)
    assert viewer.seq == 1


def test_a_model_is_pulled_only_while_it_is_watched(kernel: Kernel) -> None:
    kernel.run(PULL_BRIGHTENING)
    assert kernel.evaluate("model.calls") == 1  # for the picture that is saved with the notebook

    with kernel.view(kernel.stream()) as viewer:
        viewer.next_frame()
        assert kernel.evaluate("model.calls") > 0

    # At 30 frames a second, two looks 0.2 s apart agree only once the calls have stopped.
    kernel.run("import threading; pause = threading.Event().wait")
    kernel.wait_until("[model.calls, pause(0.2), model.calls][::2] == [model.calls] * 2")


def test_a_view_that_comes_late_sees_the_newest_frame(kernel: Kernel) -> None:
    kernel.run(PUSH_RED.replace("display(stream)", ""))  # which would expect a viewer
    kernel.run("for level in (128, 64):\n    stream.push(np.full_like(red, level))")
    assert kernel.evaluate("stream.stats().frames_dropped['unwatched']") == 3

    viewer = kernel.view(kernel.stream("stream"))

    viewer.wait_until(lambda image: is_near(image, (64, 64, 64)))
    assert kernel.evaluate("stream.stats().frames_dropped['unwatched']") == 2


@needs_subshells
def test_a_tapped_layer_is_seen_while_a_cell_calls_its_model(kernel: Kernel) -> None:
    kernel.run(TAP)
    running = kernel.start("print('runs')\nwhile True:\n    model(picture)")
    running.wait_for_output()

    viewer = kernel.view(kernel.stream())

    viewer.wait_until(lambda image: is_near(image, (64, 64, 64)))
    assert not running.is_done


def test_a_wrong_tensor_raises_at_push_and_the_stream_goes_on(kernel: Kernel) -> None:
    kernel.run(PUSH_RED)
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()

    with pytest.raises(CellError, match="expected:") as caught:
        kernel.run("stream.push(np.zeros((5, 2, 96, 128, 3), dtype=np.uint8))")

    assert caught.value.name == "FrameError"
    kernel.run("stream.push(np.full_like(red, 128))")
    viewer.wait_until(lambda image: is_near(image, (128, 128, 128)))


def test_a_source_that_raises_says_so_and_goes_on_when_it_recovers(kernel: Kernel) -> None:
    kernel.run(PULL_BRIGHTENING)
    stream = kernel.stream()
    viewer = kernel.view(stream)
    viewer.next_frame()

    kernel.run("good, Brightening.forward = Brightening.forward, lambda self: 1 / 0")
    status = stream.wait_for(lambda traits: traits["status"]["state"] == "error")["status"]
    assert "division by zero" in status["problem"]
    assert status["fix"]
    kernel.run("Brightening.forward = good")

    stream.wait_for(lambda traits: traits["status"]["state"] == "live")
    viewer.frames(5)


def test_three_viewers_of_one_codec_share_one_encoder(kernel: Kernel) -> None:
    kernel.run(PULL_BRIGHTENING)
    viewers = [kernel.view(kernel.stream(), codecs=["H264"]) for _ in range(3)]

    for viewer in viewers:
        viewer.frames(3)

    assert kernel.evaluate("len(stream.stats().encoders)") == 1
    assert len(kernel.evaluate("stream.viewers")) == 3


def test_viewers_of_two_codecs_have_two_encoders(kernel: Kernel) -> None:
    kernel.run(PULL_BRIGHTENING)
    h264 = kernel.view(kernel.stream(), codecs=["H264"])
    vp8 = kernel.view(kernel.stream(), codecs=["VP8"])

    h264.frames(3)
    vp8.frames(3)

    assert (h264.codec, vp8.codec) == ("H264", "VP8")
    assert kernel.evaluate("len(stream.stats().encoders)") == 2
