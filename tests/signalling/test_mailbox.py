"""What pages have said and have still to be told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SignalError
from gpuview.protocol.messages import Ack, Answer, Bye, Candidates, Offer, Problem, Refusal
from gpuview.signalling.mailbox import Mailbox

VIEWS = st.sampled_from(["a", "b"])
SEQS = st.integers(1, 3)
STEPS = st.one_of(
    st.builds(Offer, view=VIEWS, seq=SEQS, sdp=st.sampled_from(["x", "y"])),
    st.builds(Answer, view=VIEWS, seq=SEQS, sdp=st.just("z")),
    st.builds(Ack, view=VIEWS, seq=SEQS),
    st.builds(Bye, view=VIEWS),
    st.builds(Candidates, view=VIEWS, seq=SEQS),
)
Said = Offer | Answer | Ack | Bye | Candidates


def do(mailbox: Mailbox, message: Said) -> None:
    steps: dict[type, Callable[..., object]] = {
        Offer: mailbox.take,
        Answer: mailbox.reply,
        Ack: mailbox.acknowledge,
        Bye: mailbox.say_goodbye,
        Candidates: mailbox.take_candidates,
    }
    with suppress(SignalError):
        steps[type(message)](message)


@given(st.lists(STEPS, max_size=30))
def test_said_twice_is_as_good_as_said_once(messages: list[Said]) -> None:
    once, twice = Mailbox(), Mailbox()
    for message in messages:
        do(once, message)
        do(twice, message)
        do(twice, message)
        assert once.answers == twice.answers


@given(st.lists(STEPS, max_size=30))
def test_a_view_is_told_about_its_newest_offer_only(
    messages: list[Said],
) -> None:
    mailbox = Mailbox()
    newest: dict[str, int] = {}
    for message in messages:
        if isinstance(message, Offer):
            newest[message.view] = max(newest.get(message.view, 0), message.seq)
        do(mailbox, message)
        assert all(newest[view] == answer["seq"] for view, answer in mailbox.answers.items())


def test_candidates_are_news_once() -> None:
    mailbox = Mailbox()
    first = Candidates(view="a", seq=1, candidates=["x"])
    assert not mailbox.take_candidates(first)
    mailbox.take(Offer(view="a", seq=1, sdp="x"))
    assert mailbox.take_candidates(first)
    assert not mailbox.take_candidates(first)
    assert mailbox.take_candidates(Candidates(view="a", seq=1, candidates=["x", "y"]))
    mailbox.take(Offer(view="a", seq=2, sdp="x"))
    assert not mailbox.take_candidates(first)
    assert mailbox.take_candidates(Candidates(view="a", seq=2, candidates=["x"]))


def test_page_that_says_ever_other_candidates_is_heard_while_they_grow() -> None:
    mailbox = Mailbox()
    mailbox.take(Offer(view="a", seq=1, sdp="x"))
    said = [Candidates(view="a", seq=1, candidates=[f"{n}", "x"]) for n in range(1000)]
    assert sum(mailbox.take_candidates(message) for message in said) == 1


def test_a_problem_is_news_once_whatever_the_offer() -> None:
    mailbox = Mailbox()
    problem = Problem(problem="p", expected="e", fix="f")
    said = Candidates(view="a", seq=1, problems=[problem, problem])
    assert mailbox.take_problems(said) == []
    mailbox.take(Offer(view="a", seq=1, sdp="x"))
    assert mailbox.take_problems(said) == [problem]
    mailbox.take(Offer(view="a", seq=2, sdp="x"))
    assert mailbox.take_problems(said) == []


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
