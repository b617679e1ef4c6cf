"""The way from a page to a media process, through a real Jupyter server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
import websocket

from gpuview.protocol.local_socket import BINARY, MAX_FROM_PAGE_NBYTES, TEXT
from gpuview.server.refusal import CloseCode
from tests.server.jupyter import JupyterServer, closing_of
from tests.server.media import FakeMedia, Pages
from tests.waiting import wait_until

UNKNOWN = "00000000-0000-4000-8000-000000000000/s1"


def n_sent_until_stuck(pages: Pages) -> int:
    """Return how many megabytes of 400 are taken before none is for two seconds."""
    pages.connection.settimeout(2)
    for sent in range(400):
        try:
            pages.send(bytes(1_000_000), BINARY)
        except TimeoutError:
            return sent
    return 400


def metric(server: JupyterServer, name: str) -> float:
    """Return the value of a metric of the server's, 0 if there is none yet."""
    for line in server.get("/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[-1])
    return 0.0


@pytest.fixture
def no_page_before(server: JupyterServer) -> None:
    wait_until(lambda: metric(server, "gpuview_open_sockets") == 0, "the last test's pages left")


pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_page_before")]


@pytest.fixture
def page(server: JupyterServer, media: FakeMedia, place: str) -> Iterator[websocket.WebSocket]:
    page = server.connect(place)
    yield page
    page.shutdown()


def test_messages_pass_both_ways_unread(media: FakeMedia, page: websocket.WebSocket) -> None:
    pages = media.accept()
    assert pages.hello.token == media.token
    assert pages.hello.stream == "s1"
    page.send("no JSON, \N{SNOWMAN}")
    assert pages.take() == (TEXT, "no JSON, \N{SNOWMAN}".encode())
    page.send_binary(bytes(range(256)))
    assert pages.take() == (BINARY, bytes(range(256)))
    keyframe = os.urandom(700_000)
    pages.send(keyframe, BINARY)
    pages.send(b"a status")
    assert page.recv() == keyframe
    assert page.recv() == "a status"


def test_messages_are_counted(
    server: JupyterServer, media: FakeMedia, page: websocket.WebSocket
) -> None:
    names = "gpuview_messages_to_pages_total", "gpuview_bytes_to_pages_total"
    before = [metric(server, name) for name in names]
    pages = media.accept()
    for _ in range(3):
        pages.send(b"1234", BINARY)
        page.recv()
    assert metric(server, "gpuview_open_sockets") == 1
    after = [metric(server, name) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [3, 12]


def test_nothing_is_compressed(server: JupyterServer, media: FakeMedia, place: str) -> None:
    offer = {"Authorization": f"token {server.token}"}
    offer["Sec-WebSocket-Extensions"] = "permessage-deflate"
    with contextlib.closing(server.connect(place, header=offer)) as page:
        assert "sec-websocket-extensions" not in page.getheaders()


def test_page_that_leaves_ends_its_connection(media: FakeMedia, page: websocket.WebSocket) -> None:
    pages = media.accept()
    page.close()
    assert pages.is_closed()


def test_page_is_told_why_its_connection_ends(media: FakeMedia, page: websocket.WebSocket) -> None:
    pages = media.accept()
    pages.send_json(type="Refusal", problem="there is no stream s1")
    pages.connection.close()
    assert "there is no stream s1" in page.recv()
    code, reason = closing_of(page)
    assert (code, reason) == (CloseCode.GONE, "the media process ended the connection")


def test_page_is_told_that_there_is_no_media_process_yet(server: JupyterServer, place: str) -> None:
    code, _ = closing_of(server.connect(place))
    assert code == CloseCode.NO_MEDIA_PROCESS


def test_socket_that_a_killed_process_left_is_no_media_process(
    server: JupyterServer, media: FakeMedia, place: str
) -> None:
    media._listener.close()
    assert closing_of(server.connect(place))[0] == CloseCode.NO_MEDIA_PROCESS


@pytest.mark.parametrize("part", ["folder", "socket", "token"])
def test_media_process_that_others_can_reach_is_not_trusted(
    server: JupyterServer, media: FakeMedia, place: str, part: str
) -> None:
    path = media.files.token.parent if part == "folder" else getattr(media.files, part)
    path.chmod(0o755 if part == "folder" else 0o640)
    try:
        code, reason = closing_of(server.connect(place))
    finally:
        path.chmod(0o700)
    assert code == CloseCode.NOT_ALLOWED
    assert "not private" in reason


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("part", ["socket", "token"])
def test_media_process_of_another_user_is_not_trusted(
    server: JupyterServer, media: FakeMedia, place: str, part: str
) -> None:
    os.chown(getattr(media.files, part), 65534, 65534)
    assert closing_of(server.connect(place))[0] == CloseCode.NOT_ALLOWED


def test_link_to_a_socket_is_not_followed(
    server: JupyterServer, media: FakeMedia, place: str
) -> None:
    elsewhere = media.files.socket.with_suffix(".elsewhere")
    media.files.socket.rename(elsewhere)
    media.files.socket.symlink_to(elsewhere)
    try:
        assert closing_of(server.connect(place))[0] == CloseCode.NOT_ALLOWED
    finally:
        elsewhere.unlink()


@pytest.mark.parametrize("header", [{}, {"Authorization": "token guessed"}])
def test_nobody_without_the_token_is_let_in(
    server: JupyterServer, media: FakeMedia, place: str, header: dict[str, str]
) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        server.connect(place, header=header)


def test_page_of_another_origin_is_not_let_in_by_the_users_cookie(
    server: JupyterServer, media: FakeMedia, place: str
) -> None:
    options = {"header": {}, "cookie": server.cookies(), "suppress_origin": False}
    origin = server.url.removesuffix("/user/alice")
    with contextlib.closing(server.connect(place, **options, origin=origin)):
        media.accept()
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        server.connect(place, **options, origin="http://elsewhere.example.org")


def test_kernel_that_is_not_this_servers_is_not_found(server: JupyterServer) -> None:
    # Its files are there: another server may have the same runtime directory.
    with (
        FakeMedia(server.runtime_dir, UNKNOWN.partition("/")[0]),
        pytest.raises(websocket.WebSocketBadStatusException, match="404"),
    ):
        server.connect(UNKNOWN)
    assert metric(server, 'gpuview_refused_sockets_total{code="404"}') == 1


@pytest.mark.parametrize("place", ["../s1", "%2e%2e/s1", "a.b/s1", f"{'k' * 65}/s1"])
def test_kernel_ids_that_are_none_have_no_route(server: JupyterServer, place: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        server.connect(place)


def test_page_over_the_limit_is_told(server: JupyterServer, media: FakeMedia, place: str) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(contextlib.closing(server.connect(place)))
            media.accept()
        assert closing_of(server.connect(place))[0] == CloseCode.TOO_MANY


def test_message_that_is_too_long_closes_the_socket(
    media: FakeMedia, page: websocket.WebSocket
) -> None:
    pages = media.accept()
    page.send("x" * MAX_FROM_PAGE_NBYTES)
    assert pages.take() == (TEXT, b"x" * MAX_FROM_PAGE_NBYTES)
    with contextlib.suppress(OSError):  # the server may close before it has read all of it
        page.send("x" * (MAX_FROM_PAGE_NBYTES + 1))
    assert pages.is_closed()


def test_media_process_that_speaks_no_protocol_is_left(
    server: JupyterServer, media: FakeMedia, page: websocket.WebSocket
) -> None:
    pages = media.accept()
    pages.connection.sendall(b"\xff" * 100)
    assert closing_of(page)[0] == CloseCode.GONE
    assert pages.is_closed()


def test_page_that_never_reads_costs_bounded_memory(
    server: JupyterServer, media: FakeMedia, page: websocket.WebSocket
) -> None:
    pages = media.accept()
    before = server.memory_nbytes
    assert n_sent_until_stuck(pages) < 30  # MB, most of them in the system's buffers
    assert server.memory_nbytes - before < 40e6
    # The others are served all the same.
    assert server.get("/gpuview/health").status == 200


def test_garbage_of_a_page_is_the_media_processs_to_judge(
    media: FakeMedia, page: websocket.WebSocket
) -> None:
    pages = media.accept()
    for number in range(10_000):
        page.send_binary(bytes([number % 256]) * (number % 50))
        assert pages.take() == (BINARY, bytes([number % 256]) * (number % 50))


def test_silent_socket_is_pinged(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    options = {"GPUViewServer.ping_interval_s": 1.0}
    with JupyterServer(tmp_path_factory.mktemp("jupyter"), options) as server:
        kernel_id = server.start_kernel()
        with FakeMedia(server.runtime_dir, kernel_id) as media:
            page = server.connect(f"{kernel_id}/s1")
            with contextlib.closing(page):
                media.accept()
                opcode, _ = page.recv_data(control_frame=True)
                assert opcode == websocket.ABNF.OPCODE_PING
                server.close()
                code, _ = closing_of(page)
                assert code == 1001
