"""What keeps a widget alive, and which widget catches output."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import comm
import ipywidgets
import pytest

from gpuview.ipywidgets_compat import is_captured, read_messages_weakly, unregistered
from tests.fakes import FakeComm


@pytest.fixture
def widget(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Give a list with a widget, whose only other references are ipywidgets' and its comm's."""
    monkeypatch.setattr(comm, "create_comm", FakeComm)
    box: list[Any] = [ipywidgets.Layout()]
    yield box
    for each in box:
        each.close()


def test_a_widget_that_nothing_refers_to_lives_because_it_is_registered(widget: list[Any]) -> None:
    weak = ref(widget.pop())
    page = weak().comm
    gc.collect()
    assert weak() is not None
    read_messages_weakly(weak())
    with unregistered({page.comm_id: weak}):
        gc.collect()
    assert weak() is None
    page.say({"method": "request_state"})  # nobody hears it
    assert page.sent == []


def test_a_widget_that_is_alive_afterwards_is_registered_again(widget: list[Any]) -> None:
    page = widget[0].comm
    read_messages_weakly(widget[0])
    with unregistered({page.comm_id: ref(widget[0])}):
        gc.collect()
    weak = ref(widget.pop())
    gc.collect()
    assert weak() is not None
    page.say({"method": "request_state"})
    assert [data["method"] for data in page.sent] == ["update"]
    widget.append(weak())


def test_a_widget_that_was_closed_is_not_registered_again(widget: list[Any]) -> None:
    read_messages_weakly(widget[0])
    name = widget[0].model_id
    widget[0].close()
    with unregistered({name: ref(widget[0])}):
        gc.collect()
    weak = ref(widget.pop())
    gc.collect()
    assert weak() is None


def test_an_output_widget_catches_what_its_message_causes(widget: list[Any]) -> None:
    assert not is_captured("message 1")
    output = ipywidgets.Output(msg_id="message 1")
    assert is_captured("message 1")
    assert not is_captured("message 2")
    output.close()
    assert not is_captured("message 1")
