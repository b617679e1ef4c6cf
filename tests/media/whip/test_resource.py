"""WHIP's HTTP requests, to a real server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import ThreadingHTTPServer

import pytest

from gpuview.errors import NetworkError, PublishError
from gpuview.media.whip.resource import Session, begin_session, end_session
from tests.http_handler import QuietHandler

ANSWER = "v=0\r\n"
SDP = {"Content-Type": "application/sdp; charset=utf-8", "Location": "/session/7"}

Reply = tuple[int, dict[str, str], str]
Heard = tuple[str, str, str | None, str]
"""Method, path, authorization and content of a request."""


@contextmanager
def server(*replies: Reply) -> Iterator[tuple[str, list[Heard]]]:
    """Give the URL of a server that replies so, one after the other, and what it has heard."""
    waiting, heard = list(replies), list[Heard]()

    class Handler(QuietHandler):
        def answer(self) -> None:
            content = self.content()
            heard.append((self.command, self.path, self.headers["Authorization"], content))
            status, headers, text = waiting.pop(0)
            self.reply(status, headers, text)

        do_POST = do_DELETE = answer  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", heard
        finally:
            http.shutdown()
            thread.join()


def test_offer_is_posted_with_the_token_and_answered() -> None:
    with server((201, SDP, ANSWER), (200, {}, "")) as (url, heard):
        session = begin_session(f"{url}/whip?room=1", "secret", "offer")
        assert session == Session(f"{url}/session/7", ANSWER)
        end_session(session.url, "secret")
    assert heard == [
        ("POST", "/whip?room=1", "Bearer secret", "offer"),
        ("DELETE", "/session/7", "Bearer secret", ""),
    ]


def test_redirect_is_followed_with_the_offer() -> None:
    with server((307, {"Location": "/b"}, ""), (308, {"Location": "c"}, ""), (201, SDP, "")) as (
        url,
        heard,
    ):
        assert begin_session(f"{url}/a", "secret", "offer").url == f"{url}/session/7"
    assert heard == [("POST", f"/{each}", "Bearer secret", "offer") for each in "abc"]


def test_token_is_not_passed_on_to_another_server() -> None:
    with ExitStack() as stack:
        other, heard = stack.enter_context(server((201, SDP, "")))
        url, _ = stack.enter_context(server((307, {"Location": f"{other}/b"}, "")))
        begin_session(f"{url}/a", "secret", "offer")
    assert heard == [("POST", "/b", None, "offer")]


@pytest.mark.parametrize("location", ["/again", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_redirects_without_end_and_to_no_web_address_are_refused(location: str) -> None:
    replies = [(307, {"Location": location}, "")] * 9
    with server(*replies) as (url, heard), pytest.raises(PublishError, match="leads elsewhere"):
        begin_session(f"{url}/again", "", "offer")
    assert len(heard) <= 4


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_ingest_that_takes_nothing_now_is_tried_again(status: int) -> None:
    said = rf"/whip answers {status}: busy now"
    with server((status, {}, "busy\nnow")) as (url, _), pytest.raises(NetworkError, match=said):
        begin_session(f"{url}/whip", "", "offer")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((401, {}, ""), "a token that may publish there"),
        ((403, {}, ""), "a token that may publish there"),
        ((404, {}, ""), "201 from a WHIP ingest"),
        ((200, SDP, ANSWER), "201 from a WHIP ingest"),
        ((201, {"Content-Type": "application/sdp"}, ANSWER), "201 with an SDP answer"),
        ((201, {"Content-Type": "text/html", "Location": "/x"}, ANSWER), "201 with an SDP answer"),
    ],
)
def test_ingest_that_refuses_or_is_none_ends_it(reply: Reply, expected: str) -> None:
    with server(reply) as (url, _), pytest.raises(PublishError) as raised:
        begin_session(f"{url}/whip", "secret", "offer")
    assert raised.value.expected.startswith(expected)


def test_ingest_that_is_not_there_is_tried_again_and_no_secret_is_named() -> None:
    with server() as (url, _):
        pass
    with pytest.raises(NetworkError) as raised:
        begin_session(f"{url}/whip?key=secret", "secret", "offer")
    assert raised.value.problem.startswith(f"{url}/whip cannot be reached: ")
    assert "secret" not in str(raised.value)
    end_session(f"{url}/session/7", "secret")  # raises nothing
