"""What pages have said and have still to be told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SignalError
from gpuview.mailbox import Mailbox
from gpuview.wire.messages import Ack, Answer, Bye, Offer, Refusal

VIEWS = st.sampled_from(["a", "b"])
SEQS = st.integers(1, 3)
STEPS = st.one_of(
    st.builds(Offer, view=VIEWS, seq=SEQS, sdp=st.sampled_from(["x", "y"])),
    st.builds(Answer, view=VIEWS, seq=SEQS, sdp=st.just("z")),
    st.builds(Ack, view=VIEWS, seq=SEQS),
    st.builds(Bye, view=VIEWS),
)


def do(mailbox: Mailbox, message: Offer | Answer | Ack | Bye) -> None:
    steps: dict[type, Callable[..., object]] = {
        Offer: mailbox.take,
        Answer: mailbox.reply,
        Ack: mailbox.acknowledge,
        Bye: mailbox.say_goodbye,
    }
    with suppress(SignalError):
        steps[type(message)](message)


@given(st.lists(STEPS, max_size=30))
def test_said_twice_is_as_good_as_said_once(messages: list[Offer | Answer | Ack | Bye]) -> None:
    once, twice = Mailbox(), Mailbox()
    for message in messages:
        do(once, message)
        do(twice, message)
        do(twice, message)
        assert once.answers == twice.answers


@given(st.lists(STEPS, max_size=30))
def test_a_view_is_told_about_its_newest_offer_only(
    messages: list[Offer | Answer | Ack | Bye],
) -> None:
    mailbox = Mailbox()
    newest: dict[str, int] = {}
    for message in messages:
        if isinstance(message, Offer):
            newest[message.view] = max(newest.get(message.view, 0), message.seq)
        do(mailbox, message)
        assert all(newest[view] == answer["seq"] for view, answer in mailbox.answers.items())


def test_refusal_outlives_the_connection_that_never_was() -> None:
    mailbox = Mailbox()
    mailbox.take(Offer(view="a", seq=1, sdp="x"))
    mailbox.reply(Refusal(view="a", seq=1, problem="p", expected="e", fix="f"))
    mailbox.forget_answers_but(())
    assert list(mailbox.answers) == ["a"]


def test_a_thousand_views_do_not_grow_it() -> None:
    mailbox = Mailbox()
    for number in range(1000):
        mailbox.take(Offer(view=f"v{number}", seq=1, sdp="x"))
    assert repr(mailbox) == "<Mailbox views=256 answers=0>"
    with pytest.raises(SignalError, match="no offer of view v0 has been seen"):
        mailbox.say_goodbye(Bye(view="v0"))
