"""Bad messages from a page are refused, and other viewers go on watching."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gpuview.testing.kernel import Kernel
from gpuview.testing.stream import StreamProxy
from gpuview.testing.viewer import HeadlessViewer

pytestmark = pytest.mark.kernel

NO_VIDEO = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
)


@pytest.fixture
def stream(kernel: Kernel) -> StreamProxy:
    kernel.run(
        "import torch\nfrom gpuview import GPUStream\n"
        "stream = GPUStream(lambda: torch.zeros(96, 128, 3))\ndisplay(stream)"
    )
    return kernel.stream()


@pytest.fixture
def onlooker(kernel: Kernel, stream: StreamProxy) -> Iterator[HeadlessViewer]:
    """Another view, which must see frames after the kernel has read what the test sent."""
    with kernel.view(stream) as viewer:
        viewer.next_frame()
        yield viewer
        wait_until_read(stream)
        viewer.frames(3)


def replies(stream: StreamProxy, view: str, seq: int) -> list[dict[str, Any]]:
    """Return the kernel's replies to an offer: in the trait, or by custom message."""
    in_trait = stream.traits["answers"].get(view)
    said = [*stream.messages, *([in_trait] if in_trait else [])]
    about = [each for each in said if (each.get("view"), each.get("seq")) == (view, seq)]
    return [each for each in about if each["type"] in ("Answer", "Refusal")]


def wait_until_read(stream: StreamProxy) -> None:
    """Wait until the kernel has read all that was sent: it reads messages in their order."""
    stream.send({"type": "Bye", "view": "the-last"})
    stream.wait_for(lambda _: bool(replies(stream, "the-last", 0)), what="the last reply")


def assert_refused(stream: StreamProxy, view: str, seq: int, match: str) -> None:
    stream.wait_for(lambda _: bool(replies(stream, view, seq)), what=f"a refusal of {view} {seq}")
    refusal = replies(stream, view, seq)[0]
    assert refusal["type"] == "Refusal"
    assert match in refusal["problem"]
    assert refusal["expected"]
    assert refusal["fix"]


@pytest.mark.parametrize(
    ("view", "sdp", "match"),
    [
        ("no-sdp", "hello", ""),
        ("empty", "", ""),
        ("no-video", NO_VIDEO, "video"),
        ("too-long", "v=0\r\n" + "a=x\r\n" * 14_000, "length <= 65536 - at `$.sdp`"),
        ("not-text", 17, "got `int` - at `$.sdp`"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_refused_with_a_reason(
    stream: StreamProxy, onlooker: HeadlessViewer, view: str, sdp: object, match: str
) -> None:
    stream.send({"type": "Offer", "view": view, "seq": 1, "sdp": sdp})

    assert_refused(stream, view, 1, match)


def test_an_offer_in_the_trait_is_refused_in_the_same_way(
    stream: StreamProxy, onlooker: HeadlessViewer
) -> None:
    offer = {"type": "Offer", "view": "in-trait", "seq": 1, "sdp": NO_VIDEO}
    stream.set_trait("offers", {"in-trait": offer})

    assert_refused(stream, "in-trait", 1, "video")


@pytest.mark.parametrize(
    "message",
    [
        None,
        "Offer",
        [],
        {},
        {"type": "Nonsense"},
        {"type": "Offer"},
        {"type": "Offer", "view": "../../etc", "seq": 1, "sdp": ""},
        {"type": "Answer", "view": "a", "seq": 1, "sdp": ""},
    ],
    ids=repr,
)
def test_a_nonsensical_message_disturbs_no_viewer(
    stream: StreamProxy, onlooker: HeadlessViewer, message: object
) -> None:
    stream.send(message)


def test_offers_that_are_not_an_object_disturb_no_viewer(
    stream: StreamProxy, onlooker: HeadlessViewer
) -> None:
    stream.set_trait("offers", 5)
    stream.set_trait("offers", {"a": None, "b": 5, "c": {"type": "Offer"}})


@pytest.mark.parametrize(
    "message",
    [{"type": "Ack", "view": "unknown-1", "seq": 0}, {"type": "Bye", "view": "unknown-2"}],
    ids=["ack", "bye"],
)
def test_a_message_from_a_view_that_never_offered_is_refused(
    stream: StreamProxy, onlooker: HeadlessViewer, message: dict[str, Any]
) -> None:
    stream.send(message)

    assert_refused(stream, message["view"], 0, message["view"])


def test_a_replayed_offer_makes_no_second_viewer_and_no_other_answer(
    kernel: Kernel, stream: StreamProxy, onlooker: HeadlessViewer
) -> None:
    with kernel.view(stream) as viewer:
        viewer.next_frame()
        stream.wait_for(lambda traits: viewer.view not in traits["answers"])
        stream.send({"type": "Offer", "view": viewer.view, "seq": 1, "sdp": viewer.offer})

        wait_until_read(stream)
        viewer.frames(10)
        assert kernel.evaluate("stream.viewers").count(viewer.view) == 1
        assert replies(stream, viewer.view, 1) == []  # it was taken, and no other follows
        assert viewer.seq == 1


def test_an_offer_with_an_old_number_is_refused_and_the_newer_one_plays_on(
    kernel: Kernel, stream: StreamProxy, onlooker: HeadlessViewer
) -> None:
    with kernel.view(stream) as viewer:
        viewer.next_frame()
        stream.send({"type": "Offer", "view": viewer.view, "seq": 0, "sdp": viewer.offer})

        assert_refused(stream, viewer.view, 0, "after offer 1")
        viewer.frames(10)


def test_another_offer_under_the_same_number_is_refused_and_the_first_plays_on(
    kernel: Kernel, stream: StreamProxy, onlooker: HeadlessViewer
) -> None:
    with kernel.view(stream) as viewer:
        viewer.next_frame()
        stream.wait_for(lambda traits: viewer.view not in traits["answers"])
        stream.send({"type": "Offer", "view": viewer.view, "seq": 1, "sdp": NO_VIDEO})

        assert_refused(stream, viewer.view, 1, "offer 1")
        viewer.frames(10)


def test_flood_of_unknown_messages_is_read_and_hardly_ever_answered(
    kernel: Kernel, stream: StreamProxy
) -> None:
    viewer = kernel.view(stream)
    viewer.next_frame()
    began_s = time.monotonic()
    # In parts: a kernel says two things of each message, and drops what is beyond 1,000.
    for seq in range(1, 4):
        for _ in range(400):
            stream.send({"type": "Unknown", "view": "flood"})
        # The media process refuses this, which is not rationed.
        stream.send({"type": "Offer", "view": "last", "seq": seq, "sdp": NO_VIDEO})
        assert_refused(stream, "last", seq, "video")
    most = 20 + 2 * (time.monotonic() - began_s)
    assert 0 < len([each for each in stream.messages if each.get("view") == "flood"]) <= most + 1
    viewer.frames(3)
