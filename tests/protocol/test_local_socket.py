"""Messages over the media process's socket, and its files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.protocol.local_socket import (
    BINARY,
    TEXT,
    Hello,
    MessageReader,
    announce_extension,
    frame_message,
    is_extension_announced,
    is_private,
    short_path,
    socket_files,
)

MESSAGES = st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300)))


@given(messages=MESSAGES, step=st.integers(1, 700))
def test_messages_are_whole_however_they_arrive(
    messages: list[tuple[int, bytes]], step: int
) -> None:
    data = b"".join(frame_message(kind, content) for kind, content in messages)
    reader = MessageReader(300)
    parts = [data[start : start + step] for start in range(0, len(data), step)]
    assert [message for part in parts for message in reader.feed(part)] == messages


@pytest.mark.parametrize(
    "data", [frame_message(TEXT, bytes(301)), frame_message(7, b"")], ids=["too long", "kind 7"]
)
def test_a_message_that_is_not_one_is_refused_at_its_first_bytes(data: bytes) -> None:
    with pytest.raises(ValueError, match="a message of kind"):
        list(MessageReader(300).feed(data[:5]))


def test_hello_is_read_as_it_was_written_and_does_not_show_its_token() -> None:
    hello = Hello("secret", "s1")
    assert Hello.decode(hello.encode()) == hello
    assert "secret" not in repr(hello)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"token": 1, "stream": "s"}', b"\xff"])
def test_anything_but_a_hello_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"no|JSON|Expecting|decode"):
        Hello.decode(text)


@pytest.mark.parametrize("kernel_id", ["", "../a", "a/b", "a\n", "a" * 65])
def test_a_kernel_id_leads_to_no_other_folder(kernel_id: str) -> None:
    with pytest.raises(ValueError, match="letters"):
        socket_files("runtime", kernel_id)


def test_a_socket_can_have_a_path_that_is_too_long_for_an_address(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with short_path(folder / "s") as address:
            server.bind(address)
        server.listen()
        with short_path(folder / "s") as address:
            client.connect(address)
    assert (folder / "s").is_socket()


def test_only_what_is_ours_alone_is_private(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert not is_private(file)
    file.touch(mode=0o600)
    assert is_private(file)
    (tmp_path / "link").symlink_to(file)
    assert not is_private(tmp_path / "link")
    file.chmod(0o640)
    assert not is_private(file)
    file.chmod(0o600)
    if os.getuid() == 0:  # only root can give files away
        os.chown(file, 1, -1)
        assert not is_private(file)


def test_kernels_that_the_extensions_server_starts_know_of_it() -> None:
    environment: dict[str, str] = {}
    announce_extension(environment)
    assert not is_extension_announced(environment)  # no kernel
    assert is_extension_announced({**environment, "JPY_PARENT_PID": str(os.getpid())})


@pytest.mark.parametrize("environment", [{}, {"JPY_PARENT_PID": "17"}])
def test_kernels_of_another_server_do_not(environment: dict[str, str]) -> None:
    assert not is_extension_announced(environment)
    # As in a terminal of a server that has it.
    announce_extension(environment)
    assert not is_extension_announced(environment)
