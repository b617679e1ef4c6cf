"""What the server says of itself and of its kernels' media processes."""

from __future__ import annotations

import threading

import pytest

import gpuview
from tests.server.jupyter import JupyterServer
from tests.server.media import FakeMedia, Pages

pytestmark = pytest.mark.kernel


class Answering:
    """A media process's answer to the next connection, given on a thread of its own."""

    def __init__(self, media: FakeMedia, **answer: object) -> None:
        self._media = media
        self._answer = answer
        self._thread = threading.Thread(target=self._run)
        self.pages: Pages | None = None

    def _run(self) -> None:
        self.pages = self._media.accept()
        self.pages.send_json(**self._answer)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_health_has_each_kernels_streams_and_viewers(
    server: JupyterServer, media: FakeMedia, kernel_id: str
) -> None:
    streams = [
        {"name": "s1", "state": "live", "frames_taken": 7, "viewers": [{}, {}], "encoders": []},
        {"name": "s4", "state": "waiting", "frames_taken": 0, "viewers": [], "encoders": []},
    ]
    with Answering(media, type="Health", pid=1, streams=streams) as answering:
        reply = server.get("/gpuview/health")
    assert reply.json() == {
        "version": gpuview.__version__,
        "kernels": {
            kernel_id: {
                "media_process": "answers",
                "streams": [
                    {"name": "s1", "state": "live", "viewers": 2},
                    {"name": "s4", "state": "waiting", "viewers": 0},
                ],
            }
        },
    }
    assert reply.headers["Cache-Control"] == "no-store"
    assert answering.pages is not None
    assert answering.pages.hello.stream == ""
    assert answering.pages.is_closed()


def test_health_tells_a_kernel_without_a_media_process_from_one_that_hangs(
    server: JupyterServer, kernel_id: str
) -> None:
    assert state(server, kernel_id) == {"media_process": "none"}
    with FakeMedia(server.runtime_dir, kernel_id) as media:
        assert state(server, kernel_id) == {"media_process": "does not answer"}
        assert media.accept().is_closed()
        with Answering(media, type="Refusal"):
            assert state(server, kernel_id) == {"media_process": "does not answer"}
        media.files.socket.chmod(0o666)
        assert "not private" in state(server, kernel_id)["media_process"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token guessed"}])
def test_health_is_for_users_only(server: JupyterServer, headers: dict[str, str]) -> None:
    reply = server.get("/gpuview/health", headers=headers)
    assert reply.status in (302, 403)
    assert "kernels" not in reply.text


def test_health_is_only_read(server: JupyterServer) -> None:
    assert server.get("/gpuview/health", method="POST").status == 405


def test_another_sites_form_that_has_the_users_cookie_is_refused(server: JupyterServer) -> None:
    cookies = {"Cookie": server.cookies()}
    assert server.get("/gpuview/health", headers=cookies).status == 200
    assert server.get("/gpuview/health", method="POST", headers=cookies).status == 403
    elsewhere = {**cookies, "Origin": "http://elsewhere.example.org"}
    assert server.get("/gpuview/health", headers=elsewhere).status == 404


def state(server: JupyterServer, kernel_id: str) -> dict[str, str]:
    """Return what the server says of one kernel."""
    found: dict[str, str] = server.get("/gpuview/health").json()["kernels"][kernel_id]
    return found
