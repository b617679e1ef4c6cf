"""Events as handlers get them, and what waits for handlers."""

from __future__ import annotations

from typing import Any

from gpuview.interaction.events import MAX_WAITING, Event, Place, Waiting, Work, as_event
from gpuview.protocol.interaction_messages import RenderEvent, Touch


def event_of(given: RenderEvent, place: Place | None = None) -> Event:
    return as_event(given, "v1", lambda x, y: place)


def ignore(_what: object) -> None:
    """Do nothing."""


def work(kind: str, **fields: Any) -> Work:
    event = {"type": kind, "view": "v1", "buttons": (), "modifiers": (), **fields}
    return Work(ignore, event, is_event=True)


def taken(waiting: Waiting) -> list[Any]:
    return [each.what for each in iter(waiting.take, None)]


class TestAsEvent:
    def test_pointer_event_has_the_specifications_keys_and_where_it_is_in_the_tensor(self) -> None:
        touch = Touch(id=7, x=10, y=20, pressure=0.5)
        given = RenderEvent(
            type="pointer_down",
            timestamp=1.5,
            x=10,
            y=20,
            u=0.25,
            v=0.5,
            button=1,
            buttons=[1],
            modifiers=["Shift"],
            touches=[touch],
        )
        assert event_of(given, Place((3, 4), "model", 0)) == {
            "type": "pointer_down",
            "event_type": "pointer_down",
            "timestamp": 1.5,
            "time_stamp": 1.5,
            "view": "v1",
            "x": 10,
            "y": 20,
            "button": 1,
            "buttons": (1,),
            "modifiers": ("Shift",),
            "ntouches": 1,
            "touches": {7: {"x": 10, "y": 20, "pressure": 0.5}},
            "u": 0.25,
            "v": 0.5,
            "pixel": (3, 4),
            "panel": "model",
            "tile": 0,
        }

    def test_place_that_shows_no_tensor_has_no_pixel(self) -> None:
        event = event_of(RenderEvent(type="pointer_move", timestamp=0, u=0.5, v=0.5))
        assert (event["pixel"], event["panel"], event["tile"]) == (None, None, None)

    def test_other_events_have_their_own_keys_in_both_spellings(self) -> None:
        resize = event_of(RenderEvent(type="resize", timestamp=0, width=640, height=360, ratio=2))
        assert (resize["ratio"], resize["pixel_ratio"], resize["width"]) == (2, 2, 640)
        char = event_of(RenderEvent(type="char", timestamp=0, data="é"))
        assert (char["data"], char["char_str"]) == ("é", "é")
        key = event_of(RenderEvent(type="key_down", timestamp=0, key="a", modifiers=["Alt"]))
        assert (key["key"], key["modifiers"]) == ("a", ("Alt",))
        assert "x" not in key
        wheel = event_of(
            RenderEvent(type="wheel", timestamp=0, u=0, v=0, dx=1, dy=-2), Place((0, 0), None, 0)
        )
        assert (wheel["dx"], wheel["dy"], wheel["pixel"]) == (1, -2, (0, 0))


class TestWaiting:
    def test_moves_in_a_row_are_one_and_clicks_stay_in_order_between_them(self) -> None:
        waiting = Waiting()
        for x in range(5):
            waiting.put(work("pointer_move", x=x))
        waiting.put(work("pointer_down", x=4))
        waiting.put(work("pointer_move", x=8, buttons=(1,)))
        waiting.put(work("pointer_move", x=9, buttons=(1,)))
        waiting.put(work("pointer_up", x=9))
        found = [(each["type"], each["x"]) for each in taken(waiting)]
        expected = ["pointer_move", "pointer_down", "pointer_move", "pointer_up"]
        assert found == list(zip(expected, [4, 4, 9, 9], strict=True))

    def test_the_wheels_ways_add_up_and_those_of_two_views_do_not(self) -> None:
        waiting = Waiting()
        for view in ("v1", "v1", "v2"):
            waiting.put(work("wheel", view=view, dx=1, dy=2))
        ways = [(each["view"], each["dx"], each["dy"]) for each in taken(waiting)]
        assert ways == [("v1", 2, 4), ("v2", 1, 2)]

    def test_work_of_one_key_waits_once(self) -> None:
        waiting = Waiting()
        for _ in range(3):
            waiting.put(Work(ignore, "knob", key="lr"))
            waiting.put(Work(ignore, "press"))
        assert taken(waiting) == ["knob", "press", "press", "press"]

    def test_a_million_clicks_take_bounded_memory_and_are_counted(self) -> None:
        waiting, click = Waiting(), work("pointer_down")
        for _ in range(10 * MAX_WAITING):
            waiting.put(click)
        assert len(waiting) == MAX_WAITING
        assert waiting.n_dropped == 9 * MAX_WAITING
