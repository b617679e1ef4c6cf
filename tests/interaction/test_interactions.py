"""What views say is passed on to who answers it, within limits."""

from __future__ import annotations

from gpuview.interaction.interactions import Interactions
from gpuview.protocol.interaction_messages import (
    Events,
    FromView,
    Interaction,
    RenderEvent,
    SetKnob,
)

PRESS = SetKnob(view="v1", name="go", value=1)


def nothing(_message: object) -> None:
    """Tell a view nothing."""


def test_each_kind_goes_to_the_one_who_answers_it() -> None:
    interactions, taken = Interactions(nothing), list[FromView]()
    interactions.answer(SetKnob, lambda message, reply: taken.append(message))
    interactions.take(PRESS, nothing)
    event = RenderEvent(type="focus", timestamp=1)
    interactions.take(Events(view="v1", events=[event]), nothing)
    assert taken == [PRESS]
    assert interactions.n_refused == 1


def test_flood_of_one_view_is_dropped_and_another_view_is_heard() -> None:
    interactions, taken = Interactions(nothing), list[str]()
    interactions.answer(SetKnob, lambda message, reply: taken.append(message.view))
    for _ in range(10_000):
        interactions.take(PRESS, nothing)
    interactions.take(SetKnob(view="v2", name="go", value=1), nothing)
    assert taken.count("v1") < 1000
    assert taken[-1] == "v2"
    assert interactions.n_refused == 10_001 - len(taken)


def test_many_views_take_bounded_memory() -> None:
    interactions = Interactions(nothing)
    interactions.answer(SetKnob, lambda message, reply: None)
    for n in range(2000):
        interactions.take(SetKnob(view=f"v{n}", name="go", value=1), nothing)
    assert len(interactions._limits) < 300


def test_pages_are_told_what_views_may_say() -> None:
    told: list[Interaction] = []
    interactions = Interactions(told.append)
    interactions.change(events=["wheel"])
    interactions.change(knobs=[])
    assert told == [Interaction(events=["wheel"])] * 2
    assert interactions.newest == told[-1]
