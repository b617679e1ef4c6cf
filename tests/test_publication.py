"""Publications as the kernel sees them: what is told to the media process, and what it tells."""

from __future__ import annotations

import pytest

from gpuview.errors import GpuviewError, PublishError
from gpuview.protocol.media_messages import PublishingChanged, StartPublishing, StopPublishing
from gpuview.protocol.page_messages import Message, Problem
from gpuview.publication import Publications

URL = "https://live.example.org/whip?key=a-secret-key"
AWAY = Problem(problem="the ingest is away", expected="it", fix="wait")


class Media:
    """A stream's publications, and what was told to its media process and its views."""

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.failed: list[GpuviewError | None] = []
        self.hints: list[str] = []
        self.publications = Publications(
            self.told.append, on_failed=self.failed.append, on_hint=self.hints.append
        )

    def say(self, state: str, problem: Problem | None = None) -> None:
        message = PublishingChanged(publication=1, state=state, problem=problem)  # type: ignore[arg-type]
        self.publications.receive(message)


def test_it_begins_and_ends_as_the_media_process_is_told() -> None:
    media = Media()
    with media.publications.start(URL, "a-secret-token") as publication:
        assert publication.state == "connecting"
        media.say("live")
        assert publication.state == "live"
    publication.stop()
    assert publication.state == "ended"
    assert publication.error is None
    assert media.told == [
        StartPublishing(publication=1, url=URL, token="a-secret-token"),
        StopPublishing(publication=1),
    ]


def test_its_secrets_are_not_shown() -> None:
    publication = Media().publications.start(URL, "a-secret-token")
    assert repr(publication) == "<Publication live.example.org connecting>"


def test_outage_is_a_hint_until_it_is_over() -> None:
    media = Media()
    publication = media.publications.start(URL, None)
    media.say("waiting", AWAY)
    assert (publication.state, str(publication.error).splitlines()[0]) == ("waiting", AWAY.problem)
    media.say("live")
    assert publication.error is None
    assert media.hints == ["not published: the ingest is away", ""]
    assert media.failed == [None]


def test_refusal_is_an_error_until_another_begins() -> None:
    media = Media()
    publication = media.publications.start(URL, None)
    media.say("ended", AWAY)
    assert publication.state == "ended"
    assert isinstance(media.failed[-1], PublishError)
    assert media.failed[-1] is publication.error
    media.publications.start(URL, None)
    assert media.failed[-1] is None


def test_it_goes_on_in_the_next_media_process_unless_it_has_ended() -> None:
    media = Media()
    media.publications.start(URL, None)
    second = media.publications.start("http://127.0.0.1:8889/live/whip", "token")
    media.say("ended", AWAY)
    media.told.clear()
    media.publications.resume()
    assert media.told == [
        StartPublishing(publication=2, url="http://127.0.0.1:8889/live/whip", token="token")
    ]
    media.publications.end()
    assert second.state == "ended"


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "live.example.org/whip",
        "ftp://live.example.org/whip",
        "https://",
        "https://user:a-secret-word@live.example.org/whip",
        "https://live.example.org/a b",
        "https://live.example.org/\r\nX: y",
        "https://live.example.org/" + "x" * 2048,
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: object) -> None:
    with pytest.raises(PublishError) as raised:
        Media().publications.start(url, None)  # type: ignore[arg-type]
    assert "secret" not in str(raised.value)
    assert "stream.publish(" in raised.value.fix


@pytest.mark.parametrize("token", [7, "a\r\nX: y", "é", "x" * 10_000])
def test_token_that_no_header_carries_is_refused_and_not_repeated(token: object) -> None:
    with pytest.raises(PublishError) as raised:
        Media().publications.start(URL, token)  # type: ignore[arg-type]
    assert "X: y" not in str(raised.value)
