"""What a view says over its data channel reaches the kernel, within limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpuview.media.interaction_channel import MAX_MESSAGES_PER_S, InteractionChannel
from gpuview.protocol.interaction_messages import FromView, SetKnob, ToView
from gpuview.protocol.wire import encode_text
from tests.media.test_page_channel import Channel

PRESS = SetKnob(view="v1", name="go", value=1)


class Told(ToView, frozen=True, kw_only=True):
    """A reply."""


def listening() -> tuple[InteractionChannel, Any, list[FromView]]:
    said: list[FromView] = []
    interaction, channel = InteractionChannel("v1", said.append), Channel()
    interaction.listen(channel)  # type: ignore[arg-type]
    return interaction, channel, said


def test_what_a_view_says_is_passed_on_in_order() -> None:
    interaction, channel, said = listening()
    messages = [SetKnob(view="v1", name="lr", value=n / 10) for n in range(20)]
    for message in messages:
        channel.emit("message", encode_text(message))
    assert said == messages
    assert interaction.n_refused == 0


def test_flood_is_counted_and_dropped() -> None:
    interaction, channel, said = listening()
    for _ in range(5000):
        channel.emit("message", encode_text(PRESS))
    assert MAX_MESSAGES_PER_S <= len(said) < 1000
    assert interaction.n_refused == 5000 - len(said)


@pytest.mark.parametrize(
    "message",
    [
        b"\x00" * 100,
        "press",
        "[" * 10_000,
        json.dumps({"type": "Ping", "sent_ms": 1}),
        json.dumps({"type": "SetKnob", "view": "another", "name": "go", "value": 1}),
        json.dumps({"type": "SetKnob", "view": "v1", "name": "go", "value": [0] * 17}),
        json.dumps({"type": "SetKnob", "view": "v1", "name": "x" * 20_000, "value": 1}),
        json.dumps({"type": "Events", "view": "v1", "events": []}),
        json.dumps({"type": "Events", "view": "v1", "events": [{"type": "explode"}]}),
    ],
)
def test_nonsense_is_refused_and_after_too_much_of_it_nothing_is_read(message: object) -> None:
    interaction, channel, said = listening()
    channel.emit("message", message)
    assert interaction.n_refused == 1
    channel.emit("message", encode_text(PRESS))
    assert said == [PRESS]
    for _ in range(30):
        channel.emit("message", message)
    channel.emit("message", encode_text(PRESS))
    assert said == [PRESS]


def test_view_is_told_something_while_its_channel_is_open() -> None:
    interaction, channel, _ = listening()
    channel.bufferedAmount = 0
    assert interaction.send(Told(view="v1"))
    assert json.loads(channel.sent[-1]) == {"type": "Told", "view": "v1"}
    channel.bufferedAmount = 1 << 30
    assert interaction.send(Told(view="v1"))
    channel.readyState = "closing"
    assert not interaction.send(Told(view="v1"))
    assert len(channel.sent) == 1
