"""What pages have said and have still to be told."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SignalError
from gpuview.protocol.page_messages import Ack, Answer, Bye, Candidates, Offer, Problem, Refusal
from gpuview.signalling.pending_replies import PendingReplies

VIEWS = st.sampled_from(["a", "b"])
SEQS = st.integers(1, 3)
STEPS = st.one_of(
    st.builds(Offer, view=VIEWS, seq=SEQS, sdp=st.sampled_from(["x", "y"])),
    st.builds(Answer, view=VIEWS, seq=SEQS, sdp=st.just("z")),
    st.builds(Ack, view=VIEWS, seq=SEQS),
    st.builds(Bye, view=VIEWS),
)
Said = Offer | Answer | Ack | Bye


def do(replies: PendingReplies, message: Said) -> None:
    with suppress(SignalError):
        if isinstance(message, Answer):
            replies.take_reply(message)
        else:
            replies.take(message)


@given(st.lists(STEPS, max_size=30))
def test_said_twice_is_as_good_as_said_once(messages: list[Said]) -> None:
    once, twice = PendingReplies(), PendingReplies()
    for message in messages:
        do(once, message)
        do(twice, message)
        do(twice, message)
        assert once.answers == twice.answers


@given(st.lists(STEPS, max_size=30))
def test_a_view_is_told_about_its_newest_offer_only(
    messages: list[Said],
) -> None:
    replies = PendingReplies()
    newest: dict[str, int] = {}
    for message in messages:
        if isinstance(message, Offer):
            newest[message.view] = max(newest.get(message.view, 0), message.seq)
        do(replies, message)
        assert all(newest[view] == answer["seq"] for view, answer in replies.answers.items())


@given(st.lists(STEPS, max_size=30))
def test_what_a_page_has_acknowledged_does_not_come_back(messages: list[Said]) -> None:
    replies = PendingReplies()
    newest: dict[str, int] = {}
    acknowledged: dict[str, int] = {}
    for message in messages:
        if isinstance(message, Offer):
            newest[message.view] = max(newest.get(message.view, 0), message.seq)
        if isinstance(message, Ack) and newest.get(message.view) == message.seq:
            acknowledged[message.view] = message.seq
        do(replies, message)
        for view, answer in replies.answers.items():
            assert acknowledged.get(view) != answer["seq"]


def test_the_first_reply_to_an_offer_stays() -> None:
    replies = PendingReplies()
    replies.take(Offer(view="a", seq=1, sdp="x"))
    answer = Answer(view="a", seq=1, sdp="y")
    assert replies.take_reply(answer)
    assert replies.take_reply(answer)
    refusal = Refusal(view="a", seq=1, problem="p", expected="e", fix="f")
    assert not replies.take_reply(refusal)
    assert replies.answers["a"]["type"] == "Answer"


def test_a_problem_is_news_once_whatever_the_offer() -> None:
    replies = PendingReplies()
    problem = Problem(problem="p", expected="e", fix="f")
    said = Candidates(view="a", seq=1, problems=[problem, problem])
    assert replies.take_problems(said) == []
    replies.take(Offer(view="a", seq=1, sdp="x"))
    assert replies.take_problems(said) == [problem]
    replies.take(Offer(view="a", seq=2, sdp="x"))
    assert replies.take_problems(said) == []


def test_refusal_outlives_the_connection_that_never_was() -> None:
    replies = PendingReplies()
    replies.take(Offer(view="a", seq=1, sdp="x"))
    replies.take_reply(Refusal(view="a", seq=1, problem="p", expected="e", fix="f"))
    replies.forget_answers_but(())
    assert list(replies.answers) == ["a"]


def test_a_thousand_views_do_not_grow_it() -> None:
    replies = PendingReplies()
    for number in range(1000):
        replies.take(Offer(view=f"v{number}", seq=1, sdp="x"))
    assert repr(replies) == "<PendingReplies views=256 answers=0>"
    with pytest.raises(SignalError, match="no offer of view v0 has been seen"):
        replies.take(Bye(view="v0"))
