"""Whole messages between two media processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.protocol.local_socket import BINARY, TEXT
from gpuview.protocol.worker_channels import END, ChannelMessage


@given(st.integers(0, 2**32 - 1), st.sampled_from([TEXT, BINARY, END]), st.binary(max_size=99))
def test_message_is_read_as_it_was_written(channel: int, kind: int, content: bytes) -> None:
    message = ChannelMessage(channel, kind, content)
    assert ChannelMessage.parse(message.pack()) == message


@pytest.mark.parametrize(
    "parts",
    [[], [b""], [b"\0\0\0\0\0"], [b"\0\0\0\0", b"x"], [b"\3\0\0\0\0", b"x"], [b"\0" * 5, b"", b""]],
)
def test_anything_else_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(ValueError, match="a message of"):
        ChannelMessage.parse(parts)
