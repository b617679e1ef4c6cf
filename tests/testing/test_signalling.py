"""What a headless view says, and when."""

from __future__ import annotations

from typing import Any

from gpuview.testing.signalling import Conversation, SendCustom, WriteOffer


def answer(view: str, seq: int) -> dict[str, Any]:
    return {"type": "Answer", "view": view, "seq": seq, "sdp": "v=0"}


def test_an_offer_goes_out_as_a_trait_and_as_a_message() -> None:
    view = Conversation("a")

    said = view.offer("v=0")

    offer = {"type": "Offer", "view": "a", "seq": 1, "sdp": "v=0"}
    assert said == (WriteOffer({"a": offer}), SendCustom(offer))


def test_an_offer_is_repeated_unchanged_as_a_message_until_its_answer_comes() -> None:
    view = Conversation("a")
    _, message = view.offer("v=0")

    assert view.repeat() == (message,)
    assert view.repeat() == (message,)
    assert view.hear_answers({"a": answer("a", 1)}) is not None
    assert view.repeat() == ()


def test_the_answer_to_another_view_or_to_an_earlier_offer_is_not_taken() -> None:
    view = Conversation("a")
    view.offer("v=0")
    view.offer("v=0")

    assert view.hear_answers({"b": answer("b", 2)}) is None
    assert view.hear_answers({"a": answer("a", 1)}) is None
    assert view.repeat() != ()


def test_a_refusal_is_an_answer_too() -> None:
    view = Conversation("a")
    view.offer("v=0")
    refusal = {"view": "a", "seq": 1, "problem": "p", "expected": "e", "fix": "f"}

    heard = view.hear_answers({"a": {"type": "Refusal", **refusal}})

    assert heard is not None
    assert view.ack() == (SendCustom({"type": "Ack", "view": "a", "seq": 1}),)


def test_hello_is_repeated_until_this_views_welcome_comes() -> None:
    view = Conversation("a")
    hello = view.hello()

    assert view.hear_peer_config({"type": "PeerConfig", "view": "b", "ice_servers": []}) is None
    assert view.hear_peer_config({"type": "Refusal"}) is None
    assert view.repeat() == hello
    assert view.hear_peer_config({"type": "PeerConfig", "view": "a", "ice_servers": []}) is not None
    assert view.repeat() == ()


def test_each_offer_has_a_higher_number() -> None:
    view = Conversation("a")

    for _ in range(3):
        view.offer("v=0")

    assert view.seq == 3
