"""The page that shows one stream: who gets it, and what it may load."""

from __future__ import annotations

import pytest

from tests.server.jupyter import JupyterServer

pytestmark = pytest.mark.kernel


def test_page_names_its_stream_and_keeps_out_of_caches(server: JupyterServer, place: str) -> None:
    reply = server.get(f"/gpuview/view/{place}")
    assert reply.status == 200
    assert reply.headers.get_content_type() == "text/html"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Referrer-Policy"] == "same-origin"
    assert f'data-base-url="/user/alice/" data-place="{place}"' in reply.text
    assert "<title>s1 - gpuview</title>" in reply.text


def test_page_may_load_only_what_the_server_has(server: JupyterServer, place: str) -> None:
    policy = server.get(f"/gpuview/view/{place}").headers["Content-Security-Policy"]
    rules = dict(each.strip().partition(" ")[::2] for each in policy.split(";"))
    assert rules["frame-ancestors"] == "'self'"
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"


@pytest.mark.parametrize(
    ("name", "kind"), [("view.js", "application/javascript"), ("view.css", "text/css")]
)
def test_what_the_page_loads_is_there(
    server: JupyterServer, place: str, name: str, kind: str
) -> None:
    path = f"/static/gpuview/{name}"
    assert f'"/user/alice{path}"' in server.get(f"/gpuview/view/{place}").text
    reply = server.get(path)
    assert (reply.status, reply.headers.get_content_type()) == (200, kind)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token guessed"}])
def test_nobody_gets_the_page_without_logging_in(
    server: JupyterServer, place: str, headers: dict[str, str]
) -> None:
    reply = server.get(f"/gpuview/view/{place}", headers=headers)
    assert reply.status == 302
    assert reply.headers["Location"].startswith("/user/alice/login")


def test_there_is_no_page_of_a_kernel_that_is_not_this_servers(server: JupyterServer) -> None:
    assert server.get("/gpuview/view/00000000-0000-4000-8000-000000000000/s1").status == 404


@pytest.mark.parametrize("stream", ["<b>", "%3Cscript%3E", "%22onload=", "a%20b", "s" * 65])
def test_names_that_no_stream_has_have_no_page(
    server: JupyterServer, kernel_id: str, stream: str
) -> None:
    reply = server.get(f"/gpuview/view/{kernel_id}/{stream}")
    assert reply.status == 404
    assert "data-place" not in reply.text
