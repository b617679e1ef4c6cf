"""What a source is told for each frame."""

import threading

import pytest

from gpuview.sources.context import FrameContexts


class Camera:
    def at(self, time_s: float, size: object) -> float:
        return time_s


def test_frames_are_counted_and_timed_from_the_first():
    contexts = FrameContexts()
    first, second = contexts.next(), contexts.next()

    assert (first.number, second.number) == (0, 1)
    assert first.time_s == 0 < second.time_s


def test_nothing_is_known_before_a_view_is_there():
    context = FrameContexts().next()

    assert (context.size, context.camera, context.events) == (None, None, ())


def test_a_frame_has_the_events_since_the_one_before_in_their_order():
    contexts = FrameContexts()
    for x in range(3):
        contexts.take({"type": "pointer_move", "x": x})

    assert [event["x"] for event in contexts.next().events] == [0, 1, 2]
    assert contexts.next().events == ()


def test_events_that_no_frame_takes_are_bounded_and_the_newest_stay():
    contexts = FrameContexts()
    for x in range(2000):
        contexts.take({"type": "pointer_move", "x": x})
    events = contexts.next().events

    assert len(events) == 1024
    assert events[-1]["x"] == 1999


def test_events_from_another_thread_come_in_one_frame_each():
    contexts = FrameContexts()
    thread = threading.Thread(
        target=lambda: [contexts.take({"type": "pointer_move", "x": x}) for x in range(1000)],
        daemon=True,
    )
    thread.start()
    seen = []
    while thread.is_alive():
        seen += contexts.next().events
    seen += contexts.next().events

    assert [event["x"] for event in seen] == list(range(1000))


def resized(view: str, width: float, height: float, ratio: float = 1) -> dict[str, object]:
    return {"type": "resize", "view": view, "width": width, "height": height, "ratio": ratio}


def test_the_size_is_the_largest_views_in_device_pixels_and_even():
    contexts = FrameContexts()
    contexts.take(resized("a", 101, 51, 1.5))
    assert contexts.next().size == (152, 76)
    contexts.take(resized("b", 640.4, 360))
    contexts.take(resized("a", 100, 50))
    assert contexts.next().size == (640, 360)

    contexts.keep_views(["a"])
    assert contexts.next().size == (100, 50)
    contexts.keep_views([])
    assert contexts.next().size == (100, 50), "a source goes on as it was"


@pytest.mark.parametrize("width", [0, -5, 1e9])
def test_a_size_that_is_absurd_is_bounded(width):
    contexts = FrameContexts()
    contexts.take(resized("a", width, width, 100))
    assert contexts.size[0] >= 2
    assert contexts.size[0] * contexts.size[1] <= 3840 * 2400


def test_sizes_of_a_thousand_views_are_bounded():
    contexts = FrameContexts()
    for index in range(1000):
        contexts.take(resized(str(index), 2 + 2 * index, 10))
    assert contexts.size == (512, 10)


def test_the_camera_is_read_once_for_each_frame():
    contexts = FrameContexts()
    contexts.camera = Camera()
    first, second = contexts.next().camera, contexts.next().camera

    assert 0 < first < second
